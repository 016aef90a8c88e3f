#pragma once
/*
 * base/mac.h - Ethernet addresses of guests and bridges
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { MAC_TEXT_LEN = 17 };

typedef struct Mac {
        uint8_t bytes[6];
} Mac;

/* Six hex pairs with colons. 0 or -1; a multicast address is an address too. */
int mac_parse(const char *text, Mac *ret);
const char *mac_format(const Mac *mac, char text[MAC_TEXT_LEN + 1]); /* lower case; returns text */
/* A random unicast address behind a three-byte prefix such as 52:54:00 (CON-24). */
void mac_new_random(const uint8_t prefix[3], Mac *ret);

static inline bool mac_eq(const Mac *a, const Mac *b)
{
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
static inline bool mac_is_multicast(const Mac *mac)
{
        return mac->bytes[0] & 1;
}
static inline bool mac_is_null(const Mac *mac)
{
        return mac_eq(mac, &(Mac){ { 0 } });
}
