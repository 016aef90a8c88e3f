#include "test.h"

#include "base/roff.h"

static void check(const char *text, const char *expected)
{
        AUTO(Buf) out = { 0 };

        roff_put_text(&out, text);
        CHECK_STR(buf_text(&out), expected);
}

TEST(what_troff_would_take_for_its_own_is_escaped)
{
        check("plain words", "plain words");
        check("--all \\n", "\\-\\-all \\en");
        check(".SH is no heading", "\\&.SH is no heading");
        check("one\n'two\n.three. four", "one\n\\&'two\n\\&.three. four");
}
