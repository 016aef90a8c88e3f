/*
 * app/drover-storage - the daemon's hands on pools and volumes
 *
 * 8, where a pool has <auth>: what it logs in with. 9, where it has one: the pool's lock, which the host's programs hold.
 * 10, of a copy: how much of it there is and is to be, two numbers of 64 bits that the daemon reads.
 *
 *      drover-storage serve  [start|busy]  3: pool; commands come on 0, records go to 1, until 0 ends
 *      drover-storage pool   build|delete|stop [overwrite|no-overwrite]    3: pool
 *      drover-storage make   [metadata] [reflink] [clone] [as-is] [key] [from-key]
 *                            3: pool  4: volume  5: the one to copy  6, 7: what opens them
 *      drover-storage delete NAME [zeroed PATH]     3: pool
 *      drover-storage resize BYTES [allocate] [shrink]      3: pool  4: volume
 *      drover-storage wipe   PATH ALGORITHM 3: pool
 *      drover-storage send   PATH OFFSET LENGTH [sparse]    1: pieces
 *      drover-storage receive PATH OFFSET LENGTH            0: pieces
 *      drover-storage give-back PATH       what a receive that did not end well overwrote
 *      drover-storage sources TYPE         3: where to look, or empty   1: what was found
 *
 * A path that a user named may hang or lead anywhere, and an image may be made
 * to hurt its reader, so both are touched here: in a process that can be killed
 * and that gives up what it does not need. What goes wrong is one line on
 * standard error, "NUMBER sentence", and status 1.
 *
 * Records of serve: a letter, text, a NUL. V: a volume as XML. K: the name of one
 * that is as it was told last. G: of one that is gone. F: capacity, allocation and available. S: what was known is
 * void, a scan begins. D: a command is done (its number). E: it failed (number,
 * code and sentence; 0: of the start, or of a scan that the kernel's events asked for). Commands: "NUMBER scan", "NUMBER look NAME", NUL behind.
 */
#include "app/drover-storage/serve.h"
#include "base/file.h"
#include "base/str.h"
#include "host/storage/undo.h"
#include "host/storage/volume.h"
#include "img/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        POOL_FD = 3,
        VOLUME_FD = 4,
        FROM_FD = 5,
        KEY_FD = 6,
        FROM_KEY_FD = 7,
        LOGIN_FD = 8,
        LOCK_FD = 9,
        PROGRESS_FD = 10,
        MOST_XML = 10 * 1024 * 1024,
        LUKS_ROOM = 2 * 1024 * 1024
};

static int read_fd(int fd, Buf *ret, Error *err)
{
        AUTOFREE char *path = str_format("/proc/self/fd/%d", fd);

        return file_read(path, MOST_XML, ret, err);
}

/* What needs none, like stopping, goes on without. */
static int read_password(const PoolDef *pool, Error *err)
{
        AUTO(Buf) password = { 0 };

        if (!pool->source || !pool->source->auth || fcntl(LOGIN_FD, F_GETFD) < 0)
                return 0;
        return read_fd(LOGIN_FD, &password, err) < 0 ? -1
                                                     : storage_set_password(buf_text(&password), password.len, err);
}

static int read_pool(PoolDef **ret, const StorageBackend **backend, Error *err)
{
        AUTO(Buf) xml = { 0 };

        if (read_fd(POOL_FD, &xml, err) < 0 || pool_def_parse(xml.data, xml.len, 0, ret, NULL, err) < 0)
                return -1;
        *backend = storage_backend_of((*ret)->type, err);
        return *backend ? read_password(*ret, err) : -1;
}

static int read_volume(int fd, VolumeDef **ret, Error *err)
{
        AUTO(Buf) xml = { 0 };

        return read_fd(fd, &xml, err) < 0 ? -1 : volume_def_parse(xml.data, xml.len, 0, ret, NULL, err);
}

static bool has_word(char **words, const char *word)
{
        for (; *words; words++) {
                if (str_eq(*words, word))
                        return true;
        }
        return false;
}

static int confine_to(const char *dir, Error *err)
{
        return image_confine(&(Confinement){ .may_open = true, .writable = (const char *[]){ dir, NULL } }, err);
}

/* --- verbs --- */

