#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "daemon/file-task.h"

#include <semaphore.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* A worker that is held until the test lets it go: what is asked meanwhile waits. */
static sem_t go;
static Task *held;

static void hold(void *data UNUSED)
{
        while (sem_wait(&go) < 0)
                ;
}

static void on_let_go(void *data UNUSED)
{
        held = task_free(held, NULL);
}

static void hold_the_worker(WorkerPool *pool)
{
        sem_init(&go, 0, 0);
        held = task_new(pool, hold, on_let_go, NULL);
}

static void write_text(FileQueue *files, const char *path, const char *text,
                       void (*done)(void *arg, const Error *failure), void *arg)
{
        AUTO(Buf) content = { 0 };

        buf_put_text(&content, text);
        file_queue_write(files, path, &content, 0600, false, done, arg);
}

static void count(void *arg, const Error *failure)
{
        CHECK(!failure);
        ++*(int *)arg;
}

static void run_until(Loop *loop, const int *n, int wanted)
{
        while (*n < wanted)
                CHECK(loop_turn(loop, -1, NULL) >= 0);
}

static const char *content_of(const char *path)
{
        static char text[64];
        AUTO(Buf) in = { 0 };

        snprintf(text, sizeof(text), "%s", file_read(path, 64, &in, NULL) < 0 ? "(none)" : buf_text(&in));
        return text;
}

/* How often a file was put in its place below the directory that fd watches. */
static int times_written(int fd, const char *name)
{
        char events[16384];
        ssize_t n = read(fd, events, sizeof(events));
        int times = 0;

        for (ssize_t at = 0; at < n;) {
                const struct inotify_event *event = (const void *)(events + at);

                times += event->len && str_eq(event->name, name);
                at += (ssize_t)(sizeof(*event) + event->len);
        }
        return times;
}

TEST(of_many_writes_that_nobody_waits_for_the_last_is_made)
{
        char dir[] = "/tmp/drover-file-task-XXXXXX";
        AUTO(Error) err = { 0 };
        AUTO(Loop) *loop = loop_new(&err);
        AUTO(WorkerPool) *pool = worker_pool_new(loop, 1, &err);
        AUTO(FileQueue) *files = file_queue_new(pool);
        AUTOFREE char *a = NULL, *b = NULL;
        int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), n = 0;

        CHECK(mkdtemp(dir) != NULL);
        CHECK(inotify_add_watch(watch, dir, IN_MOVED_TO) >= 0);
        a = str_format("%s/a", dir);
        b = str_format("%s/b", dir);
        hold_the_worker(pool);
        for (int i = 0; i <= 1000; i++) {
                AUTOFREE char *text = str_format("%d", i);

                write_text(files, a, text, NULL, NULL);
                write_text(files, b, text, NULL, NULL);
        }
        write_text(files, b, "end", count, &n);
        sem_post(&go);
        run_until(loop, &n, 1);
        CHECK_STR(content_of(a), "1000");
        CHECK_STR(content_of(b), "end");
        CHECK_INT(times_written(watch, "a"), 2); /* the first was under way */
        close(watch);
        CHECK(unlink(a) == 0 && unlink(b) == 0 && rmdir(dir) == 0);
}

TEST(what_somebody_waits_for_is_made_and_told_each_time)
{
        char dir[] = "/tmp/drover-file-task-XXXXXX";
        AUTO(Error) err = { 0 };
        AUTO(Loop) *loop = loop_new(&err);
        AUTO(WorkerPool) *pool = worker_pool_new(loop, 1, &err);
        AUTO(FileQueue) *files = file_queue_new(pool);
        AUTOFREE char *a = NULL;
        int n = 0;

        CHECK(mkdtemp(dir) != NULL);
        a = str_format("%s/a", dir);
        hold_the_worker(pool);
        write_text(files, a, "first", NULL, NULL);
        write_text(files, a, "second", count, &n);
        write_text(files, a, "third", NULL, NULL); /* takes the place of none */
        write_text(files, a, "fourth", count, &n);
        file_queue_remove(files, (const char *const[]){ a, NULL }, count, &n);
        write_text(files, a, "fifth", NULL, NULL); /* not that of one before the removal */
        file_queue_append(files, a, &(Buf){ 0 }, count, &n);
        sem_post(&go);
        run_until(loop, &n, 4);
        CHECK_STR(content_of(a), "fifth");
        CHECK(unlink(a) == 0 && rmdir(dir) == 0);
}

TEST(what_is_written_into_a_directory_that_goes_is_not_written_before)
{
        char dir[] = "/tmp/drover-file-task-XXXXXX";
        AUTO(Error) err = { 0 };
        AUTO(Loop) *loop = loop_new(&err);
        AUTO(WorkerPool) *pool = worker_pool_new(loop, 1, &err);
        AUTO(FileQueue) *files = file_queue_new(pool);
        AUTOFREE char *a = NULL, *below = NULL, *beside = NULL, *all = NULL;
        int n = 0;

        CHECK(mkdtemp(dir) != NULL);
        a = str_format("%s/a", dir);
        below = str_format("%s/below/b", dir);
        beside = str_format("%s/below/c", dir);
        all = str_format("%s/below/", dir);
        CHECK_INT(dir_make(all, 0700, &err), 0);
        hold_the_worker(pool);
        write_text(files, a, "under way", NULL, NULL);
        write_text(files, below, "old", NULL, NULL);
        file_queue_remove(files, (const char *const[]){ all, NULL }, NULL, NULL);
        file_queue_link(files, beside, "b", count, &n); /* which makes the directory again */
        write_text(files, below, "new", NULL, NULL);
        file_queue_append(files, below, &(Buf){ 0 }, count, &n);
        sem_post(&go);
        run_until(loop, &n, 2);
        CHECK_STR(content_of(below), "new");
        CHECK(unlink(below) == 0 && unlink(beside) == 0 && rmdir(all) == 0 && unlink(a) == 0 && rmdir(dir) == 0);
}
