#include "test.h"

#include "host/storage/undo.h"

#include "base/fd.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 3 << 20, STEP = 128 * 1024 };

typedef struct Scene {
        char *dir, *path, *kept;
        Fd fd;
        char *before; /* SIZE bytes */
} Scene;

/* Data, a hole, data up to the end. */
static void scene_init(Scene *s)
{
        char template[] = "/tmp/drover-undo-XXXXXX";

        s->dir = str_dup(mkdtemp(template));
        s->path = str_format("%s/v", s->dir);
        s->kept = str_format("%s/.drover-undo-v", s->dir);
        s->fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        s->before = mem_new_array(char, SIZE);
        memset(s->before, 'a', SIZE / 3);
        memset(s->before + SIZE / 3 * 2, 'b', SIZE / 3);
        CHECK_INT(pwrite(s->fd, s->before, SIZE / 3, 0), SIZE / 3);
        CHECK_INT(pwrite(s->fd, s->before + SIZE / 3 * 2, SIZE / 3, SIZE / 3 * 2), SIZE / 3);
}

static void scene_done(Scene *s)
{
        fd_close(&s->fd);
        unlink(s->path);
        unlink(s->kept);
        rmdir(s->dir);
        free(s->dir);
        free(s->path);
        free(s->kept);
        free(s->before);
}
DEFINE_AUTO_VALUE(Scene, scene_done)

static void assert_is_before(const Scene *s)
{
        AUTOFREE char *now = mem_new_array(char, SIZE);
        struct stat st;

        CHECK_INT(fstat(s->fd, &st), 0);
        CHECK_INT(st.st_size, SIZE);
        CHECK_INT(pread(s->fd, now, SIZE, 0), SIZE);
        CHECK_MEM(now, s->before, SIZE);
        CHECK_INT(access(s->kept, F_OK), -1);
}

/* Up to `until`, as an upload does it; the journal stays. */
static void overwrite(const Scene *s, uint64_t from, uint64_t until)
{
        AUTO(Error) err = { 0 };
        AUTO(Undo) *undo = undo_begin(s->path, s->fd, from, &err);
        AUTOFREE char *new = mem_new_array(char, STEP);

        CHECK(undo != NULL);
        memset(new, 'n', STEP);
        for (uint64_t at = from; at < until; at += STEP) {
                CHECK_INT(undo_keep(undo, at + STEP, &err), 0);
                CHECK_INT(pwrite(s->fd, new, STEP, (off_t)at), STEP);
        }
}

TEST(what_was_overwritten_is_given_back)
{
        for (uint64_t until = 0; until <= SIZE + 2 * STEP; until += 2 * STEP) {
                AUTO(Scene) s = { 0 };
                AUTO(Error) err = { 0 };
                struct stat st;

                scene_init(&s);
                overwrite(&s, STEP, MAX(until, (uint64_t)STEP));
                CHECK_INT(undo_give_back(s.path, &err), 0);
                assert_is_before(&s);
                CHECK_INT(fstat(s.fd, &st), 0);
                CHECK(st.st_blocks * 512 <= SIZE); /* no more than it had, but for what a file system rounds up */
        }
}

TEST(nothing_is_undone_of_what_was_forgotten)
{
        AUTO(Scene) s = { 0 };
        AUTO(Error) err = { 0 };
        AUTO(Undo) *undo = NULL;
        char byte = 'n';

        scene_init(&s);
        undo = undo_begin(s.path, s.fd, 0, &err);
        CHECK_INT(undo_keep(undo, 1, &err), 0);
        CHECK_INT(pwrite(s.fd, &byte, 1, 0), 1);
        CHECK_INT(undo_forget(undo, &err), 0);
        CHECK_INT(undo_give_back(s.path, &err), 0);
        s.before[0] = 'n';
        assert_is_before(&s);
}

TEST(a_record_that_a_crash_cut_off_is_passed_over)
{
        struct stat st;

        for (off_t less = 0; less < 200; less += 7) {
                AUTO(Scene) s = { 0 };
                AUTO(Error) err = { 0 };
                AUTO(Undo) *undo = NULL;

                scene_init(&s);
                undo = undo_begin(s.path, s.fd, 0, &err);
                CHECK_INT(undo_keep(undo, SIZE, &err), 0); /* and nothing is written yet */
                undo = undo_free(undo);
                CHECK_INT(stat(s.kept, &st), 0);
                CHECK_INT(truncate(s.kept, st.st_size - less), 0);
                CHECK_INT(undo_all(s.dir, &err), 0);
                assert_is_before(&s);
        }
}

TEST(another_file_of_the_name_is_left_alone)
{
        AUTO(Scene) s = { 0 };
        AUTO(Error) err = { 0 };
        AUTOFREE char *other = NULL;

        scene_init(&s);
        overwrite(&s, 0, SIZE);
        other = str_format("%s/other", s.dir);
        CHECK_INT(file_write_atomic(other, "new", 3, 0600, &err), 0);
        CHECK_INT(rename(other, s.path), 0);
        CHECK_INT(undo_all(s.dir, &err), 0);
        CHECK_INT(access(s.kept, F_OK), -1);
        fd_close(&s.fd);
        s.fd = open(s.path, O_RDWR | O_CLOEXEC);
        CHECK_INT(read(s.fd, s.before, SIZE), 3);
        CHECK_MEM(s.before, "new", 3);
        /* and one that is gone leaves nothing behind */
        overwrite(&s, 0, 0);
        unlink(s.path);
        CHECK_INT(undo_all(s.dir, &err), 0);
        CHECK_INT(access(s.kept, F_OK), -1);
}

/* Somebody moves a volume elsewhere and leaves a link, after a crash: the pool starts, and the volume can be uploaded to. */
TEST(a_link_or_directory_of_the_name_is_left_alone_and_does_not_keep_the_pool_from_starting)
{
        for (int kind = 0; kind < 4; kind++) {
                AUTO(Scene) s = { 0 };
                AUTO(Error) err = { 0 };
                AUTOFREE char *moved = NULL, *now = mem_new_array(char, SIZE), *then = mem_new_array(char, SIZE);

                scene_init(&s);
                overwrite(&s, 0, SIZE);
                CHECK_INT(pread(s.fd, then, SIZE, 0), SIZE);
                moved = str_format("%s/moved", s.dir);
                CHECK_INT(rename(s.path, moved), 0);
                if (kind == 0)
                        CHECK_INT(symlink(moved, s.path), 0);
                else if (kind == 1)
                        CHECK_INT(symlink("/nowhere/at/all", s.path), 0);
                else if (kind == 2)
                        CHECK_INT(mkdir(s.path, 0700), 0);
                else
                        CHECK_INT(mkfifo(s.path, 0600), 0);
                if (undo_all(s.dir, &err) < 0)
                        fail_msg("kind %d: %s", kind, err.text);
                CHECK_INT(access(s.kept, F_OK), -1);
                CHECK_INT(pread(s.fd, now, SIZE, 0), SIZE);
                CHECK_MEM(now, then, SIZE);
                remove(s.path);
                unlink(moved);
        }
}
