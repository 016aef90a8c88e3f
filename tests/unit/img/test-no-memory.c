#include "test.h"

#include "image-fuzz.h"
#include "image-model.h"
#include "memory-file.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/copy.h"
#include "img/rebase.h"

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

/* A kind of image, and one of it before anything fails. */
typedef struct Kind {
        ImageFormat format;
        ImageCreate how;
        ImageFile *file; /* owned */
} Kind;

static int unlock(const Kind *kind, Image *image, Error *err)
{
        return image && image_is_locked(image) ? image_unlock(image, kind->how.luks.secret, err) : image ? 0 : -1;
}

static void make(Kind *kind)
{
        ImageFile *file = memory_file_new(NULL, 0);
        AUTO(Error) err = { 0 };
        uint8_t data[3 * CLUSTER];
        Image *image;

        CHECK_STR(image_create(file, kind->format, &kind->how, &err) < 0 ? err.text : "", "");
        image = image_open(file, kind->format, IMAGE_WRITE, &err);
        CHECK_INT(unlock(kind, image, &err), 0);
        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)(i / 100);
        if (image_must_compress(image)) {
                AUTOFREE uint8_t *whole = mem_alloc(SIZE);

                memcpy(whole, data, sizeof(data));
                CHECK_INT(image_write(image, 0, whole, 2 * image_cluster_size(image), NULL), 0);
        } else {
                CHECK_INT(image_write(image, 100, data, sizeof(data), NULL), 0);
        }
        if (kind->format == IMAGE_FORMAT_QCOW2 && kind->how.cluster_size == CLUSTER && !kind->how.encrypt)
                CHECK_INT(image_write_compressed(image, 500 * 1024, data, CLUSTER, NULL), 0);
        CHECK_INT(image_flush(image, NULL), 0);
        kind->file = copy_of(file);
        image_free(image);
}

/* What is in the files of a run when it comes to its end, before they are closed; owned. */
static ImageFile *left;

static void keep(Image *image)
{
        if (image && !left)
                left = copy_of(image_file(image));
}

/* Each of these does one thing with a copy of the image; -1 when that failed. */
static int read_it(const Kind *kind, Error *err)
{
        AUTO(Image) *image = opened(kind->file, kind->format, 0, err);
        AUTOFREE uint8_t *data = mem_alloc(SIZE);

        if (unlock(kind, image, err) < 0)
                return -1;
        return image_read(image, 0, data, SIZE, err);
}

static int create_it(const Kind *kind, Error *err)
{
        AUTO(ImageFile) *file = memory_file_new(NULL, 0);

        return image_create(file, kind->format, &kind->how, err);
}

static int change_content(const Kind *kind, Image *image, Error *err)
{
        static const uint8_t data[10000] = { 1, 2, 3 };
        AUTOFREE uint8_t *whole = mem_alloc(SIZE);

        if (image_must_compress(image))
                return image_write(image, 4 * image_cluster_size(image), whole, image_cluster_size(image), err) < 0
                               ? -1
                               : image_flush(image, err);
        if (image_write(image, 300001, data, sizeof(data), err) < 0 ||
            image_zero(image, 1, 2 * CLUSTER, 0, err) < 0 || image_flush(image, err) < 0)
                return -1;
        if (image_can_compress(image) && kind->format == IMAGE_FORMAT_QCOW &&
            image_write_compressed(image, 400 * 1024, data, CLUSTER, err) < 0)
                return -1;
        return image_flush(image, err);
}

static int change_qcow2(Image *image, Error *err)
{
        static const uint8_t data[10000] = { 1, 2, 3 };
        ImageSnapshot what = { .name = (char *)"one", .icount = UINT64_MAX };

        if (image_snapshot_create(image, &what, err) < 0 || image_write(image, 0, data, sizeof(data), err) < 0 ||
            image_snapshot_apply(image, "one", err) < 0 || image_snapshot_delete(image, "one", err) < 0 ||
            image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_ADD, .name = "b" }, err) < 0 ||
            image_write(image, 0, data, sizeof(data), err) < 0 || image_flush(image, err) < 0)
                return -1;
        if (image_resize(image, 2 * SIZE, PREALLOCATE_METADATA, err) < 0 ||
            image_resize(image, SIZE, PREALLOCATE_OFF, err) < 0)
                return -1;
        return image_set_backing_name(image, "below", "raw", err);
}

