#include "test.h"

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The step of a change that fails, once it is reached; the rest of the program writes as ever. */
typedef enum Step {
        STEP_NONE,
        STEP_FULL, /* half of it is written, and no more */
        STEP_SYNC, /* of the file */
        STEP_RENAME,
        STEP_DIRECTORY, /* its sync */
} Step;

static Step failing;

static int break_off(int number)
{
        errno = number;
        return -1;
}

ssize_t write(int fd, const void *data, size_t n)
{
        if (failing == STEP_FULL && n < 2)
                return break_off(ENOSPC);
        return syscall(SYS_write, fd, data, failing == STEP_FULL ? n / 2 : n);
}

int fsync(int fd)
{
        struct stat st;
        bool is_directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);

        if (failing == (is_directory ? STEP_DIRECTORY : STEP_SYNC))
                return break_off(EIO);
        return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
        return failing == STEP_RENAME ? break_off(EIO) : (int)syscall(SYS_rename, from, to);
}

static char *make_dir(void)
{
        char template[] = "/tmp/drover-test-XXXXXX";

        return str_dup(mkdtemp(template));
}

TEST(a_durable_write_replaces_the_whole_file)
{
        AUTOFREE char *dir = make_dir();
        AUTOFREE char *path = str_format("%s/a/b/file", dir);
        AUTOFREE char *parent = str_format("%s/a/b", dir);
        AUTOFREE char *above = str_format("%s/a", dir);
        AUTO(Error) err = { 0 };
        AUTO(Buf) buf = { 0 };
        struct stat st;

        CHECK_INT(dir_make(parent, 0755, &err), 0);
        CHECK_INT(file_write_durable(path, "long content", 12, 0600, &err), 0);
        CHECK_INT(file_write_durable(path, "short", 5, 0640, &err), 0);
        CHECK_INT(file_read(path, 100, &buf, &err), 0);
        CHECK_STR(buf_text(&buf), "short");
        CHECK_INT(stat(path, &st), 0);
        CHECK_INT(st.st_mode & 0777, 0640);
        CHECK_INT(file_remove_durable(path, &err), 0);
        CHECK_INT(file_remove_durable(path, &err), 0);
        rmdir(parent);
        rmdir(above);
        CHECK_INT(rmdir(dir), 0); /* nothing was left beside the file */
}

TEST(a_file_over_the_limit_is_refused)
{
        AUTO(Error) err = { 0 };
        AUTO(Buf) buf = { 0 };

        CHECK_INT(file_read("/dev/zero", 1000, &buf, &err), -1);
        CHECK_STR(err.text, "'/dev/zero' is larger than 1000 bytes");
}

TEST(what_is_no_regular_file_is_refused_and_not_waited_for)
{
        AUTOFREE char *dir = make_dir();
        AUTOFREE char *fifo = str_format("%s/fifo", dir), *link = str_format("%s/link", dir);
        AUTOFREE char *file = str_format("%s/file", dir);
        const char *wrong[] = { fifo, dir, "/dev/null" };
        AUTO(Buf) buf = { 0 };
        struct stat st;

        CHECK_INT(mkfifo(fifo, 0600), 0);
        CHECK_INT(symlink("file", link), 0);
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
                AUTOFREE char *said = str_format("'%s' is not a regular file", wrong[i]);
                AUTO(Error) err = { 0 };

                CHECK_INT(file_read_regular(wrong[i], 100, &buf, &st, &err), -1);
                CHECK_STR(err.text, said);
        }
        CHECK_INT(file_read_regular(link, 100, &buf, &st, NULL), -1);
        CHECK_INT(file_write_atomic(file, "text", 4, 0600, NULL), 0);
        CHECK_INT(file_read_regular(link, 100, &buf, &st, NULL), 0);
        CHECK_STR(buf_text(&buf), "text");
        CHECK_INT(st.st_size, 4);
        CHECK_INT(dir_remove(dir, NULL), 0);
}

TEST(a_write_that_fails_says_where)
{
        AUTO(Error) err = { 0 };

        CHECK_INT(file_write_durable("/dev/full/x", "a", 1, 0600, &err), -1);
        CHECK_STR(err.text, "cannot create '/dev/full/x.new': Not a directory");
}

/* How the log begins after its time; what is logged meanwhile goes nowhere else. */
static void check_logged(int from, const char *line)
{
        char text[512];
        ssize_t n = read(from, text, sizeof(text) - 1);

        CHECK(n > 0);
        text[n] = '\0';
        CHECK(strchr(text, ' '));
        CHECK_STR(strchr(text, ' ') + 1, line);
}

static void check_content(const char *path, const char *content)
{
        AUTO(Buf) buf = { 0 };

        CHECK_INT(file_read(path, 100, &buf, NULL), 0);
        CHECK_STR(buf_text(&buf), content);
}

/* DIR in what is expected is dir. */
static void check_complaint(const char *complaint, const char *expected, const char *dir)
{
        AUTO(Buf) whole = { 0 };

        for (const char *at; (at = strstr(expected, "DIR")); expected = at + strlen("DIR")) {
                buf_put(&whole, expected, (size_t)(at - expected));
                buf_put_text(&whole, dir);
        }
        buf_put_text(&whole, expected);
        CHECK_STR(complaint, buf_text(&whole));
}

