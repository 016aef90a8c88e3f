#include "test.h"

#include "base/buf.h"
#include "base/str.h"

TEST(bytes_go_in_at_the_end_and_out_at_the_front)
{
        AUTO(Buf) buf = { 0 };

        CHECK_STR(buf_text(&buf), "");
        for (int i = 0; i < 1000; i++)
                buf_format(&buf, "%d,", i % 10);
        CHECK_INT(buf.len, 2000);
        buf_drop(&buf, 1998);
        CHECK_STR(buf_text(&buf), "9,");
        buf_clear(&buf);
        CHECK_STR(buf_text(&buf), "");
}

TEST(taking_leaves_an_empty_buffer)
{
        AUTO(Buf) buf = { 0 };
        AUTOFREE char *text = NULL;

        buf_put_text(&buf, "abc");
        text = buf_take(&buf);
        CHECK_STR(text, "abc");
        CHECK_INT(buf.len, 0);
}

TEST(a_shell_takes_a_word_back_as_it_was)
{
        AUTO(Buf) buf = { 0 };

        for (size_t i = 0; i < 4; i++) {
                buf_put_shell_word(&buf, ((const char *const[]){ "-name", "", "a b", "it's" })[i]);
                buf_put_char(&buf, ' ');
        }
        CHECK_STR(buf_text(&buf), "-name '' 'a b' 'it'\\''s' ");
}
