#include "test.h"

#include "base/mem.h"
#include "base/str.h"
#include "image-model.h"
#include "img/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * A file on disk under a system that does less than it was asked to, is interrupted, is full, or breaks. The linker puts
 * these before the C library's.
 */
typedef enum Fault {
        FAULT_NONE,
        FAULT_LESS,        /* every transfer is cut short */
        FAULT_INTERRUPTED, /* every second call */
        FAULT_FULL,        /* ENOSPC: all that needs room, from call number fault_at on */
        FAULT_BROKEN,      /* EIO: everything, from there on */
        FAULT_ONCE,        /* EIO: one call */
} Fault;

static Fault fault;
static unsigned calls, fault_at;

ssize_t __real_pread64(int fd, void *data, size_t n, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t n, off_t offset);
ssize_t __real_pwrite64(int fd, const void *data, size_t n, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t n, off_t offset);
int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);
int __real_fallocate64(int fd, int mode, off_t offset, off_t n);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t n);
int __real_posix_fallocate64(int fd, off_t offset, off_t n);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t n);
int __wrap_fdatasync(int fd);

/* The error of this call, 0: none. */
static int failure(bool needs_room, bool can_be_interrupted)
{
        unsigned number = calls++;

        switch (fault) {
        case FAULT_INTERRUPTED:
                return can_be_interrupted && number % 2 == 0 ? EINTR : 0;
        case FAULT_FULL:
                return needs_room && number >= fault_at ? ENOSPC : 0;
        case FAULT_BROKEN:
                return number >= fault_at ? EIO : 0;
        case FAULT_ONCE:
                return number == fault_at ? EIO : 0;
        default:
                return 0;
        }
}

static bool fails(bool needs_room, bool can_be_interrupted)
{
        int error = failure(needs_room, can_be_interrupted);

        if (error)
                errno = error;
        return error;
}

/* A part of it: of no round size, but for what goes past the page cache, which is whole sectors. */
static size_t less(int fd, size_t n)
{
        size_t part = n * (calls % 5 + 1) / 7;

        if (fault != FAULT_LESS || n < 2)
                return n;
        return fcntl(fd, F_GETFL) & O_DIRECT ? MAX((size_t)512, part / 512 * 512) : MAX((size_t)1, part);
}

ssize_t __wrap_pread64(int fd, void *data, size_t n, off_t offset)
{
        return fails(false, true) ? -1 : __real_pread64(fd, data, less(fd, n), offset);
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t n, off_t offset)
{
        return fails(true, true) ? -1 : __real_pwrite64(fd, data, less(fd, n), offset);
}

int __wrap_ftruncate64(int fd, off_t size)
{
        return fails(true, true) ? -1 : __real_ftruncate64(fd, size);
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t n)
{
        return fails(true, true) ? -1 : __real_fallocate64(fd, mode, offset, n);
}

int __wrap_posix_fallocate64(int fd, off_t offset, off_t n)
{
        int error = failure(true, true);

        return error ? error : __real_posix_fallocate64(fd, offset, n);
}

int __wrap_fdatasync(int fd)
{
        (void)fd;
        return fails(false, false) ? -1 : 0; /* no power is lost here */
}

typedef struct Kind {
        ImageFormat format;
        ImageCreate how;
} Kind;

static const Kind kinds[] = {
        { IMAGE_FORMAT_RAW, { .size = 1 << 20 } },
        { IMAGE_FORMAT_QCOW2, { .size = 1 << 20, .cluster_size = 4096 } },
        { IMAGE_FORMAT_QCOW2, { .size = 1 << 20, .cluster_size = 16384, .extended_l2 = true } },
        { IMAGE_FORMAT_QCOW2, { .size = 1 << 20, .preallocation = PREALLOCATE_FALLOC } },
        { IMAGE_FORMAT_QCOW, { .size = 1 << 20 } },
        { IMAGE_FORMAT_VDI, { .size = 1 << 20 } },
        { IMAGE_FORMAT_VMDK, { .size = 1 << 20 } },
        { IMAGE_FORMAT_VPC, { .size = 1 << 20, .force_size = true } },
        { IMAGE_FORMAT_VHDX, { .size = 1 << 20, .cluster_size = 1 << 20 } },
        { IMAGE_FORMAT_PARALLELS, { .size = 1 << 20, .cluster_size = 65536 } },
};

static char path[64];

/* All of the calls below fail on the first error. direct: as QEMU opens with cache=none. */
static int make(const Kind *kind, Error *err)
{
        ImageFile *file = image_file_open(path, FILE_WRITE | FILE_CREATE, err);
        int r;

        if (!file)
                return -1;
        r = image_create(file, kind->format, &kind->how, err);
        if (r == 0)
                r = image_file_flush(file, err);
        image_file_close(file);
        return r;
}