TEST(a_write_that_fails_at_any_step_leaves_what_was_there_and_nothing_beside_it)
{
        static const struct {
                Step step;
                const char *complaint; /* DIR is where the file is */
        } steps[] = {
                { STEP_FULL, "'DIR/file.new': cannot write: No space left on device" },
                { STEP_SYNC, "cannot sync 'DIR/file.new': Input/output error" },
                { STEP_RENAME, "cannot rename 'DIR/file.new' to 'DIR/file': Input/output error" },
        };
        AUTOFREE char *dir = make_dir();
        AUTOFREE char *path = str_format("%s/file", dir), *beside = str_format("%s/file.new", dir);

        CHECK_INT(file_write_durable(path, "old", 3, 0600, NULL), 0);
        for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
                AUTO(Error) err = { 0 };
                int rc;

                failing = steps[i].step;
                rc = file_write_durable(path, "new content", 11, 0600, &err);
                failing = STEP_NONE;
                CHECK_INT(rc, -1);
                check_complaint(err.text, steps[i].complaint, dir);
                check_content(path, "old");
                CHECK_INT(access(beside, F_OK), -1);
        }
        CHECK_INT(mkdir(beside, 0700), 0); /* so that it cannot be opened */
        CHECK_INT(file_write_durable(path, "new", 3, 0600, NULL), -1);
        check_content(path, "old");
        CHECK_INT(rmdir(beside), 0);
        CHECK_INT(file_write_durable(path, "new", 3, 0600, NULL), 0);
        check_content(path, "new");
        CHECK_INT(dir_remove(dir, NULL), 0);
}

TEST(a_link_that_cannot_be_put_in_place_leaves_the_old_one)
{
        AUTOFREE char *dir = make_dir();
        AUTOFREE char *path = str_format("%s/file", dir), *beside = str_format("%s/file.new", dir);
        AUTO(Error) err = { 0 };
        char target[16] = { 0 };
        int rc;

        CHECK_INT(file_link_durable(path, "old", NULL), 0);
        failing = STEP_RENAME;
        rc = file_link_durable(path, "new", &err);
        failing = STEP_NONE;
        CHECK_INT(rc, -1);
        check_complaint(err.text, "cannot rename 'DIR/file.new' to 'DIR/file': Input/output error", dir);
        CHECK_INT(readlink(path, target, sizeof(target) - 1), 3);
        CHECK_STR(target, "old");
        CHECK_INT(readlink(beside, target, sizeof(target)), -1);
        CHECK_INT(dir_remove(dir, NULL), 0);
}

/* Whoever asked for it and the disk agree that it is made. */
TEST(a_change_whose_directory_cannot_be_synced_is_made_and_the_log_says_so)
{
        AUTOFREE char *dir = make_dir();
        AUTOFREE char *path = str_format("%s/file", dir);
        AUTOFREE char *said = str_format("warning: the change of '%s' is made, but may be lost when the power fails: "
                                         "cannot sync '%s': Input/output error\n",
                                         path, dir);
        char target[16] = { 0 };
        int log[2];

        CHECK_INT(pipe2(log, O_CLOEXEC | O_NONBLOCK), 0);
        log_set_fd(log[1]);
        failing = STEP_DIRECTORY;
        CHECK_INT(file_write_durable(path, "first", 5, 0600, NULL), 0);
        check_logged(log[0], said);
        CHECK_INT(file_write_durable(path, "new", 3, 0600, NULL), 0);
        check_content(path, "new");
        check_logged(log[0], said);
        CHECK_INT(file_link_durable(path, "new", NULL), 0);
        CHECK_INT(readlink(path, target, sizeof(target)), 3);
        check_logged(log[0], said);
        CHECK_INT(file_remove_durable(path, NULL), 0);
        CHECK_INT(access(path, F_OK), -1);
        check_logged(log[0], said);
        failing = STEP_NONE;
        log_set_fd(STDERR_FILENO);
        close(log[0]);
        close(log[1]);
        CHECK_INT(rmdir(dir), 0); /* nothing is beside it either */
}

TEST(a_directory_goes_with_its_files_and_not_with_directories)
{
        AUTOFREE char *dir = make_dir();
        AUTOFREE char *file = str_format("%s/file", dir), *link = str_format("%s/link", dir);
        AUTOFREE char *below = str_format("%s/below", dir);
        AUTO(Error) err = { 0 };
        struct stat st;

        CHECK_INT(file_write_atomic(file, "x", 1, 0600, &err), 0);
        CHECK_INT(symlink("/dev/null", link), 0);
        CHECK_INT(mkdir(below, 0700), 0);
        CHECK_INT(dir_remove(dir, &err), -1);
        CHECK(strstr(err.text, "below"));
        CHECK_INT(rmdir(below), 0);
        CHECK_INT(dir_remove(dir, NULL), 0);
        CHECK_INT(stat(dir, &st), -1);
        CHECK_INT(dir_remove(dir, NULL), 0);
        CHECK_INT(stat("/dev/null", &st), 0);
}

TEST(what_is_in_the_root_directory_has_one_slash_before_its_name)
{
        CHECK_STR(dir_stem("/"), "");
        CHECK_STR(dir_stem("/a"), "/a");
        CHECK_STR(dir_stem(""), "");
}
