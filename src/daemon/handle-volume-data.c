/*
 * daemon/handle-volume-data.c - the content of volumes, to and from clients
 *
 * Between a stream and drover-storage, which alone touches the volume: a path
 * that hangs or a disk that is full ends that stream, with the reason.
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/handle-storage.h"
#include "daemon/handlers.h"
#include "daemon/pool-serve.h"
#include "daemon/stream.h"
#include "wire/constants.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* One that goes on: it lives as long as either end. */
typedef struct Transfer {
        Pool *pool;
        char *name;
        Stream *stream;
        StorageTask *task;
        bool upload;
        char *path;      /* of an upload that can be undone; else NULL */
        bool gives_back; /* the task undoes what came */
        bool looks;      /* it has ended, and what it left is looked at */
        bool over;       /* that is known: the stream is the last to go */
        Error failure;   /* why */
} Transfer;

static void transfer_free(Transfer *t)
{
        pool_unref(t->pool);
        free(t->name);
        free(t->path);
        err_done(&t->failure);
        free(t);
}

/* Who sent it hears how it ended when the volume is free again: what he does next may be to remove it. */
static void on_looked(void *arg, const Error *failure UNUSED)
{
        Transfer *t = arg;

        t->over = true;
        volume_release(t->pool, t->name);
        pool_tell_refreshed(t->pool);
        if (!t->stream)
                transfer_free(t);
        else if (err_is_set(&t->failure))
                stream_fail(t->stream, &t->failure);
        else
                stream_complete(t->stream);
}

/* An upload has ended, well or not: what the volume is now is asked from who watches the pool. */
static void end_upload(Transfer *t)
{
        t->looks = true;
        if (t->pool->serve && !t->pool->storage->ending)
                pool_serve_look(t->pool->serve, t->name, on_looked, t);
        else
                on_looked(t, NULL);
}

static void on_given_back(void *arg, const Error *failure)
{
        Transfer *t = arg;

        t->task = NULL;
        if (failure)
                log_error("volume '%s' holds a part of an upload: %s; it is given back when its pool starts", t->name,
                          failure->text);
        end_upload(t);
}

/* What came is undone, whoever ended it; only then the client hears that it failed. */
static void give_back(Transfer *t)
{
        bool later = !t->path || t->pool->storage->ending; /* the next daemon does it */
        AUTO(Error) err = { 0 };

        t->gives_back = true;
        if (!later)
                t->task = storage_task(t->pool, &(TaskSpec){ .words = { "give-back", t->path } }, on_given_back, t,
                                       &err);
        if (!t->task)
                on_given_back(t, later ? NULL : &err);
}

static void on_stream_ended(void *arg, const Error *failure UNUSED)
{
        Transfer *t = arg;

        t->stream = NULL;
        if (t->upload && !t->over) {
                if (t->gives_back || t->looks)
                        return;
                /* whoever sent it is gone */
                t->task = storage_task_free(t->task);
                give_back(t);
                return;
        }
        t->task = storage_task_free(t->task);
        transfer_free(t);
}

static void on_task_done(void *arg, const Error *failure)
{
        Transfer *t = arg;

        t->task = NULL;
        if (failure && t->upload) {
                err_copy(&t->failure, failure);
                give_back(t);
        } else if (t->upload) {
                end_upload(t);
        } else if (failure) {
                stream_fail(t->stream, failure);
        }
}

typedef struct Way {
        const WireStorageVol *vol;
        uint64_t offset, length;
        bool upload, sparse;
} Way;

static int open_pipe(bool upload, Fd *ours, Fd *its, Error *err)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        *ours = ends[upload];
        *its = ends[!upload];
        return 0;
}

static int begin(Call *call, Transfer *t, const Way *way, const char *path, Error *err)
{
        AUTOFREE char *offset = str_format("%llu", (unsigned long long)way->offset);
        AUTOFREE char *length = str_format("%llu", (unsigned long long)way->length);
        TaskSpec spec = { .words = { way->upload ? "receive" : "send", path, offset, length,
                                     way->sparse ? "sparse" : NULL } };
        AUTO(Fd) ours = -1;
        AUTO(Fd) its = -1;

        if (open_pipe(way->upload, &ours, &its, err) < 0)
                return -1;
        if (way->upload)
                spec.in = its;
        else
                spec.out = its;
        t->task = storage_task(t->pool, &spec, on_task_done, t, err);
        if (!t->task)
                return -1;
        t->stream = stream_new_pieces(call, fd_take(&ours), way->upload, on_stream_ended, t, err);
        if (!t->stream) {
                t->task = storage_task_free(t->task);
                return -1;
        }
        return 0;
}

static int transfer(Call *call, const Way *way, Error *err)
{
        Transfer *t;
        Volume *volume;
        Pool *pool;

        if (call_find_volume(call, way->vol, &pool, &volume, err) < 0)
                return -1;
        if (!pool->storage->program)
                return err_set(err, ERR_NO_SUPPORT, "volumes of this driver have no content");
        if (volume->def->type == VOLUME_TYPE_DIR)
                return err_set(err, ERR_OPERATION_INVALID, "volume '%s' is a directory", volume->def->name);
        if (way->upload && volume_check_unused(pool, volume->def, USE_ALONE, "overwritten", err) < 0)
                return -1;
        if (way->upload ? volume_claim(pool, volume->def->name, err) < 0
                        : volume_is_changing(pool, volume->def->name) &&
                                  err_set(err, ERR_OPERATION_INVALID, "volume '%s' is still in use.",
                                          volume->def->name) < 0)
                return -1;
        t = mem_new(Transfer);
        *t = (Transfer){ .pool = pool_ref(pool), .name = str_dup(volume->def->name), .upload = way->upload };
        if (way->upload && volume->def->type == VOLUME_TYPE_FILE && pool_type_is_directory(pool->live->type))
                t->path = str_dup(volume->def->target.path);
        if (begin(call, t, way, volume->def->target.path, err) == 0) {
                call_reply(call, NULL);
                return 0;
        }
        if (way->upload)
                volume_release(pool, t->name);
        transfer_free(t);
        return -1;
}

int handle_storage_vol_upload(Call *call, const WireStorageVolUploadArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM, err) < 0)
                return -1;
        return transfer(call, &(Way){ &args->vol, args->offset, args->length, true, false }, err);
}

int handle_storage_vol_download(Call *call, const WireStorageVolDownloadArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM, err) < 0)
                return -1;
        return transfer(call,
                        &(Way){ &args->vol, args->offset, args->length, false,
                                args->flags & VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM },
                        err);
}
