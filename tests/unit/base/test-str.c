#include "test.h"

#include "base/str.h"

TEST(numbers_are_taken_whole_or_not_at_all)
{
        static const struct {
                const char *text;
                int rc;
                int64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "-12", 0, -12 },
                { "9223372036854775807", 0, INT64_MAX },
                { "", -1, 0 },
                { " 1", -1, 0 },
                { "1 ", -1, 0 },
                { "+1", -1, 0 },
                { "9223372036854775808", -1, 0 },
                { "0x10", -1, 0 },
                { "--1", -1, 0 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                int64_t value = 0;

                CHECK_INT(str_to_i64(cases[i].text, &value), cases[i].rc);
                CHECK_INT(value, cases[i].value);
        }
}

TEST(unsigned_numbers_do_not_wrap)
{
        uint64_t u64;
        uint32_t u32;

        CHECK_INT(str_to_u64("-1", &u64), -1);
        CHECK_INT(str_to_u32("4294967296", &u32), -1);
        CHECK_INT(str_to_u64_hex("0xBEEF", &u64), 0);
        CHECK_INT(u64, 0xbeef);
        CHECK_INT(str_to_u64_hex("0x", &u64), -1);
        CHECK_INT(str_to_u64_hex("0x-1", &u64), -1);
}

TEST(only_valid_utf8_passes)
{
        CHECK(str_is_utf8("aé€😀", strlen("aé€😀")));
        CHECK(!str_is_utf8("a\0b", 3));
        CHECK(!str_is_utf8("\xc0\x80", 2));     /* overlong */
        CHECK(!str_is_utf8("\xed\xa0\x80", 3)); /* surrogate */
        CHECK(!str_is_utf8("\xe2\x82", 2));     /* cut short */
        CHECK(!str_is_utf8("\xff", 1));
}

static void check_shown(const char *text, const char *keep, const char *shown)
{
        AUTOFREE char *found = str_printable(text, keep);

        CHECK_STR(found, shown);
}

TEST(control_characters_are_made_visible)
{
        check_shown("", "", "");
        check_shown("plain, with a \\ and \xc3\xa4\xe2\x82\xac", "", "plain, with a \\ and \xc3\xa4\xe2\x82\xac");
        check_shown("a\x1b[2J\nb\x7f", "", "a\\x1b[2J\\x0ab\\x7f");
        check_shown("a\tb\nc", "\n", "a\\x09b\nc");
        /* those of eight bits: as UTF-8, and as they are, which is no UTF-8 */
        check_shown("\xc2\x9b"
                    "1m\xc2\xa0|",
                    "", "\\xc2\\x9b1m\xc2\xa0|");
        check_shown("\x9b"
                    "1m\xe2\x82",
                    "", "\\x9b1m\\xe2\\x82");
}

TEST(splitting_drops_empty_pieces)
{
        AUTO_STRLIST list = str_split(",a,,b c,", ", ");

        CHECK_INT(str_list_len(list), 3);
        CHECK_STR(list[0], "a");
        CHECK_STR(list[2], "c");
}

TEST(bytes_are_written_in_base_64)
{
        static const char *const cases[][2] = {
                { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "\xff\xfe\xfd~", "//79fg==" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *text = str_to_base64(cases[i][0], strlen(cases[i][0]));
                uint8_t back[64];
                size_t n;

                CHECK_INT(str_from_base64(text, back, &n), 0);
                CHECK_INT(n, strlen(cases[i][0]));
                CHECK(memcmp(back, cases[i][0], n) == 0);
                CHECK_STR(text, cases[i][1]);
        }
}

TEST(base_64_is_read_strictly)
{
        static const char *const wrong[] = { "Z", "Zg", "Zg=", "Zg===", "=Zg=", "Zm8=Zm8=x", "Zm9*", "====" };
        uint8_t back[16];
        size_t n;

        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
                CHECK_INT(str_from_base64(wrong[i], back, &n), -1);
        CHECK_INT(str_from_base64("Zm\n9v\n", back, &n), 0);
        CHECK_INT(n, 3);
}
