/*
 * app/drover/cmd-volume-data.c - the content of a volume, from and to a file
 *
 * With --sparse holes travel as holes, and nothing is read or written for them.
 * A download that fails or is interrupted leaves no file behind that was not there before.
 */
#include "app/drover/commands.h"
#include "app/drover/storage.h"

#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024 };

typedef struct Transfer {
        Session *session;
        ClientStream *stream;
        int fd;
        const char *path;
        uint64_t done, total; /* total 0: not known */
        bool sparse, shown;
        int percent;
        Error failure;
        bool opened, finished, sent_all;
        int killed_by; /* 0: nobody did */
        char data[CHUNK];
} Transfer;

static void show(Transfer *t)
{
        int percent = t->total ? (int)(t->done * 100 / t->total) : 100;

        if (!t->shown || percent == t->percent)
                return;
        t->percent = percent;
        fprintf(stderr, "\r[%3d %%] ", percent);
        fflush(stderr);
}

static void give_up(Transfer *t, const char *what)
{
        if (!err_is_set(&t->failure))
                err_errno(&t->failure, errno, "cannot %s '%s'", what, t->path);
        client_stream_abort(t->stream);
}

static void opened(void *arg, ClientReply *reply)
{
        Transfer *t = arg;

        t->opened = true;
        if (reply->failure) {
                err_copy(&t->failure, reply->failure);
                t->finished = true;
        }
}

static void finished(void *arg, const Error *failure)
{
        Transfer *t = arg;

        if (failure && !err_is_set(&t->failure))
                err_copy(&t->failure, failure);
        t->finished = true;
}

/* --- down --- */

static void came_data(void *arg, const void *data, size_t len)
{
        Transfer *t = arg;

        if (err_is_set(&t->failure))
                return;
        if (fd_write_all(t->fd, data, len, NULL) < 0) {
                give_up(t, "write");
                return;
        }
        t->done += len;
        show(t);
}

static void came_hole(void *arg, uint64_t length)
{
        Transfer *t = arg;
        off_t at;

        if (err_is_set(&t->failure))
                return;
        at = lseek(t->fd, (off_t)length, SEEK_CUR);
        if (at < 0 || ftruncate(t->fd, at) < 0) {
                give_up(t, "write");
                return;
        }
        t->done += length;
        show(t);
}

static void came_end(void *arg)
{
        Transfer *t = arg;

        client_stream_finish(t->stream);
}

/* --- up --- */

/* The length of the hole at the file's position, 0 when data stands there. */
static uint64_t hole_here(const Transfer *t)
{
        off_t at = lseek(t->fd, 0, SEEK_CUR), data = lseek(t->fd, at, SEEK_DATA);
        uint64_t end = t->total;

        if (at < 0 || (data < 0 && errno != ENXIO)) {
                lseek(t->fd, at, SEEK_SET);
                return 0;
        }
        if (data >= 0)
                end = MIN(end, (uint64_t)data);
        lseek(t->fd, (off_t)end, SEEK_SET);
        return end > (uint64_t)at ? end - (uint64_t)at : 0;
}

/* No further than the next hole, so that it is seen. */
static size_t data_here(const Transfer *t)
{
        uint64_t left = t->total - t->done;

        if (t->sparse) {
                off_t at = lseek(t->fd, 0, SEEK_CUR), hole = lseek(t->fd, at, SEEK_HOLE);

                lseek(t->fd, at, SEEK_SET);
                if (hole > at)
                        left = MIN(left, (uint64_t)(hole - at));
        }
        return (size_t)MIN(left, (uint64_t)CHUNK);
}

static void send_some(void *arg)
{
        Transfer *t = arg;

        while (!t->sent_all && !t->finished && !err_is_set(&t->failure) && client_stream_has_room(t->stream)) {
                uint64_t hole = t->sparse ? hole_here(t) : 0;
                ssize_t n;

                if (hole) {
                        client_stream_send_hole(t->stream, hole);
                        t->done += hole;
                        show(t);
                        continue;
                }
                n = t->done < t->total ? read(t->fd, t->data, data_here(t)) : 0;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        give_up(t, "read");
                        return;
                }
                if (n == 0) {
                        t->sent_all = true;
                        client_stream_finish(t->stream);
                        return;
                }
                client_stream_send(t->stream, t->data, (size_t)n);
                t->done += (uint64_t)n;
                show(t);
        }
}

