#include "test.h"

#include "base/str.h"
#include "daemon/def-index.h"

static const int64_t second_ns = 1000000000;

static const IndexRow rows[] = {
        { "a b", { { 1 } }, { 7, 100, 1795309934689091377, 1795309934693091377 } },
        { "ab", { { 2 } }, { UINT64_MAX, 0, -5, 0 } },
        { "z", { { 3 } }, { 9, 1, 2, 3 } },
};

static void write(Buf *ret, const char *facts, size_t n)
{
        def_index_begin(ret, facts);
        for (size_t i = 0; i < n; i++)
                def_index_put(ret, &rows[i]);
        def_index_end(ret);
}

static int parse(const void *data, size_t n, const char *facts)
{
        AUTO(DefIndex) index = { 0 };
        AUTO(Buf) text = { 0 };

        buf_put(&text, data, n);
        return def_index_parse(&text, facts, &index);
}

TEST(what_was_written_is_found_again)
{
        for (size_t n = 0; n <= ARRAY_LEN(rows); n++) {
                AUTO(DefIndex) index = { 0 };
                AUTO(Buf) text = { 0 };

                write(&text, "drover 1, qemu 7", n);
                CHECK(def_index_parse(&text, "drover 1, qemu 7", &index) == 0);
                CHECK(index.rows.len == n && !def_index_find(&index, "a") && !def_index_find(&index, ""));
                for (size_t i = 0; i < n; i++) {
                        const IndexRow *row = def_index_find(&index, rows[i].name);

                        CHECK(row && uuid_eq(&row->uuid, &rows[i].uuid));
                        CHECK(file_stamp_eq(&row->stamp, &rows[i].stamp));
                }
        }
}

TEST(an_index_that_was_cut_damaged_or_made_under_other_facts_is_none)
{
        AUTO(Buf) text = { 0 };

        write(&text, "facts", ARRAY_LEN(rows));
        CHECK(parse(text.data, text.len, "facts") == 0);
        CHECK(parse(text.data, text.len, "fact") < 0);
        for (size_t n = 0; n < text.len; n++)
                CHECK(parse(text.data, n, "facts") < 0);
        for (size_t i = 0; i < text.len; i++) {
                text.data[i] ^= 1;
                CHECK(parse(text.data, text.len, "facts") < 0);
                text.data[i] ^= 1;
        }
        buf_put_text(&text, "\n");
        CHECK(parse(text.data, text.len, "facts") < 0);
}

TEST(an_index_in_disorder_is_none)
{
        AUTO(Buf) text = { 0 };

        def_index_begin(&text, "facts");
        def_index_put(&text, &rows[1]);
        def_index_put(&text, &rows[0]);
        def_index_end(&text);
        CHECK(parse(text.data, text.len, "facts") < 0);
}

TEST(any_difference_of_a_file_is_one_of_its_stamp)
{
        struct stat st = { .st_ino = 5, .st_size = 6, .st_mtim = { 7, 8 }, .st_ctim = { 9, 10 } }, other;
        FileStamp stamp = file_stamp_of(&st), changed;

        CHECK(stamp.mtime_ns == 7 * second_ns + 8 && stamp.ctime_ns == 9 * second_ns + 10);
        for (int i = 0; i < 4; i++) {
                other = st;
                other.st_ino += i == 0;
                other.st_size += i == 1;
                other.st_mtim.tv_nsec += i == 2;
                other.st_ctim.tv_nsec += i == 3;
                changed = file_stamp_of(&other);
                CHECK(!file_stamp_eq(&stamp, &changed));
        }
        CHECK(file_stamp_eq(&stamp, &stamp));
}

TEST(a_stamp_is_trusted_when_the_clock_has_moved_on)
{
        FileStamp fine = { .ctime_ns = 100 * second_ns + 1 }, coarse = { .ctime_ns = 100 * second_ns };

        CHECK(!file_stamp_is_settled(&fine, fine.ctime_ns + second_ns / 20));
        CHECK(file_stamp_is_settled(&fine, fine.ctime_ns + second_ns / 5));
        CHECK(!file_stamp_is_settled(&coarse, coarse.ctime_ns + 2 * second_ns));
        CHECK(file_stamp_is_settled(&coarse, coarse.ctime_ns + 3 * second_ns));
        CHECK(!file_stamp_is_settled(&fine, fine.ctime_ns - second_ns)); /* the clock was set back */
}
