#include "test.h"

#include "base/err.h"

#include <errno.h>

TEST(an_error_is_a_code_and_a_sentence)
{
        AUTO(Error) err = { 0 };

        CHECK(!err_is_set(&err));
        CHECK_INT(err_set(&err, ERR_NO_DOMAIN, "no domain with name '%s'", "x"), -1);
        CHECK(err_is_set(&err));
        CHECK_INT(err.code, 42);
        CHECK_STR(err.text, "no domain with name 'x'");
        err_prefix(&err, "start");
        CHECK_STR(err.text, "start: no domain with name 'x'");
        err_errno(&err, ENOENT, "cannot open '%s'", "f");
        CHECK_STR(err.text, "cannot open 'f': No such file or directory");
        CHECK_INT(err.code, ERR_SYSTEM);
}

TEST(moving_empties_the_source)
{
        AUTO(Error) from = { 0 };
        AUTO(Error) to = { 0 };

        err_set(&from, ERR_XML, "bad");
        CHECK_INT(err_move(&to, &from), -1);
        CHECK(!err_is_set(&from));
        CHECK_STR(to.text, "bad");
        CHECK_INT(err_set(NULL, ERR_XML, "thrown away"), -1);
}