static int do_serve(char **args, Error *err)
{
        AUTO(PoolDef) *pool = NULL;
        const StorageBackend *backend;

        storage_await_tools();
        if (read_pool(&pool, &backend, err) < 0)
                return -1;
        return serve(pool, backend, has_word(args, "start"), has_word(args, "busy"), err);
}

static int do_pool(char **args, Error *err)
{
        AUTO(PoolDef) *pool = NULL;
        const StorageBackend *backend;
        unsigned flags = (has_word(args, "overwrite") ? BUILD_OVERWRITE : 0) |
                         (has_word(args, "no-overwrite") ? BUILD_NO_OVERWRITE : 0);

        if (read_pool(&pool, &backend, err) < 0)
                return -1;
        if (str_eq(args[0], "build"))
                return backend->build ? backend->build(pool, flags, err) : 0;
        if (str_eq(args[0], "stop") || str_eq(args[0], "give-up")) {
                uint32_t patience_s;

                if (!args[1] || str_to_u32(args[1], &patience_s) < 0)
                        return err_set(err, ERR_INTERNAL, "'%s' is not a number of seconds", args[1] ?: "");
                /* what a daemon that is gone began to mount is there then, or is not */
                if (storage_end_tools(pool, patience_s, err) < 0)
                        return -1;
                return backend->stop && str_eq(args[0], "stop") ? backend->stop(pool, err) : 0;
        }
        if (!backend->unbuild)
                return err_set(err, ERR_NO_SUPPORT, "pools of type '%s' are not deleted", pool_type_text(pool->type));
        return backend->unbuild(pool, err);
}

/*
 * What reads images gives up what it does not need, and the host's programs are needed afterwards: so a process of its
 * own puts the content in. What goes wrong there it says itself.
 */
static int fill_room(const VolumeMake *make, bool *said, Error *err)
{
        int status;
        pid_t pid;

        if (!volume_has_content(make))
                return 0;
        if (!make->room->path)
                return err_set(err, ERR_NO_SUPPORT, "volumes of a pool of type '%s' are made empty",
                               pool_type_text(make->pool->type));
        pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (confine_to(make->room->path, err) == 0 && volume_make(make, err) == 0)
                        _exit(0);
                dprintf(STDERR_FILENO, "%d %s\n", (int)err->code, err->text);
                _exit(1);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return err_errno(err, errno, "cannot start a process");
        *said = WIFEXITED(status) && WEXITSTATUS(status) == 1;
        return status == 0 ? 0
                           : err_set(err, ERR_OPERATION_FAILED, "the process that fills volume '%s' ended",
                                     make->wanted->name);
}

static int make_in_room(const StorageBackend *backend, VolumeMake *make, bool *said, Error *err)
{
        AUTO(StorageRoom) room = { .lock = -1 };
        AUTO(VolumeDef) *roomy = volume_def_copy(make->wanted);

        if (!backend->create)
                return err_set(err, ERR_NO_SUPPORT, "volumes are not made in a pool of type '%s'",
                               pool_type_text(make->pool->type));
        if (make->wanted->target.format && !str_eq(make->wanted->target.format, "raw") && !backend->any_format)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "volumes of a pool of type '%s' are raw; '%s' is the guest's choice of format",
                               pool_type_text(make->pool->type), make->wanted->target.format);
        /* what stands before the guest's first byte takes room too */
        if (roomy->target.encryption) {
                roomy->capacity_bytes += LUKS_ROOM;
                roomy->allocation_bytes = roomy->allocation_bytes ? roomy->allocation_bytes + LUKS_ROOM : 0;
        }
        if (backend->create(make->pool, roomy, &room, err) < 0)
                return -1;
        make->room = &room;
        if (fill_room(make, said, err) == 0 &&
            (!backend->finish || backend->finish(make->pool, make->wanted, &room, err) == 0))
                return 0;
        if (backend->remove_room)
                backend->remove_room(make->pool, make->wanted->name, NULL);
        return -1;
}

/* A directory is made without a byte of a stranger's being read, and whoever reads those makes no directories. */
static int make_in_directory(const VolumeMake *make, Error *err)
{
        bool is_directory = str_eq(make->wanted->target.format, "dir");

        if (!is_directory && confine_to(make->pool->target_path, err) < 0)
                return -1;
        return volume_make(make, err);
}

