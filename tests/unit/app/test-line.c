/*
 * tests/unit/app/test-line.c - commands and words in a text
 */
#include "app/drover/line.h"

#include "base/buf.h"
#include "test.h"

/* "[a][b] [c]": words in brackets, commands separated by a blank. */
static char *shape(const char *text, Error *err)
{
        AUTO(Script) script = { 0 };
        AUTO(Buf) out = { 0 };

        if (script_parse(text, &script, err) < 0)
                return NULL;
        for (size_t i = 0; i < script.lines.len; i++) {
                if (i)
                        buf_put_char(&out, ' ');
                for (size_t j = 0; j < script.lines.items[i].words.len; j++)
                        buf_format(&out, "[%s]", script.lines.items[i].words.items[j]);
        }
        buf_put_text(&out, "");
        return buf_take(&out);
}

TEST(text_is_cut_into_commands_and_words)
{
        static const struct {
                const char *text, *shape;
        } cases[] = {
                { "list --all", "[list][--all]" },
                { "list; dominfo g", "[list] [dominfo][g]" },
                { "list;;\n\n dominfo g;", "[list] [dominfo][g]" },
                { "echo 'a b' \"c d\" e\\ f", "[echo][a b][c d][e f]" },
                { "echo a'b c'd", "[echo][ab cd]" },
                { "echo \"x\\\"y\" 'a\\b'", "[echo][x\"y][a\\b]" },
                { "echo '' x", "[echo][][x]" },
                { "echo 'a;b' # and; a comment\nlist", "[echo][a;b] [list]" },
                { "echo a#b", "[echo][a#b]" },
                { "", "" },
                { " \t;\n", "" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *is = shape(cases[i].text, NULL);

                CHECK_STR(is, cases[i].shape);
        }
}

TEST(an_open_quote_or_a_last_backslash_is_an_error)
{
        static const struct {
                const char *text, *complaint;
        } cases[] = {
                { "echo \"abc", "missing \"" },
                { "echo 'abc; list", "missing '" },
                { "echo abc\\", "dangling \\" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Error) err = { 0 };

                CHECK_NULL(shape(cases[i].text, &err));
                CHECK_STR(err.text, cases[i].complaint);
        }
}
