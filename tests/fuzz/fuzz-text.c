/*
 * tests/fuzz/fuzz-text.c - the parsers of numbers, sizes, UUIDs and lists
 *
 * What is accepted must format back to the same value.
 */
#include "base/err.h"
#include "base/str.h"
#include "base/units.h"
#include "base/uuid.h"
#include "fuzz.h"

static void check(bool holds)
{
        if (!holds)
                abort();
}

static void numbers(const char *text)
{
        AUTOFREE char *again = NULL;
        uint64_t u, u2;
        int64_t i, i2;
        double d;

        if (str_to_u64(text, &u) == 0) {
                again = str_format("%llu", (unsigned long long)u);
                check(str_to_u64(again, &u2) == 0 && u == u2);
        }
        if (str_to_i64(text, &i) == 0) {
                AUTOFREE char *signed_again = str_format("%lld", (long long)i);

                check(str_to_i64(signed_again, &i2) == 0 && i == i2);
        }
        str_to_double(text, &d);
        str_to_u64_hex(text, &u);
}

static void identity(const char *text)
{
        char again[UUID_TEXT_LEN + 1];
        Uuid uuid, same;

        if (uuid_parse(text, &uuid) < 0)
                return;
        check(uuid_parse(uuid_format(&uuid, again), &same) == 0);
        check(uuid_eq(&uuid, &same));
}

static void size(const char *text)
{
        static const uint64_t limit = 1ULL << 40;
        AUTO(Error) err = { 0 };
        uint64_t bytes;

        if (units_to_bytes((unsigned char)text[0], text[0] ? text + 1 : "", 1024, limit, &bytes, &err) == 0)
                check(bytes <= limit);
        else
                check(err_is_set(&err));
}

static void pieces(const char *text)
{
        AUTO_STRLIST list = str_split(text, ", \n");

        for (size_t i = 0; i < str_list_len(list); i++)
                check(list[i][0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
        AUTOFREE char *text = str_dup_n((const char *)data, size_bytes);

        numbers(text);
        identity(text);
        size(text);
        pieces(text);
        check(!str_is_utf8((const char *)data, size_bytes) || strlen(text) == size_bytes);
        return 0;
}
