#include "test.h"

#include "base/file.h"
#include "base/str.h"

#include <sys/stat.h>
#include <unistd.h>

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