/* --- both --- */

static const ClientStreamHooks up_hooks = { .room = send_some, .finished = finished };
static const ClientStreamHooks down_hooks = {
        .data = came_data, .hole = came_hole, .end = came_end, .finished = finished
};

static int run_until(Transfer *t, const bool *flag, Error *err)
{
        while (!*flag && !t->session->lost) {
                if (loop_turn(t->session->loop, -1, err) < 0)
                        return -1;
        }
        return *flag ? 0 : err_set(err, ERR_INTERNAL, "the connection to the daemon ended");
}

static int transfer(Transfer *t, uint32_t proc, const void *call, Error *err)
{
        bool up = proc == WIRE_PROC_STORAGE_VOL_UPLOAD;

        if (session_open(t->session, err) < 0)
                return -1;
        t->percent = -1;
        t->stream = client_stream_new(t->session->client, wire_proc_find(WIRE_PROGRAM_REMOTE, proc), call,
                                      up ? &up_hooks : &down_hooks, opened, t);
        if (run_until(t, &t->opened, err) < 0)
                return -1;
        if (up)
                send_some(t);
        if (!t->finished && run_until(t, &t->finished, err) < 0)
                return -1;
        if (t->shown)
                fprintf(stderr, "\n");
        if (!err_is_set(&t->failure))
                return 0;
        session_spell_out(&t->failure);
        return err_move(err, &t->failure);
}

static int range_of(const Args *args, uint64_t *offset, uint64_t *length, Error *err)
{
        *offset = *length = 0;
        return arg_size(args, "offset", 1, offset, err) < 0 || arg_size(args, "length", 1, length, err) < 0 ? -1 : 0;
}

/* How much a file holds: a device says it elsewhere than a file, and nobody knows it of a pipe. */
static uint64_t content_of(int fd, const struct stat *st)
{
        off_t end;

        if (S_ISREG(st->st_mode))
                return (uint64_t)st->st_size;
        end = S_ISBLK(st->st_mode) ? lseek(fd, 0, SEEK_END) : -1;
        return end < 0 || lseek(fd, 0, SEEK_SET) < 0 ? UINT64_MAX : (uint64_t)end;
}

static int vol_upload(Session *s, const Args *args, Error *err)
{
        WireStorageVolUploadArgs call = { .flags = arg_has(args, "sparse") ? VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM
                                                                           : 0 };
        const char *path = arg_text(args, "file");
        AUTO(Fd) fd = open(path, O_RDONLY | O_CLOEXEC);
        Transfer *t = arena_new_one(session_arena(s), Transfer);
        struct stat st;
        int result;

        if (fd < 0 || fstat(fd, &st) < 0)
                return err_errno(err, errno, "cannot read %s", path);
        if (range_of(args, &call.offset, &call.length, err) < 0 ||
            find_volume(s, args, "vol", "pool", &call.vol, err) < 0)
                return -1;
        *t = (Transfer){ .session = s, .fd = fd, .path = path, .total = content_of(fd, &st), .sparse = call.flags };
        if (call.length)
                t->total = MIN(t->total, call.length);
        t->shown = arg_has(args, "progress") && t->total != UINT64_MAX;
        result = transfer(t, WIRE_PROC_STORAGE_VOL_UPLOAD, &call, err);
        client_stream_free(t->stream);
        if (result < 0)
                return fail(err, "cannot upload to volume %s", call.vol.name);
        out_set_u64(s->out, "bytes", t->done);
        return 0;
}

/* What will come: the volume's length, or the part asked for. */
static uint64_t expected(Session *s, const WireStorageVolDownloadArgs *call)
{
        WireStorageVolGetInfoFlagsArgs ask = { call->vol, VIR_STORAGE_VOL_GET_PHYSICAL };
        WireStorageVolGetInfoFlagsRet info;

        if (call->length || session_call(s, WIRE_PROC_STORAGE_VOL_GET_INFO_FLAGS, &ask, &info, NULL) < 0 ||
            info.allocation < call->offset)
                return call->length;
        return info.allocation - call->offset;
}

