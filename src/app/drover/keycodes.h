#pragma once
/*
 * app/drover/keycodes.h - names of keys, for send-key
 */
#include <stdint.h>

/* The number of a set of codes ("linux", "xt", ...); -1: there is none of that name. */
int keycode_set(const char *name, uint32_t *ret);
/* A number, or in the linux set also a name (KEY_ENTER); -1: neither. */
int keycode_find(uint32_t set, const char *word, uint32_t *ret);