static int change_it(const Kind *kind, Error *err)
{
        AUTO(Image) *image = opened(kind->file, kind->format, IMAGE_WRITE, err);
        int r = unlock(kind, image, err);

        if (r == 0)
                r = change_content(kind, image, err);
        if (r == 0 && kind->format == IMAGE_FORMAT_QCOW2)
                r = change_qcow2(image, err);
        if (r == 0 && kind->format == IMAGE_FORMAT_RAW)
                r = image_resize(image, 2 * SIZE, PREALLOCATE_FULL, err);
        keep(image);
        return r < 0 ? -1 : image_close(TAKE(image), err);
}

static int check_it(const Kind *kind, Error *err)
{
        AUTO(Image) *image = NULL;
        ImageCheck found = { 0 };
        int r;

        image = opened(kind->file, kind->format, IMAGE_WRITE | IMAGE_CHECKING, err);
        if (!image)
                return -1;
        if (!image_can_check(image))
                return 0;
        r = image_check(image, REPAIR_ALL, &found, err);
        keep(image);
        if (r == 0 && found.corruptions)
                return err_set(err, ERR_OPERATION_FAILED, "it was clean before");
        return r;
}

static Image *made(ImageFormat format, const ImageCreate *how, Error *err)
{
        ImageFile *file = memory_file_new(NULL, 0);
        Image *image = image_create(file, format, how, err) < 0 ? NULL : image_open(file, format, IMAGE_WRITE, err);

        if (!image)
                image_file_close(file);
        return image;
}

static int convert_to(const Kind *kind, ImageFormat format, const ImageCreate *target, Error *err)
{
        AUTO(Image) *from = opened(kind->file, kind->format, 0, err);
        AUTO(Image) *to = unlock(kind, from, err) < 0 ? NULL : made(format, target, err);
        CopyOptions how = { .length = SIZE, .threads = 2, .sparse = 4096, .target_is_zero = true };

        if (!to || (image_is_locked(to) && image_unlock(to, target->luks.secret, err) < 0))
                return -1;
        how.compress = image_must_compress(to) || (format == IMAGE_FORMAT_QCOW2 && !target->encrypt);
        return image_copy(from, to, &how, err) < 0 ? -1 : image_close(TAKE(to), err);
}

/* Into qcow2, and into its own format. */
static int convert_it(const Kind *kind, Error *err)
{
        return convert_to(kind, IMAGE_FORMAT_QCOW2, &(ImageCreate){ .size = SIZE, .cluster_size = CLUSTER }, err);
}

static int convert_back(const Kind *kind, Error *err)
{
        return convert_to(kind, kind->format, &kind->how, err);
}

/* An overlay with data of its own, in qcow2, on top of a copy of the image. */
static Image *overlay_on(const Kind *kind, Error *err)
{
        ImageCreate how = { .size = SIZE, .cluster_size = CLUSTER, .backing_file = "below", .backing_format = "raw" };
        AUTO(Image) *below = opened(kind->file, kind->format, 0, err);
        AUTO(Image) *over = unlock(kind, below, err) < 0 ? NULL : made(IMAGE_FORMAT_QCOW2, &how, err);

        if (!over)
                return NULL;
        image_set_backing(over, TAKE(below));
        return image_write(over, 5000, "over", 4, err) < 0 ? NULL : TAKE(over);
}

static int commit_it(const Kind *kind, Error *err)
{
        AUTO(Image) *over = overlay_on(kind, err);
        AUTO(Image) *to = over ? opened(kind->file, kind->format, IMAGE_WRITE, err) : NULL;
        int r = unlock(kind, to, err);

        if (r == 0)
                r = image_commit(over, image_backing(over), to, 0, NULL, NULL, err);
        if (r == 0)
                r = image_make_empty(over, err);
        keep(to);
        return r < 0 ? -1 : image_close(TAKE(to), err);
}

static int rebase_it(const Kind *kind, Error *err)
{
        static const uint8_t data[SIZE] = { 5, 6, 7 };
        AUTO(Image) *over = overlay_on(kind, err), *onto = NULL;
        ImageFile *file = memory_file_new(data, SIZE);
        int r;

        onto = over ? image_open(file, IMAGE_FORMAT_RAW, 0, err) : NULL;
        if (!onto) {
                image_file_close(file);
                return -1;
        }
        r = image_rebase(over, onto, NULL, NULL, err);
        if (r == 0)
                r = image_rebase(over, NULL, NULL, NULL, err);
        return r < 0 ? -1 : image_close(TAKE(over), err);
}

/* What was being done when memory ran out leaves an image that is clean or only leaking. */
static void check_left(const Kind *kind)
{
        if (left)
                model_check_after_crash(kind->format, TAKE(left));
}