static Image *opened(const Kind *kind, unsigned flags, bool direct, Error *err)
{
        ImageFile *file = image_file_open(path, (flags & IMAGE_WRITE ? FILE_WRITE : 0) | (direct ? FILE_DIRECT : 0),
                                          err);
        Image *image = file ? image_open(file, kind->format, flags, err) : NULL;

        if (!image)
                image_file_close(file);
        return image;
}

static int change(const Kind *kind, bool direct, uint8_t *model, Error *err)
{
        AUTO(Image) *image = opened(kind, IMAGE_WRITE, direct, err);
        uint64_t size = kind->how.size;

        for (unsigned i = 0; image && i < 12; i++) {
                uint64_t at = i * 99991 % size, n = MIN((uint64_t)i * 7919 + 100, size - at);

                memset(model + at, i % 4 == 3 ? 0 : (int)i + 1, n);
                if (i % 4 == 3 ? image_zero(image, at, n, IMAGE_ZERO_UNMAP, err) < 0
                               : image_write(image, at, model + at, n, err) < 0)
                        return -1;
                if (i % 5 == 4 && image_flush(image, err) < 0)
                        return -1;
        }
        return image ? image_close(TAKE(image), err) : -1;
}

static int check_shows(const Kind *kind, bool direct, const uint8_t *model, Error *err)
{
        AUTO(Image) *image = opened(kind, 0, direct, err);
        AUTOFREE uint8_t *is = mem_alloc(kind->how.size);

        if (!image || image_read(image, 0, is, kind->how.size, err) < 0)
                return -1;
        CHECK_MEM(is, model, kind->how.size);
        return 0;
}

static void begin(void)
{
        int fd;

        fault = FAULT_NONE;
        snprintf(path, sizeof(path), "/var/tmp/drover-faults-XXXXXX"); /* a file system that knows O_DIRECT */
        fd = mkstemp(path);
        CHECK(fd >= 0);
        close(fd);
}

static void set_fault(Fault what, unsigned at)
{
        fault = what;
        fault_at = at;
        calls = 0;
}

static void check_transfers(Fault what)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                for (unsigned direct = 0; direct < 2; direct++) {
                        AUTOFREE uint8_t *model = mem_alloc(kinds[k].how.size);
                        AUTO(Error) err = { 0 };

                        begin();
                        set_fault(what, 0);
                        CHECK_STR(make(&kinds[k], &err) < 0 ? err.text : "", "");
                        CHECK_STR(change(&kinds[k], direct, model, &err) < 0 ? err.text : "", "");
                        CHECK_STR(check_shows(&kinds[k], direct, model, &err) < 0 ? err.text : "", "");
                        CHECK(calls > 0);
                        /* And without any help. */
                        set_fault(FAULT_NONE, 0);
                        CHECK_STR(check_shows(&kinds[k], false, model, &err) < 0 ? err.text : "", "");
                        unlink(path);
                }
        }
}

TEST(reads_and_writes_that_are_cut_short_are_gone_on_with)
{
        check_transfers(FAULT_LESS);
}

TEST(calls_that_are_interrupted_are_done_again)
{
        check_transfers(FAULT_INTERRUPTED);
}

static void check_failures(Fault what, const char *sentence)
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                bool failed = true;

                for (unsigned at = 0; failed; at += 1 + at / 16) {
                        AUTOFREE uint8_t *model = mem_alloc(kinds[k].how.size);
                        AUTO(Error) err = { 0 };

                        begin();
                        CHECK_INT(make(&kinds[k], &err), 0);
                        set_fault(what, at);
                        failed = change(&kinds[k], at % 2, model, &err) < 0;
                        CHECK(failed || calls <= at || what != FAULT_BROKEN);
                        failed = calls > at;
                        fault = FAULT_NONE;
                        if (err_is_set(&err)) {
                                CHECK(strstr(err.text, sentence) || strstr(err.text, "an earlier write"));
                                CHECK(strstr(err.text, path));
                                err_done(&err);
                        }
                        model_check_after_crash(kinds[k].format, image_file_open(path, 0, &err));
                        unlink(path);
                }
        }
}

TEST(a_full_disk_is_told_and_leaves_the_image_clean_or_only_leaking)
{
        check_failures(FAULT_FULL, "No space left on device");
}

TEST(a_disk_that_breaks_is_told_and_leaves_the_image_clean_or_only_leaking)
{
        check_failures(FAULT_BROKEN, "Input/output error");
        check_failures(FAULT_ONCE, "Input/output error");
}
