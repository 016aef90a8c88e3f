#pragma once
/*
 * base/uuid.h - 128-bit identities of guests, hosts, pools, networks
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { UUID_TEXT_LEN = 36 };

typedef struct Uuid {
        uint8_t bytes[16];
} Uuid;

void uuid_new_random(Uuid *ret); /* version 4 */
/* Dashed or as 32 hex digits (LIFE-01); blanks around it are accepted. 0 or -1. */
int uuid_parse(const char *text, Uuid *ret);
const char *uuid_format(const Uuid *uuid, char text[UUID_TEXT_LEN + 1]); /* always dashed; returns text */

static inline bool uuid_eq(const Uuid *a, const Uuid *b)
{
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
bool uuid_is_null(const Uuid *uuid);