/* The key, when there is one, goes with this process. */
static int read_key(int fd, Buf *data, ImageSecret *ret, Error *err)
{
        if (read_fd(fd, data, err) < 0)
                return -1;
        *ret = (ImageSecret){ .data = (const uint8_t *)buf_text(data), .n = data->len };
        return 0;
}

/* For the daemon. A copy that nobody can be told of is a copy. */
static int tell_progress(void *arg UNUSED, uint64_t done, uint64_t total, Error *err UNUSED)
{
        const uint64_t numbers[] = { done, total };
        ssize_t n = pwrite(PROGRESS_FD, numbers, sizeof(numbers), 0);

        (void)n;
        return 0;
}

static int do_make(char **args, Error *err)
{
        AUTO(Buf) key = { 0 };
        AUTO(Buf) from_key = { 0 };
        AUTO(PoolDef) *pool = NULL;
        AUTO(VolumeDef) *wanted = NULL;
        AUTO(VolumeDef) *from = NULL;
        const StorageBackend *backend;
        VolumeMake make = { .metadata = has_word(args, "metadata"),
                            .reflink = has_word(args, "reflink"),
                            .as_is = has_word(args, "as-is") };
        bool said = false;

        if (read_pool(&pool, &backend, err) < 0 || read_volume(VOLUME_FD, &wanted, err) < 0 ||
            (has_word(args, "clone") && read_volume(FROM_FD, &from, err) < 0) ||
            (has_word(args, "key") && read_key(KEY_FD, &key, &make.key, err) < 0) ||
            (has_word(args, "from-key") && read_key(FROM_KEY_FD, &from_key, &make.from_key, err) < 0))
                return -1;
        make.pool = pool;
        make.wanted = wanted;
        make.from = from;
        if (from) {
                make.progress = tell_progress;
                fcntl(PROGRESS_FD, F_SETFD, FD_CLOEXEC); /* not for the host's programs */
        }
        if (pool_type_is_directory(pool->type))
                return make_in_directory(&make, err);
        if (make_in_room(backend, &make, &said, err) == 0)
                return 0;
        if (said)
                err->code = ERR_OK;
        return -1;
}

static int do_resize(char **args, Error *err)
{
        AUTO(PoolDef) *pool = NULL;
        AUTO(VolumeDef) *volume = NULL;
        const StorageBackend *backend;
        uint64_t bytes;

        if (read_pool(&pool, &backend, err) < 0 || read_volume(VOLUME_FD, &volume, err) < 0)
                return -1;
        if (str_to_u64(args[0], &bytes) < 0)
                return err_set(err, ERR_INTERNAL, "'%s' is not a number of bytes", args[0]);
        if (backend->resize)
                return backend->resize(pool, volume, bytes, err);
        if (!pool_type_is_directory(pool->type))
                return err_set(err, ERR_NO_SUPPORT, "volumes of a pool of type '%s' are not resized",
                               pool_type_text(pool->type));
        if (confine_to(pool->target_path, err) < 0)
                return -1;
        return volume_resize(volume, bytes, has_word(args, "allocate"), has_word(args, "shrink"), err);
}

/* A device that shows more than it has would be full long before its end, and broken then. */
static int check_has_room(const PoolDef *pool, const StorageBackend *backend, const char *path, Error *err)
{
        const char *name = strrchr(path, '/');
        AUTO(VolumeDef) *def = NULL;

        if (pool_type_is_directory(pool->type) || !backend->look || !name)
                return 0;
        if (backend->look(pool, name + 1, &def, err) < 0)
                return -1;
        return def && def->allocation_bytes < def->capacity_bytes
                       ? err_set(err, ERR_NO_SUPPORT, "volume '%s' is sparse, and cannot be wiped", def->name)
                       : 0;
}

