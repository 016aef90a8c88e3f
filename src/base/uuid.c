/*
 * base/uuid.c - parse, format and make UUIDs
 */
#include "base/uuid.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void uuid_new_random(Uuid *ret)
{
        if (getrandom(ret->bytes, sizeof(ret->bytes), 0) != sizeof(ret->bytes))
                abort();
        ret->bytes[6] = (ret->bytes[6] & 0x0f) | 0x40;
        ret->bytes[8] = (ret->bytes[8] & 0x3f) | 0x80;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)tolower((unsigned char)c);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int uuid_parse(const char *text, Uuid *ret)
{
        Uuid uuid;

        while (isspace((unsigned char)*text))
                text++;
        for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
                int high, low;

                if (*text == '-' && i)
                        text++;
                high = hex_digit(text[0]);
                low = high < 0 ? -1 : hex_digit(text[1]);
                if (low < 0)
                        return -1;
                uuid.bytes[i] = (uint8_t)(high << 4 | low);
                text += 2;
        }
        while (isspace((unsigned char)*text))
                text++;
        if (*text)
                return -1;
        *ret = uuid;
        return 0;
}

const char *uuid_format(const Uuid *uuid, char text[UUID_TEXT_LEN + 1])
{
        char *p = text;

        for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *p++ = '-';
                p += sprintf(p, "%02x", uuid->bytes[i]);
        }
        return text;
}

bool uuid_is_null(const Uuid *uuid)
{
        static const Uuid null;

        return uuid_eq(uuid, &null);
}
