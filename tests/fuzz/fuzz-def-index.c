/*
 * tests/fuzz/fuzz-def-index.c - the index of definitions from any bytes
 *
 * The first line holds a hash of the rest, which no fuzzer finds: the bytes are what stands behind it. What comes out is in
 * order, found by its name, and the same when it is written and read again.
 */
#include "base/str.h"
#include "daemon/def-index.h"
#include "fuzz.h"

static const char facts[] = "facts";

static void check_again(const DefIndex *index)
{
        AUTO(DefIndex) again = { 0 };
        AUTO(Buf) text = { 0 };

        def_index_begin(&text, facts);
        for (size_t i = 0; i < index->rows.len; i++)
                def_index_put(&text, &index->rows.items[i]);
        def_index_end(&text);
        if (def_index_parse(&text, facts, &again) < 0 || again.rows.len != index->rows.len)
                abort();
        for (size_t i = 0; i < again.rows.len; i++) {
                const IndexRow *a = &index->rows.items[i], *b = &again.rows.items[i];

                if (!str_eq(a->name, b->name) || !uuid_eq(&a->uuid, &b->uuid) ||
                    !file_stamp_eq(&a->stamp, &b->stamp) || def_index_find(&again, a->name) != b)
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(Buf) bare = { 0 }, whole = { 0 };
        DefIndex index;

        buf_put(&bare, data, size);
        if (def_index_parse(&bare, facts, &index) == 0)
                def_index_done(&index);
        def_index_begin(&whole, facts);
        buf_put(&whole, data, size);
        def_index_end(&whole);
        if (def_index_parse(&whole, facts, &index) == 0) {
                check_again(&index);
                def_index_done(&index);
        }
        return 0;
}