/* A signal that ends a download, once the file it made is gone. */
typedef struct Ending {
        Transfer *transfer;
        int signum;
        SignalWatch *watch;
} Ending;

static void kill_transfer(void *arg)
{
        const Ending *ending = arg;
        Transfer *t = ending->transfer;

        t->killed_by = ending->signum;
        t->opened = t->finished = true;
        if (!err_is_set(&t->failure))
                err_set(&t->failure, ERR_OPERATION_ABORTED, "interrupted");
}

/* What is written is perhaps refused only now: by a server, or over a quota. */
static int close_written(Fd *fd, const char *path, Error *err)
{
        return close(fd_take(fd)) < 0 ? err_errno(err, errno, "cannot write '%s'", path) : 0;
}

/* Into a file that is made for it: a signal ends the transfer first, and the program when the file is gone. */
static int download_anew(Transfer *t, const WireStorageVolDownloadArgs *call, Error *err)
{
        Ending endings[] = { { t, SIGINT, NULL }, { t, SIGTERM, NULL }, { t, SIGHUP, NULL } };
        int result;

        for (size_t i = 0; i < ARRAY_LEN(endings); i++)
                endings[i].watch = watch_ending(t->session, endings[i].signum, kill_transfer, &endings[i]);
        result = transfer(t, WIRE_PROC_STORAGE_VOL_DOWNLOAD, call, err);
        if (t->killed_by)
                unlink(t->path);
        for (size_t i = 0; i < ARRAY_LEN(endings); i++)
                signal_watch_free(endings[i].watch);
        if (t->killed_by)
                raise(t->killed_by);
        return result;
}

static int vol_download(Session *s, const Args *args, Error *err)
{
        WireStorageVolDownloadArgs call = { .flags = arg_has(args, "sparse") ? VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM
                                                                             : 0 };
        const char *path = arg_text(args, "file");
        Transfer *t = arena_new_one(session_arena(s), Transfer);
        bool made = false, shown = arg_has(args, "progress");
        uint64_t total = 0;
        AUTO(Fd) fd = -1;
        int result;

        if (range_of(args, &call.offset, &call.length, err) < 0 ||
            find_volume(s, args, "vol", "pool", &call.vol, err) < 0)
                return -1;
        if (shown) /* before there is a file: a signal may end that too */
                total = expected(s, &call);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        made = fd >= 0;
        if (!made)
                fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        if (fd < 0)
                return err_errno(err, errno, "cannot create %s", path);
        *t = (Transfer){ .session = s, .fd = fd, .path = path, .shown = shown, .total = total };
        result = made ? download_anew(t, &call, err) : transfer(t, WIRE_PROC_STORAGE_VOL_DOWNLOAD, &call, err);
        client_stream_free(t->stream);
        if (result == 0)
                result = close_written(&fd, path, err);
        if (result < 0 && made)
                unlink(path);
        if (result < 0)
                return fail(err, "cannot download from volume %s", call.vol.name);
        out_set_u64(s->out, "bytes", t->done);
        return 0;
}

#define ARGS_DATA                                                                                                    \
        "VOL              volume: name, key or path\n"                                                               \
        "FILE             the file\n"                                                                                \
        "[--pool POOL]    storage pool that the volume is in\n"                                                      \
        "[--offset SIZE]  where in the volume to begin\n"                                                            \
        "[--length SIZE]  how much of it\n"                                                                          \
        "[--sparse]       holes stay holes\n"                                                                        \
        "[--progress]     say how far it is"

const Command volume_data_commands[] = {
        { .name = "vol-download",
          .group = GROUP_STORAGE,
          .args = ARGS_DATA,
          .summary = "write a volume's content to a file",
          .run = vol_download },
        { .name = "vol-upload",
          .group = GROUP_STORAGE,
          .args = ARGS_DATA,
          .summary = "write a file's content into a volume",
          .run = vol_upload },
        { 0 },
};
