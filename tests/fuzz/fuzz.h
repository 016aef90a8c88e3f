#pragma once
/*
 * tests/fuzz/fuzz.h - what a fuzz target defines
 *
 * LLVMFuzzerTestOneInput() gives the bytes to one parser and returns 0. It may
 * abort() on an answer that must not be, so a target can also check that what was
 * parsed formats back.
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
