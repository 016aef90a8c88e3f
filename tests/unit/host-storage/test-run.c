#include "test.h"

#include "host/storage/backend.h"

TEST(what_a_program_complains_of_is_told_however_much_that_is)
{
        AUTO(Error) err = { 0 };

        /* dd writes all of it at once */
        CHECK_INT(STORAGE_RUN(NULL, &err, "sh", "-c",
                              "seq 100000 102000 | dd bs=1M iflag=fullblock status=none >&2; exit 3"),
                  -1);
        CHECK_STR(err.text, "sh: 100000");
}

TEST(a_program_that_cannot_be_run_is_named)
{
        AUTO(Error) err = { 0 };
        int status;

        CHECK_INT(STORAGE_ASK(NULL, &status, &err, "drover-no-such-program"), -1);
        CHECK(strstr(err.text, "cannot run 'drover-no-such-program'"));
}