static int do_delete(char **args, Error *err)
{
        AUTO(PoolDef) *pool = NULL;
        const StorageBackend *backend;

        if (read_pool(&pool, &backend, err) < 0)
                return -1;
        if (!backend->remove)
                return err_set(err, ERR_NO_SUPPORT, "volumes of a pool of type '%s' are not deleted",
                               pool_type_text(pool->type));
        if (str_eq(args[1], "zeroed") &&
            (check_has_room(pool, backend, args[2], err) < 0 || volume_wipe(args[2], WIPE_ZERO, err) < 0))
                return -1;
        if (has_word(args + 1, "snapshots") && backend->remove_snapshots &&
            backend->remove_snapshots(pool, args[0], err) < 0)
                return -1;
        return backend->remove(pool, args[0], err);
}

static int do_wipe(char **args, Error *err)
{
        AUTO(PoolDef) *pool = NULL;
        const StorageBackend *backend;
        uint64_t algorithm;

        if (str_to_u64(args[1], &algorithm) < 0 || algorithm >= N_WIPES)
                return err_set(err, ERR_INVALID_ARG, "there is no way of wiping number %s", args[1]);
        if (read_pool(&pool, &backend, err) < 0 || check_has_room(pool, backend, args[0], err) < 0)
                return -1;
        return volume_wipe(args[0], (WipeAlgorithm)algorithm, err);
}

static int do_transfer(char **args, bool sends, Error *err)
{
        uint64_t offset, length;

        if (str_to_u64(args[1], &offset) < 0 || str_to_u64(args[2], &length) < 0)
                return err_set(err, ERR_INTERNAL, "'%s' and '%s' are no offset and length", args[1], args[2]);
        if (!sends)
                return volume_receive(args[0], offset, length, STDIN_FILENO, err);
        return volume_send(args[0], offset, length, has_word(args, "sparse"), STDOUT_FILENO, err);
}

static int do_send(char **args, Error *err)
{
        return do_transfer(args, true, err);
}

static int do_receive(char **args, Error *err)
{
        return do_transfer(args, false, err);
}

static int do_give_back(char **args, Error *err)
{
        return undo_give_back(args[0], err);
}

static int do_sources(char **args, Error *err)
{
        AUTO(PoolSourcesDef) *found = pool_sources_new();
        AUTO(PoolSourcesDef) *where = NULL;
        const StorageBackend *backend;
        AUTO(Buf) xml = { 0 };
        PoolType type = (PoolType)enum_find(&pool_type_words, args[0]);

        backend = type ? storage_backend_of(type, err) : NULL;
        if (!backend)
                return -1;
        if (read_fd(POOL_FD, &xml, err) < 0 || (xml.len && pool_sources_parse(xml.data, xml.len, &where, err) < 0) ||
            backend->find_sources(where ? where->sources[0] : NULL, found, err) < 0)
                return -1;
        buf_clear(&xml);
        pool_sources_format(found, &xml);
        return fd_write_all(STDOUT_FILENO, xml.data, xml.len, err);
}

static const struct {
        const char *name;
        int n_args; /* at least */
        int (*run)(char **args, Error *err);
} verbs[] = {
        { "serve", 0, do_serve },         { "pool", 1, do_pool },       { "make", 0, do_make },
        { "delete", 1, do_delete },       { "resize", 1, do_resize },   { "wipe", 2, do_wipe },
        { "send", 3, do_send },           { "receive", 3, do_receive }, { "sources", 1, do_sources },
        { "give-back", 1, do_give_back },
};

/* A daemon that died before it could be asked to take us along no longer listens either. */
static bool is_alone(void)
{
        struct pollfd listener = { .fd = STDERR_FILENO };

        return poll(&listener, 1, 0) == 1 && listener.revents & POLLERR;
}

int main(int argc, char **argv)
{
        AUTO(Error) err = { 0 };

        /* nobody is left who would hear how it went; what is half made has no name and goes with us */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (is_alone())
                return 1;
        signal(SIGPIPE, SIG_DFL);
        storage_mark_tools(LOCK_FD);
        for (size_t i = 0; i < ARRAY_LEN(verbs) && argc > 1; i++) {
                if (!str_eq(argv[1], verbs[i].name) || argc - 2 < verbs[i].n_args)
                        continue;
                if (verbs[i].run(argv + 2, &err) == 0)
                        return 0;
                if (err_is_set(&err))
                        fprintf(stderr, "%d %s\n", (int)err.code, err.text);
                return 1;
        }
        fputs("drover-storage is run by droverd\n", stderr);
        return 2;
}
