#include "test.h"

#include "memory-file.h"

#include "base/mem.h"
#include "img/copy.h"

#include <stdatomic.h>
#include <string.h>

enum { SIZE = 1 << 20, CLUSTER = 4096, MOST_CALLS = 3000 };

/*
 * The allocations that may fail go through these two (base/mem.h); the linker puts ours before them. Number `fail_at`
 * of a run fails, all others work.
 */
void *__real_mem_try(size_t n);
void *__wrap_mem_try(size_t n);
void *__real_image_buffer_try(size_t n);
void *__wrap_image_buffer_try(size_t n);

static atomic_int calls, fail_at = -1;

void *__wrap_mem_try(size_t n)
{
        return atomic_fetch_add(&calls, 1) == atomic_load(&fail_at) ? NULL : __real_mem_try(n);
}

void *__wrap_image_buffer_try(size_t n)
{
        return atomic_fetch_add(&calls, 1) == atomic_load(&fail_at) ? NULL : __real_image_buffer_try(n);
}

static const ImageSecret secret = { .data = (const uint8_t *)"secret", .n = 6 };

static ImageFile *copy_of(ImageFile *file)
{
        size_t n;
        const uint8_t *bytes = memory_file_data(file, &n);

        return memory_file_new(bytes, n);
}

static Image *opened(ImageFile *from, ImageFormat format, unsigned flags, Error *err)
{
        ImageFile *file = copy_of(from);
        Image *image = image_open(file, format, flags, err);

        if (!image)
                image_file_close(file);
        return image;
}

/* What an image is made of before anything fails. */
static ImageFile *made(ImageFormat format, bool encrypt)
{
        ImageFile *file = memory_file_new(NULL, 0), *left;
        AUTO(Error) err = { 0 };
        uint8_t data[3 * CLUSTER];
        Image *image;

        CHECK_INT(image_create(file, format,
                               &(ImageCreate){ .size = SIZE,
                                               .cluster_size = format == IMAGE_FORMAT_QCOW2 ? CLUSTER : 0,
                                               .encrypt = encrypt,
                                               .luks = { .secret = &secret, .iter_time_ms = 1 } },
                               &err),
                  0);
        image = image_open(file, format, IMAGE_WRITE, &err);
        CHECK(image);
        if (encrypt)
                CHECK_INT(image_unlock(image, &secret, NULL), 0);
        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)(i / 100);
        CHECK_INT(image_write(image, 100, data, sizeof(data), NULL), 0);
        if (format == IMAGE_FORMAT_QCOW2 && !encrypt)
                CHECK_INT(image_write_compressed(image, 500 * 1024, data, CLUSTER, NULL), 0);
        CHECK_INT(image_flush(image, NULL), 0);
        left = copy_of(file);
        image_free(image);
        return left;
}

/* Each of these does one thing with a copy of the image; -1 when that failed. */
static int read_it(ImageFile *file, ImageFormat format, bool encrypted, Error *err)
{
        AUTO(Image) *image = opened(file, format, 0, err);
        AUTOFREE uint8_t *data = mem_alloc(SIZE);

        if (!image || (encrypted && image_unlock(image, &secret, err) < 0))
                return -1;
        return image_read(image, 0, data, SIZE, err);
}

static int change_it(ImageFile *file, ImageFormat format, bool encrypted, Error *err)
{
        AUTO(Image) *image = opened(file, format, IMAGE_WRITE, err);
        static const uint8_t data[10000] = { 1, 2, 3 };
        int r;

        if (!image || (encrypted && image_unlock(image, &secret, err) < 0))
                return -1;
        if (image_write(image, 300001, data, sizeof(data), err) < 0 ||
            image_zero(image, 1, 2 * CLUSTER, 0, err) < 0 || image_flush(image, err) < 0)
                return -1;
        if (format == IMAGE_FORMAT_QCOW2) {
                ImageSnapshot what = { .name = (char *)"one", .icount = UINT64_MAX };

                r = image_snapshot_create(image, &what, err);
                if (r == 0)
                        r = image_write(image, 0, data, sizeof(data), err);
                if (r == 0)
                        r = image_snapshot_delete(image, "one", err);
                if (r == 0)
                        r = image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_ADD, .name = "b" }, err);
                if (r == 0)
                        r = image_resize(image, 2 * SIZE, PREALLOCATE_METADATA, err);
                if (r < 0)
                        return -1;
        }
        return image_close(TAKE(image), err);
}