/* Fail every allocation in turn, until a run needs no more of them. */
static void sweep(int (*act)(const Kind *, Error *), const Kind *kind)
{
        for (int n = 0;; n++) {
                AUTO(Error) err = { 0 };
                int r, done;

                CHECK(n < MOST_CALLS);
                atomic_store(&calls, 0);
                atomic_store(&fail_at, n);
                r = act(kind, &err);
                atomic_store(&fail_at, -1);
                check_left(kind);
                done = atomic_load(&calls) <= n;
                if (done) {
                        CHECK_STR(err.text ? err.text : "", "");
                        CHECK_INT(r, 0);
                        break;
                }
                /* It may be done without what could not be had; otherwise it says so. */
                CHECK(r == 0 || err_is_set(&err));
                if (r < 0 && err.code != ERR_NO_MEMORY)
                        CHECK_STR(err.text, "a sentence about memory");
        }
}

TEST(an_allocation_that_fails_is_an_error_and_leaks_nothing)
{
        const LuksOptions luks = { .secret = &secret, .iter_time_ms = 1 };
        Kind kinds[] = {
                { IMAGE_FORMAT_QCOW2, { .cluster_size = CLUSTER }, NULL },
                { IMAGE_FORMAT_QCOW2, { .cluster_size = 16384, .extended_l2 = true, .zstd = true }, NULL },
                { IMAGE_FORMAT_QCOW2, { .cluster_size = CLUSTER, .encrypt = true, .luks = luks }, NULL },
                { IMAGE_FORMAT_LUKS, { .luks = luks }, NULL },
                { IMAGE_FORMAT_RAW, { 0 }, NULL },
                { IMAGE_FORMAT_QCOW, { 0 }, NULL },
                { IMAGE_FORMAT_VDI, { 0 }, NULL },
                { IMAGE_FORMAT_VPC, { .force_size = true }, NULL },
                { IMAGE_FORMAT_VPC, { .force_size = true, .subformat = "fixed" }, NULL },
                { IMAGE_FORMAT_VHDX, { .cluster_size = 1 << 20 }, NULL },
                { IMAGE_FORMAT_VMDK, { 0 }, NULL },
                { IMAGE_FORMAT_VMDK, { .subformat = "streamOptimized" }, NULL },
                { IMAGE_FORMAT_PARALLELS, { .cluster_size = 65536 }, NULL },
        };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                Kind *kind = &kinds[i];

                kind->how.size = SIZE;
                make(kind);
                sweep(read_it, kind);
                sweep(create_it, kind);
                sweep(change_it, kind);
                sweep(convert_it, kind);
                if (kind->how.subformat && str_eq(kind->how.subformat, "streamOptimized")) {
                        sweep(convert_back, kind);
                        image_file_close(kind->file);
                        continue;
                }
                sweep(check_it, kind);
                if (kind->format != IMAGE_FORMAT_VHDX) /* many megabytes each time */
                        sweep(commit_it, kind);
                if (i == 0) /* what is below an overlay is only read */
                        sweep(rebase_it, kind);
                image_file_close(kind->file);
        }
}

/* Formats that are only read: an image of each, made by the fuzz target's parts. */
TEST(an_allocation_that_fails_while_a_read_only_format_is_read_is_an_error)
{
        static const struct {
                ImageFormat format;
                const char *path;
        } seeds[] = { { IMAGE_FORMAT_BOCHS, "fuzz-img-bochs/plain" },
                      { IMAGE_FORMAT_CLOOP, "fuzz-img-cloop/plain" },
                      { IMAGE_FORMAT_COW, "fuzz-img-cow/plain" },
                      { IMAGE_FORMAT_DMG, "fuzz-img-dmg/xml" },
                      { IMAGE_FORMAT_QED, "fuzz-img-qed/plain" } };

        for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
                Kind kind = { .format = seeds[i].format };

                AUTOFREE char *path = str_format("%s/%s", DROVER_TEST_DATA, seeds[i].path), *parts = NULL;
                AUTO(Error) err = { 0 };
                AUTO(ImageFile) *file = image_file_open(path, 0, &err);
                uint64_t n = 0;

                CHECK_STR(!file || image_file_size(file, &n, &err) < 0 ? err.text : "", "");
                parts = mem_alloc(n + 1);
                CHECK_INT(image_file_read(file, 0, parts, n, &err), 0);
                kind.file = image_fuzz_file((const uint8_t *)parts, n);
                sweep(read_it, &kind);
                sweep(convert_it, &kind);
                image_file_close(kind.file);
        }
}
