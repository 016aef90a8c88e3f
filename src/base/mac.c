/*
 * base/mac.c - Ethernet addresses of guests and bridges
 */
#include "base/mac.h"

#include "base/uuid.h"

#include <ctype.h>
#include <stdio.h>

static int hex_value(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

int mac_parse(const char *text, Mac *ret)
{
        Mac mac;

        for (size_t i = 0; i < sizeof(mac.bytes); i++, text += 3) {
                if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
                        return -1;
                if (text[2] != (i + 1 < sizeof(mac.bytes) ? ':' : '\0'))
                        return -1;
                mac.bytes[i] = (uint8_t)(hex_value(text[0]) << 4 | hex_value(text[1]));
        }
        *ret = mac;
        return 0;
}

const char *mac_format(const Mac *mac, char text[MAC_TEXT_LEN + 1])
{
        const uint8_t *b = mac->bytes;

        snprintf(text, MAC_TEXT_LEN + 1, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
        return text;
}

void mac_new_random(const uint8_t prefix[3], Mac *ret)
{
        Uuid random;

        uuid_new_random(&random);
        memcpy(ret->bytes, prefix, 3);
        memcpy(ret->bytes + 3, random.bytes, 3); /* the version bits of a UUID are further back */
}