static int check_it(ImageFile *file, ImageFormat format, bool encrypted, Error *err)
{
        AUTO(Image) *image = NULL;
        ImageCheck found = { 0 };

        (void)encrypted;
        if (format != IMAGE_FORMAT_QCOW2)
                return 0;
        image = opened(file, format, IMAGE_WRITE | IMAGE_CHECKING, err);
        if (!image || image_check(image, REPAIR_ALL, &found, err) < 0)
                return -1;
        return found.corruptions ? err_set(err, ERR_OPERATION_FAILED, "it was clean before") : 0;
}

static int convert_it(ImageFile *file, ImageFormat format, bool encrypted, Error *err)
{
        AUTO(Image) *from = opened(file, format, 0, err), *to = NULL;
        ImageFile *target = memory_file_new(NULL, 0);
        CopyOptions how = { .length = SIZE, .threads = 2, .sparse = 4096, .target_is_zero = true };

        if (from && (!encrypted || image_unlock(from, &secret, err) == 0) &&
            image_create(target, IMAGE_FORMAT_QCOW2, &(ImageCreate){ .size = SIZE, .cluster_size = CLUSTER }, err) ==
                    0)
                to = image_open(target, IMAGE_FORMAT_QCOW2, IMAGE_WRITE, err);
        if (!to) {
                image_file_close(target);
                return -1;
        }
        how.compress = !encrypted;
        if (image_copy(from, to, &how, err) < 0)
                return -1;
        return image_close(TAKE(to), err);
}

/* Fail every allocation in turn, until a run needs no more of them. */
static void sweep(int (*act)(ImageFile *, ImageFormat, bool, Error *), ImageFile *file, ImageFormat format,
                  bool encrypted)
{
        for (int n = 0;; n++) {
                AUTO(Error) err = { 0 };
                int r, done;

                CHECK(n < MOST_CALLS);
                atomic_store(&calls, 0);
                atomic_store(&fail_at, n);
                r = act(file, format, encrypted, &err);
                atomic_store(&fail_at, -1);
                done = atomic_load(&calls) <= n;
                if (done) {
                        CHECK_STR(err.text ? err.text : "", "");
                        CHECK_INT(r, 0);
                        break;
                }
                /* It may be done without what could not be had; otherwise it says so. */
                CHECK(r == 0 || err_is_set(&err));
                if (r < 0)
                        CHECK_INT(err.code, ERR_NO_MEMORY);
        }
}

TEST(an_allocation_that_fails_is_an_error_and_leaks_nothing)
{
        static const struct {
                ImageFormat format;
                bool encrypt;
        } kinds[] = { { IMAGE_FORMAT_QCOW2, false },
                      { IMAGE_FORMAT_QCOW2, true },
                      { IMAGE_FORMAT_RAW, false },
                      { IMAGE_FORMAT_VDI, false },
                      { IMAGE_FORMAT_VPC, false } };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                ImageFile *file = made(kinds[i].format, kinds[i].encrypt);

                sweep(read_it, file, kinds[i].format, kinds[i].encrypt);
                sweep(change_it, file, kinds[i].format, kinds[i].encrypt);
                sweep(check_it, file, kinds[i].format, kinds[i].encrypt);
                sweep(convert_it, file, kinds[i].format, kinds[i].encrypt);
                image_file_close(file);
        }
}
