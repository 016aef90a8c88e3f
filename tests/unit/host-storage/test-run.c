#include "test.h"

#include "base/str.h"
#include "host/storage/backend.h"

#include <fcntl.h>
#include <signal.h>
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
        storage_await_tools(); /* nobody */
        storage_mark_tools(-1);
        CHECK_INT(STORAGE_RUN(NULL, NULL, "sh", "-c", try), 0);
        storage_await_tools();
        CHECK_INT(unlink(path), 0);
}

/* What mounts may leave a process behind that stays for as long as the mount does. */
TEST(what_a_program_leaves_behind_holds_no_lock)
{
        char path[] = "/tmp/drover-lock-XXXXXX";
        AUTO(Fd) lock = mkostemp(path, O_CLOEXEC);
        AUTO(Fd) other = open(path, O_RDWR | O_CLOEXEC);
        AUTO(Error) err = { 0 };
        AUTO(Buf) out = { 0 };
        pid_t left;

        CHECK(lock >= 0 && other >= 0);
        storage_mark_tools(dup(lock));
        CHECK_INT(STORAGE_RUN(&out, &err, "sh", "-c", "sleep 1000 > /dev/null 2>&1 & echo $!"), 0);
        left = (pid_t)atoi(buf_text(&out));
        fd_close(&lock);
        CHECK_INT(STORAGE_RUN(NULL, &err, "sh", "-c", "kill -TERM $$"), -1);
        CHECK_STR(err.text, "sh was killed by signal 15");
        storage_unmark_tools();
        CHECK_INT(flock(other, LOCK_EX | LOCK_NB), 0);
        CHECK(left > 0 && kill(left, SIGKILL) == 0);
        CHECK_INT(unlink(path), 0);
}
