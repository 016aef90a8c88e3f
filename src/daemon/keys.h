#pragma once
/*
 * daemon/keys.h - keycodes of clients, as QEMU numbers keys
 */
#include <stdbool.h>
#include <stdint.h>

bool key_set_is_known(uint32_t codeset); /* VIR_KEYCODE_SET_... */
/* QEMU's number of a key, or -1: the set has no such key. */
int key_to_qnum(uint32_t codeset, uint32_t keycode);
