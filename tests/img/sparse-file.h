#pragma once
/*
 * tests/img/sparse-file.h - an ImageFile in memory that holds only what was written
 *
 * Images that are mostly holes, megabytes of them, are made and thrown away thousands of times a second. It records
 * nothing and never fails but for its limit; memory-file.h does that. One thread.
 */
#include "img/file.h"

/* Zeros of this size; what grows over `largest` is told that the disk is full. */
ImageFile *sparse_file_new(uint64_t size, uint64_t largest);
