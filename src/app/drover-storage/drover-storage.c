/*
 * app/drover-storage - the daemon's hands on pools and volumes
 *
 *      drover-storage serve  [start]       3: pool; commands come on 0, records go to 1, until 0 ends
 *      drover-storage pool   build|delete|stop [overwrite|no-overwrite]    3: pool
 *      drover-storage make   [metadata] [reflink] [clone]   3: pool  4: volume  5: the one to copy
 *      drover-storage delete NAME          3: pool
 *      drover-storage resize BYTES [allocate] [shrink]      3: pool  4: volume
 *      drover-storage wipe   PATH ALGORITHM
 *      drover-storage send   PATH OFFSET LENGTH [sparse]    1: pieces
 *      drover-storage receive PATH OFFSET LENGTH            0: pieces
 *
 * A path that a user named may hang or lead anywhere, and an image may be made
 * to hurt its reader, so both are touched here: in a process that can be killed
 * and that gives up what it does not need. What goes wrong is one line on
 * standard error, "NUMBER sentence", and status 1.
 *
 * Records of serve: a letter, text, a NUL. V: a volume as XML. G: the name of
 * one that is gone. F: capacity, allocation and available. S: what was known is
 * void, a scan begins. D: a command is done (its number). E: it failed (number,
 * code and sentence). Commands: "NUMBER scan", "NUMBER look NAME", NUL behind.
 */
#include "app/drover-storage/serve.h"
#include "base/file.h"
#include "base/str.h"
#include "host/storage/volume.h"
#include "img/confine.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { POOL_FD = 3, VOLUME_FD = 4, FROM_FD = 5, MOST_XML = 10 * 1024 * 1024 };

static int read_fd(int fd, Buf *ret, Error *err)
{
        AUTOFREE char *path = str_format("/proc/self/fd/%d", fd);

        return file_read(path, MOST_XML, ret, err);
}

static int read_pool(PoolDef **ret, const StorageBackend **backend, Error *err)
{
        AUTO(Buf) xml = { 0 };

        if (read_fd(POOL_FD, &xml, err) < 0 || pool_def_parse(xml.data, xml.len, 0, ret, NULL, err) < 0)
                return -1;
        *backend = storage_backend_of((*ret)->type, err);
        return *backend ? 0 : -1;
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

        return read_pool(&pool, &backend, err) < 0 ? -1 : serve(pool, backend, has_word(args, "start"), err);
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
        if (str_eq(args[0], "stop"))
                return backend->stop ? backend->stop(pool, err) : 0;
        if (!backend->unbuild)
                return err_set(err, ERR_NO_SUPPORT, "pools of type '%s' are not deleted", pool_type_text(pool->type));
        return backend->unbuild(pool, err);
}

static int do_make(char **args, Error *err)
{
        AUTO(PoolDef) *pool = NULL;
        AUTO(VolumeDef) *wanted = NULL;
        AUTO(VolumeDef) *from = NULL;
        const StorageBackend *backend;
        VolumeMake make = { .metadata = has_word(args, "metadata"), .reflink = has_word(args, "reflink") };

        if (read_pool(&pool, &backend, err) < 0 || read_volume(VOLUME_FD, &wanted, err) < 0 ||
            (has_word(args, "clone") && read_volume(FROM_FD, &from, err) < 0))
                return -1;
        make.pool = pool;
        make.wanted = wanted;
        make.from = from;
        if (backend->create && backend->create(pool, wanted, err) < 0)
                return -1;
        if (confine_to(pool->target_path, err) == 0 && volume_make(&make, err) == 0)
                return 0;
        return -1;
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
        return backend->remove(pool, args[0], err);
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
                return backend->resize(pool, volume->name, bytes, err);
        if (confine_to(pool->target_path, err) < 0)
                return -1;
        return volume_resize(volume, bytes, has_word(args, "allocate"), has_word(args, "shrink"), err);
}

static int do_wipe(char **args, Error *err)
{
        uint64_t algorithm;

        if (str_to_u64(args[1], &algorithm) < 0 || algorithm >= N_WIPES)
                return err_set(err, ERR_INVALID_ARG, "there is no way of wiping number %s", args[1]);
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

static const struct {
        const char *name;
        int n_args; /* at least */
        int (*run)(char **args, Error *err);
} verbs[] = {
        { "serve", 0, do_serve },   { "pool", 1, do_pool }, { "make", 0, do_make }, { "delete", 1, do_delete },
        { "resize", 1, do_resize }, { "wipe", 2, do_wipe }, { "send", 3, do_send }, { "receive", 3, do_receive },
};

int main(int argc, char **argv)
{
        AUTO(Error) err = { 0 };

        /* nobody is left who would hear how it went; what is half made has no name and goes with us */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_DFL);
        for (size_t i = 0; i < ARRAY_LEN(verbs) && argc > 1; i++) {
                if (!str_eq(argv[1], verbs[i].name) || argc - 2 < verbs[i].n_args)
                        continue;
                if (verbs[i].run(argv + 2, &err) == 0)
                        return 0;
                fprintf(stderr, "%d %s\n", (int)err.code, err.text);
                return 1;
        }
        fputs("drover-storage is run by droverd\n", stderr);
        return 2;
}
