/*
 * daemon/file-task.c - durable changes in droverd's own directories, off the loop
 */
#include "daemon/file-task.h"

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum ChangeKind {
        CHANGE_WRITE,
        CHANGE_APPEND,
        CHANGE_REMOVE,
        CHANGE_LINK,
} ChangeKind;

typedef struct Change {
        struct Change *next;
        FileQueue *queue;
        ChangeKind kind;
        char **paths; /* one, or those to remove */
        char *target;
        Buf content;
        mode_t mode;
        bool durable;
        Error err;
        void (*done)(void *arg, const Error *failure);
        void *arg;
} Change;

struct FileQueue {
        WorkerPool *pool;      /* NULL: gone */
        Change *first, **last; /* the first is under way */
        Task *task;
};

FileQueue *file_queue_new(WorkerPool *pool)
{
        FileQueue *queue = mem_new(FileQueue);

        queue->pool = pool;
        queue->last = &queue->first;
        return queue;
}

static void change_free(Change *change)
{
        str_list_free(change->paths);
        free(change->target);
        /* it may have been a secret */
        if (change->content.data)
                explicit_bzero(change->content.data, change->content.len);
        buf_done(&change->content);
        err_done(&change->err);
        free(change);
}

static int make_link(const Change *change, Error *err)
{
        AUTOFREE char *parent = str_dup_n(change->paths[0],
                                          (size_t)(strrchr(change->paths[0], '/') - change->paths[0]));

        if (dir_make(parent, 0700, err) < 0)
                return -1;
        return file_link_durable(change->paths[0], change->target, err);
}

static int append(const Change *change, Error *err)
{
        AUTO(Fd) fd = open(change->paths[0], O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : write(fd, change->content.data, change->content.len);

        if (n < 0)
                return err_errno(err, errno, "cannot write to '%s'", change->paths[0]);
        if ((size_t)n < change->content.len)
                return err_set(err, ERR_INTERNAL, "'%s' took only a part of what was written to it",
                               change->paths[0]);
        return 0;
}

static int remove_path(const char *path, Error *err)
{
        return str_ends(path, "/") ? dir_remove(path, err) : file_remove_durable(path, err);
}

/* On a worker; touches nothing but the change. */
static void make_change(void *data)
{
        Change *change = data;

        switch (change->kind) {
        case CHANGE_WRITE:
                if (change->durable)
                        file_write_durable(change->paths[0], change->content.data, change->content.len, change->mode,
                                           &change->err);
                else
                        file_write_atomic(change->paths[0], change->content.data, change->content.len, change->mode,
                                          &change->err);
                return;
        case CHANGE_APPEND:
                append(change, &change->err);
                return;
        case CHANGE_REMOVE:
                for (char **path = change->paths; *path; path++) {
                        if (remove_path(*path, &change->err) < 0)
                                return;
                }
                return;
        case CHANGE_LINK:
                make_link(change, &change->err);
        }
}

static void start_first(FileQueue *queue);

static void on_changed(void *data)
{
        Change *change = data;
        FileQueue *queue = change->queue;

        queue->task = task_free(queue->task, NULL);
        queue->first = change->next;
        if (!queue->first)
                queue->last = &queue->first;
        start_first(queue);
        if (change->done)
                change->done(change->arg, err_is_set(&change->err) ? &change->err : NULL);
        else if (err_is_set(&change->err))
                log_error("%s", change->err.text);
        change_free(change);
}

static void start_first(FileQueue *queue)
{
        if (queue->first)
                queue->task = task_new(queue->pool, make_change, on_changed, queue->first);
}

static void make_now(Change *change)
{
        make_change(change);
        if (err_is_set(&change->err))
                log_error("%s", change->err.text);
        change_free(change);
}

static bool concerns(const Change *change, const char *path)
{
        for (char **p = change->paths; *p; p++) {
                if (str_eq(*p, path) || (str_ends(*p, "/") && str_starts(path, *p)))
                        return true;
        }
        return false;
}

/* The write that waits to be begun and may as well write what `newer` does, or NULL. */
static Change *find_superseded(FileQueue *queue, const Change *newer)
{
        Change *last = NULL;

        if (newer->kind != CHANGE_WRITE || newer->done || !queue->first)
                return NULL;
        for (Change *c = queue->first->next; c; c = c->next) {
                if (concerns(c, newer->paths[0]))
                        last = c;
        }
        return last && last->kind == CHANGE_WRITE && !last->done && last->mode == newer->mode &&
                               last->durable == newer->durable
                       ? last
                       : NULL;
}

static void put(FileQueue *queue, Change *change)
{
        bool idle = !queue->first;
        Change *superseded;

        if (!queue->pool) {
                make_now(change);
                return;
        }
        superseded = find_superseded(queue, change);
        if (superseded) {
                Buf content = superseded->content;

                superseded->content = change->content;
                change->content = content;
                change_free(change);
                return;
        }
        change->queue = queue;
        *queue->last = change;
        queue->last = &change->next;
        if (idle)
                start_first(queue);
}

FileQueue *file_queue_free(FileQueue *queue)
{
        if (!queue)
                return NULL;
        /* the one under way is finished by the pool, which waits for it; the rest is made here */
        if (queue->first) {
                Change *change = queue->first->next;

                while (change) {
                        Change *next = change->next;

                        make_now(change);
                        change = next;
                }
                task_free(queue->task, (void (*)(void *))change_free);
        }
        free(queue);
        return NULL;
}

void file_queue_end(FileQueue *queue)
{
        queue->pool = NULL;
}

static Change *change_new(ChangeKind kind, const char *const *paths, size_t n,
                          void (*done)(void *arg, const Error *failure), void *arg)
{
        Change *change = mem_new(Change);

        *change = (Change){ .kind = kind, .done = done, .arg = arg };
        change->paths = mem_new_array(char *, n + 1);
        for (size_t i = 0; i < n; i++)
                change->paths[i] = str_dup(paths[i]);
        return change;
}

void file_queue_write(FileQueue *queue, const char *path, Buf *content, mode_t mode, bool durable,
                      void (*done)(void *arg, const Error *failure), void *arg)
{
        Change *change = change_new(CHANGE_WRITE, &path, 1, done, arg);

        change->content = *content;
        *content = (Buf){ 0 };
        change->mode = mode;
        change->durable = durable;
        put(queue, change);
}

void file_queue_append(FileQueue *queue, const char *path, Buf *content,
                       void (*done)(void *arg, const Error *failure), void *arg)
{
        Change *change = change_new(CHANGE_APPEND, &path, 1, done, arg);

        change->content = *content;
        *content = (Buf){ 0 };
        put(queue, change);
}

void file_queue_remove(FileQueue *queue, const char *const *paths, void (*done)(void *arg, const Error *failure),
                       void *arg)
{
        size_t n = 0;

        while (paths[n])
                n++;
        put(queue, change_new(CHANGE_REMOVE, paths, n, done, arg));
}

void file_queue_link(FileQueue *queue, const char *path, const char *target,
                     void (*done)(void *arg, const Error *failure), void *arg)
{
        Change *change = change_new(CHANGE_LINK, &path, 1, done, arg);

        change->target = str_dup(target);
        put(queue, change);
}
