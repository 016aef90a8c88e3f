/*
 * daemon/storage-task.c - one act of drover-storage on a pool or a volume
 */
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/helper.h"
#include "daemon/pool.h"

#include <unistd.h>

struct StorageTask {
        Pool *pool;
        Helper *helper;
        char *copy;  /* the name of the volume that it makes from another one; NULL: it does something else */
        Fd progress; /* where it writes how much of that it has copied, and how much there is */
        DriverDone *done;
        void *arg;
};

StorageTask *storage_task_free(StorageTask *task)
{
        if (!task)
                return NULL;
        vec_remove_item(&task->pool->storage->tasks, task);
        task->pool->tasks--;
        helper_free(task->helper);
        pool_unref(task->pool);
        fd_close(&task->progress);
        free(task->copy);
        free(task);
        return NULL;
}

static void on_ended(void *arg, Buf *said UNUSED, const Error *failure)
{
        StorageTask *task = arg;
        DriverDone *done = task->done;
        void *done_arg = task->arg;
        AUTO(Error) why = { 0 };

        if (failure)
                err_copy(&why, failure);
        storage_task_free(task);
        done(done_arg, failure ? &why : NULL);
}

void storage_task_abort(StorageTask *task)
{
        AUTO(Error) why = { 0 };

        err_set(&why, ERR_OPERATION_ABORTED, "droverd ends");
        on_ended(task, NULL, &why);
}

static int add_volume(const VolumeDef *def, int at, Fd *fd, ChildFd *fds, size_t *n, Error *err)
{
        AUTO(Buf) xml = { 0 };

        if (!def)
                return 0;
        volume_def_format(def, &xml);
        if (helper_text_fd(&xml, fd, err) < 0)
                return -1;
        fds[(*n)++] = (ChildFd){ *fd, at };
        return 0;
}

bool storage_copy_progress(const Pool *pool, const char *name, uint64_t *done, uint64_t *total)
{
        const Storage *storage = pool->storage;

        for (size_t i = 0; i < storage->tasks.len; i++) {
                const StorageTask *task = storage->tasks.items[i];
                uint64_t numbers[2];

                if (task->pool != pool || !str_eq(task->copy, name))
                        continue;
                if (pread(task->progress, numbers, sizeof(numbers), 0) != sizeof(numbers))
                        numbers[0] = numbers[1] = 0;
                *done = numbers[0];
                *total = numbers[1];
                return true;
        }
        return false;
}

StorageTask *storage_task(Pool *pool, const TaskSpec *spec, DriverDone *done, void *arg, Error *err)
{
        enum { POOL_FD = 3, VOLUME_FD, FROM_FD, KEY_FD, FROM_KEY_FD, LOGIN_FD, LOCK_FD, PROGRESS_FD };
        Storage *storage = pool->storage;
        const char *argv[ARRAY_LEN(spec->words) + 2] = { storage->program };
        AUTO(Fd) pool_fd = -1;
        AUTO(Fd) volume_fd = -1;
        AUTO(Fd) from_fd = -1;
        AUTO(Fd) login = -1;
        AUTO(Fd) lock = -1;
        AUTO(Fd) progress = -1;
        AUTO(Buf) xml = { 0 };
        ChildFd fds[10];
        size_t n = 0;
        StorageTask *task;

        for (size_t i = 0; i < ARRAY_LEN(spec->words) && spec->words[i]; i++)
                argv[i + 1] = spec->words[i];
        pool_def_format(pool_def(pool), DEF_FORMAT_INACTIVE | DEF_FORMAT_SECURE, &xml);
        if (helper_text_fd(&xml, &pool_fd, err) < 0)
                return NULL;
        fds[n++] = (ChildFd){ pool_fd, POOL_FD };
        if (pool_open_lock(pool, &lock, err) < 0)
                return NULL;
        fds[n++] = (ChildFd){ lock, LOCK_FD };
        if (add_volume(spec->volume, VOLUME_FD, &volume_fd, fds, &n, err) < 0 ||
            add_volume(spec->from, FROM_FD, &from_fd, fds, &n, err) < 0)
                return NULL;
        if (spec->from) {
                if (helper_text_fd(&(Buf){ 0 }, &progress, err) < 0)
                        return NULL;
                fds[n++] = (ChildFd){ progress, PROGRESS_FD };
        }
        /* one that is gone matters where it is needed */
        if (pool_open_login(pool, &login, NULL) == 0 && login >= 0)
                fds[n++] = (ChildFd){ login, LOGIN_FD };
        if (spec->key > 0)
                fds[n++] = (ChildFd){ spec->key, KEY_FD };
        if (spec->from_key > 0)
                fds[n++] = (ChildFd){ spec->from_key, FROM_KEY_FD };
        if (spec->in > 0)
                fds[n++] = (ChildFd){ spec->in, STDIN_FILENO };
        if (spec->out > 0)
                fds[n++] = (ChildFd){ spec->out, STDOUT_FILENO };
        task = mem_new(StorageTask);
        *task = (StorageTask){ .pool = pool_ref(pool), .done = done, .arg = arg, .progress = fd_take(&progress) };
        if (spec->from)
                task->copy = str_dup(spec->volume->name);
        pool->tasks++;
        vec_push(&storage->tasks, task);
        task->helper = helper_new(
                storage->driver->daemon->loop,
                &(HelperSpec){
                        .argv = argv, .fds = fds, .n_fds = n, .numbered = true, .patience_ms = spec->patience_ms },
                on_ended, task, err);
        if (!task->helper) {
                return storage_task_free(task);
        }
        return task;
}
