/*
 * host/storage/wipe.c - overwriting what was on a volume
 *
 * Each algorithm is a list of passes: a pattern of up to three bytes, or random
 * bytes. A pass is on the disk before the next begins, or nothing but the last
 * would ever get there.
 */
#include "host/storage/volume.h"

#include "base/mem.h"
#include "img/file.h"
#include "img/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 3 << 20 };

typedef struct Pass {
        uint8_t n; /* 0: random */
        uint8_t bytes[3];
} Pass;

typedef struct Passes {
        const Pass *items;
        size_t n;
        unsigned times; /* all of them, over and over */
} Passes;

#define R                                                                                                            \
        {                                                                                                            \
                0,                                                                                                   \
                {                                                                                                    \
                        0                                                                                            \
                }                                                                                                    \
        }
#define P(b)                                                                                                         \
        {                                                                                                            \
                1,                                                                                                   \
                {                                                                                                    \
                        b                                                                                            \
                }                                                                                                    \
        }
#define T(a, b, c)                                                                                                   \
        {                                                                                                            \
                3,                                                                                                   \
                {                                                                                                    \
                        a, b, c                                                                                      \
                }                                                                                                    \
        }
#define PASSES(list)                                                                                                 \
        {                                                                                                            \
                list, ARRAY_LEN(list), 1                                                                             \
        }

static const Pass zero[] = { P(0) };
static const Pass random_once[] = { R };
static const Pass nnsa[] = { R, R, P(0) };
static const Pass dod[] = { R, P(0), P(0xff) };
static const Pass bsi[] = { P(0xff), P(0xfe), P(0xfd), P(0xfb), P(0xf7), P(0xef), P(0xdf), P(0xbf), P(0x7f) };
static const Pass schneier[] = { P(0), P(0xff), R, R, R, R, R };
static const Pass gutmann[] = {
        R,
        R,
        R,
        R,
        P(0x55),
        P(0xaa),
        T(0x92, 0x49, 0x24),
        T(0x49, 0x24, 0x92),
        T(0x24, 0x92, 0x49),
        P(0x00),
        P(0x11),
        P(0x22),
        P(0x33),
        P(0x44),
        P(0x55),
        P(0x66),
        P(0x77),
        P(0x88),
        P(0x99),
        P(0xaa),
        P(0xbb),
        P(0xcc),
        P(0xdd),
        P(0xee),
        P(0xff),
        T(0x92, 0x49, 0x24),
        T(0x49, 0x24, 0x92),
        T(0x24, 0x92, 0x49),
        T(0x6d, 0xb6, 0xdb),
        T(0xb6, 0xdb, 0x6d),
        T(0xdb, 0x6d, 0xb6),
        R,
        R,
        R,
        R,
};

static const Passes algorithms[N_WIPES] = {
        [WIPE_ZERO] = PASSES(zero),
        [WIPE_NNSA] = PASSES(nnsa),
        [WIPE_DOD] = PASSES(dod),
        [WIPE_BSI] = PASSES(bsi),
        [WIPE_GUTMANN] = PASSES(gutmann),
        [WIPE_SCHNEIER] = PASSES(schneier),
        [WIPE_PFITZNER7] = { random_once, 1, 7 },
        [WIPE_PFITZNER33] = { random_once, 1, 33 },
        [WIPE_RANDOM] = PASSES(random_once),
};

static int fill_random(uint8_t *data, size_t n, Error *err)
{
        size_t at = 0;

        while (at < n) {
                ssize_t got = getrandom(data + at, n - at, 0);

                if (got < 0 && errno != EINTR)
                        return err_errno(err, errno, "cannot get random bytes");
                at += got > 0 ? (size_t)got : 0;
        }
        return 0;
}

typedef struct Target {
        const char *path;
        int fd;
        bool is_block;
        uint64_t size;
        uint8_t *data; /* CHUNK bytes */
} Target;

static int write_range(const Target *target, const Pass *pass, uint64_t at, uint64_t end, Error *err)
{
        while (at < end) {
                /* where a pattern begins anew does not matter */
                size_t n = (size_t)MIN((uint64_t)CHUNK, end - at);
                ssize_t done;

                if (!pass->n && fill_random(target->data, n, err) < 0)
                        return -1;
                done = pwrite(target->fd, target->data, n, (off_t)at);
                if (done < 0 && errno == EINTR)
                        continue;
                if (done <= 0)
                        return err_errno(err, done ? errno : ENOSPC, "cannot overwrite '%s' at %llu", target->path,
                                         (unsigned long long)at);
                at += (uint64_t)done;
        }
        return 0;
}

/* What holds something next, in [*at, *end). false: there is no more. Where that cannot be told, all of it does. */
static bool find_held(const Target *target, uint64_t *at, uint64_t *end)
{
        off_t data = target->is_block ? -1 : lseek(target->fd, (off_t)*at, SEEK_DATA), hole;

        *end = target->size;
        if (data < 0)
                return (target->is_block || errno != ENXIO) && *at < target->size;
        *at = (uint64_t)data;
        hole = lseek(target->fd, data, SEEK_HOLE);
        if (hole > data)
                *end = MIN((uint64_t)hole, target->size);
        return *at < target->size;
}

/* A hole has nothing in it to be overwritten, and filling those of a large sparse file would fill its file system. */
static int write_pass(const Target *target, const Pass *pass, Error *err)
{
        uint64_t end;

        for (size_t i = 0; pass->n && i < CHUNK; i++)
                target->data[i] = pass->bytes[i % pass->n];
        for (uint64_t at = 0; find_held(target, &at, &end); at = end) {
                if (write_range(target, pass, at, end, err) < 0)
                        return -1;
        }
        return fdatasync(target->fd) < 0 ? err_errno(err, errno, "cannot overwrite '%s'", target->path) : 0;
}

static int discard(int fd, const char *path, bool is_block, uint64_t size, Error *err)
{
        uint64_t range[2] = { 0, size };

        if (is_block ? ioctl(fd, BLKDISCARD, range) < 0
                     : fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0)
                return err_errno(err, errno, "cannot discard '%s'", path);
        return 0;
}

int volume_wipe(const char *path, WipeAlgorithm algorithm, Error *err)
{
        AUTO(Fd) fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
        const Passes *passes = &algorithms[algorithm];
        AUTOFREE uint8_t *data = NULL;
        Target target;
        struct stat st;
        uint64_t size;

        if (fd < 0 || fstat(fd, &st) < 0)
                return storage_fail(err, errno, path, "cannot open '%s'", path);
        if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
                return err_set(err, ERR_OPERATION_INVALID, "'%s' is neither a file nor a device", path);
        if (image_fd_lock_bytes(fd, path, err) < 0)
                return -1;
        size = (uint64_t)st.st_size;
        if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &size) < 0)
                return err_errno(err, errno, "cannot get the size of '%s'", path);
        if (algorithm == WIPE_TRIM)
                return discard(fd, path, S_ISBLK(st.st_mode), size, err);
        target = (Target){ path, fd, S_ISBLK(st.st_mode), size, data = mem_try(CHUNK) };
        if (!data)
                return err_set(err, ERR_NO_MEMORY, "there is no memory for overwriting '%s'", path);
        for (unsigned round = 0; round < passes->times; round++) {
                for (size_t i = 0; i < passes->n; i++) {
                        if (write_pass(&target, &passes->items[i], err) < 0)
                                return -1;
                }
        }
        return 0;
}
