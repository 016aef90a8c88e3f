#include "test.h"

#include "base/str.h"
#include "host/storage/backend.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

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
        CHECK_STR(err.text, "cannot run 'drover-no-such-program': No such file or directory");
}

/* STO-19: who looks at the pool next can wait for what a killed daemon's helper left running. */
TEST(a_program_holds_the_pools_lock_for_as_long_as_it_runs)
{
        char path[] = "/tmp/drover-lock-XXXXXX";
        AUTO(Fd) lock = mkostemp(path, O_CLOEXEC);
        AUTO(Fd) other = open(path, O_RDWR | O_CLOEXEC);
        AUTOFREE char *try = str_format("flock -n -x %s true", path);

        CHECK(lock >= 0 && other >= 0);
        storage_mark_tools(lock);
        CHECK_INT(STORAGE_RUN(NULL, NULL, "sh", "-c", try), -1);
        CHECK_INT(flock(other, LOCK_EX | LOCK_NB), 0);
        CHECK_INT(flock(other, LOCK_UN), 0);
        storage_mark_tools(-1);
        CHECK_INT(STORAGE_RUN(NULL, NULL, "sh", "-c", try), 0);
        storage_await_tools(fd_take(&other));
        CHECK_INT(unlink(path), 0);
}
