/*
 * tests/img/image-acts.c - what is done with images, for tests in which it goes wrong half way
 */
#include "image-acts.h"

#include "test.h"

#include "image-fuzz.h"
#include "memory-file.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/compare.h"
#include "img/copy.h"
#include "img/measure.h"
#include "img/rebase.h"

#include <string.h>

enum { SIZE = 1 << 20, CLUSTER = 4096 };

static const ImageSecret secret = { .data = (const uint8_t *)"secret", .n = 6 };
static const ImageSecret second = { .data = (const uint8_t *)"second", .n = 6 };

#define MADE .size = SIZE
#define LUKS .luks = { .secret = &secret, .iter_time_ms = 1 }
static const ImageKind kinds[] = {
        { IMAGE_FORMAT_QCOW2, { MADE, .cluster_size = CLUSTER }, NULL, NULL, NULL },
        { IMAGE_FORMAT_QCOW2, { MADE, .cluster_size = 16384, .extended_l2 = true, .zstd = true }, NULL, NULL, NULL },
        { IMAGE_FORMAT_QCOW2, { MADE, .cluster_size = CLUSTER, .encrypt = true, LUKS }, NULL, NULL, NULL },
        { IMAGE_FORMAT_LUKS, { MADE, LUKS }, NULL, NULL, NULL },
        { IMAGE_FORMAT_RAW, { MADE }, NULL, NULL, NULL },
        { IMAGE_FORMAT_QCOW, { MADE }, NULL, NULL, NULL },
        { IMAGE_FORMAT_VDI, { MADE }, NULL, NULL, NULL },
        { IMAGE_FORMAT_VPC, { MADE, .force_size = true }, NULL, NULL, NULL },
        { IMAGE_FORMAT_VPC, { MADE, .force_size = true, .subformat = "fixed" }, NULL, NULL, NULL },
        { IMAGE_FORMAT_VHDX, { MADE, .cluster_size = 1 << 20 }, NULL, NULL, NULL },
        { IMAGE_FORMAT_VMDK, { MADE }, NULL, NULL, NULL },
        { IMAGE_FORMAT_VMDK, { MADE, .subformat = "streamOptimized" }, NULL, NULL, NULL },
        { IMAGE_FORMAT_PARALLELS, { MADE, .cluster_size = 65536 }, NULL, NULL, NULL },
        { IMAGE_FORMAT_BOCHS, { 0 }, "fuzz-img-bochs/plain", NULL, NULL },
        { IMAGE_FORMAT_CLOOP, { 0 }, "fuzz-img-cloop/plain", NULL, NULL },
        { IMAGE_FORMAT_COW, { 0 }, "fuzz-img-cow/plain", NULL, NULL },
        { IMAGE_FORMAT_DMG, { 0 }, "fuzz-img-dmg/xml", NULL, NULL },
        { IMAGE_FORMAT_QED, { 0 }, "fuzz-img-qed/plain", NULL, NULL },
};

/* --- images --- */

static ImageFile *left;

ImageFile *image_act_left(void)
{
        return TAKE(left);
}

static void keep(Image *image)
{
        if (image)
                memory_file_keep(image_file(image), &left);
}

/* Takes the file. */
static Image *opened_file(ImageFile *file, ImageFormat format, unsigned flags, Error *err)
{
        Image *image = image_open(file, format, flags, err);

        if (!image)
                image_file_close(file);
        return image;
}

static int unlock(const ImageCreate *how, Image *image, Error *err)
{
        return image_is_locked(image) ? image_unlock(image, how->luks.secret, err) : 0;
}

/* A copy of the kind's image. */
static Image *opened(const ImageKind *kind, unsigned flags, Error *err)
{
        AUTO(Image) *image = opened_file(memory_file_copy(kind->file), kind->format, flags, err);
        int r = image ? 0 : -1;

        if (r == 0 && image_is_locked(image))
                r = image_unlock_as(image, kind->unlocked, err);
        return r == 0 ? TAKE(image) : NULL;
}

static Image *made(ImageFormat format, const ImageCreate *how, Error *err)
{
        ImageFile *file = memory_file_new(NULL, 0);
        AUTO(Image) *image = NULL;

        if (image_create(file, format, how, err) < 0) {
                image_file_close(file);
                return NULL;
        }
        image = opened_file(file, format, IMAGE_WRITE, err);
        return image && unlock(how, image, err) == 0 ? TAKE(image) : NULL;
}

uint8_t *image_act_view(const ImageKind *kind, ImageFile *file, uint64_t *size, Error *err)
{
        AUTO(Image) *image = opened_file(memory_file_copy(file), kind->format, 0, err);
        AUTOFREE uint8_t *view = NULL;

        if (!image || unlock(&kind->how, image, err) < 0)
                return NULL;
        *size = image_size(image);
        view = mem_alloc(*size);
        return image_read(image, 0, view, *size, err) < 0 ? NULL : TAKE(view);
}

/* --- kinds --- */

static bool is_made(const ImageKind *kind)
{
        return !kind->seed;
}

/* It is written in place, not in one go. */
static bool is_writable(const ImageKind *kind)
{
        return is_made(kind) && !(kind->how.subformat && str_eq(kind->how.subformat, "streamOptimized"));
}

static bool is_qcow2(const ImageKind *kind)
{
        return kind->format == IMAGE_FORMAT_QCOW2;
}

static bool is_plain_qcow2(const ImageKind *kind)
{
        return is_qcow2(kind) && !kind->how.encrypt && !kind->how.extended_l2;
}

static bool can_be_amended(const ImageKind *kind)
{
        return is_qcow2(kind) || kind->format == IMAGE_FORMAT_LUKS;
}

static ImageFile *file_of_seed(const char *seed)
{
        AUTOFREE char *path = str_format("%s/%s", DROVER_TEST_DATA, seed), *parts = NULL;
        AUTO(Error) err = { 0 };
        AUTO(ImageFile) *file = image_file_open(path, 0, &err);
        uint64_t n = 0;

        CHECK_STR(!file || image_file_size(file, &n, &err) < 0 ? err.text : "", "");
        parts = mem_alloc(n + 1);
        CHECK_INT(image_file_read(file, 0, parts, n, &err), 0);
        return image_fuzz_file((const uint8_t *)parts, n);
}

static ImageFile *file_with_content(const ImageKind *kind)
{
        AUTO(Error) err = { 0 };
        Image *image = made(kind->format, &kind->how, &err);
        AUTOFREE uint8_t *whole = mem_alloc(SIZE);
        uint8_t data[3 * CLUSTER];
        int r;

        CHECK_STR(err.text ?: "", "");
        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)(i / 100);
        memcpy(whole, data, sizeof(data));
        if (image_must_compress(image))
                r = image_write(image, 0, whole, 2 * image_cluster_size(image), &err);
        else
                r = image_write(image, 100, data, sizeof(data), &err);
        if (r == 0 && is_plain_qcow2(kind))
                r = image_write_compressed(image, 500 * 1024, data, CLUSTER, &err);
        CHECK_STR(r < 0 || image_flush(image, &err) < 0 ? err.text : "", "");
        keep(image);
        CHECK_INT(image_close(image, &err), 0);
        return image_act_left();
}

/* --- acts --- */

static int read_it(const ImageKind *kind, Error *err)
{
        AUTO(Image) *image = opened_file(memory_file_copy(kind->file), kind->format, 0, err);
        AUTOFREE uint8_t *data = mem_alloc(SIZE);

        return image && unlock(&kind->how, image, err) == 0 ? image_read(image, 0, data, SIZE, err) : -1;
}

static int create_it(const ImageKind *kind, Error *err)
{
        AUTO(ImageFile) *file = memory_file_new(NULL, 0);

        return image_create(file, kind->format, &kind->how, err);
}

static int change_content(Image *image, Error *err)
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
        if (image_can_compress(image) && image_format(image) == IMAGE_FORMAT_QCOW &&
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

static int change_it(const ImageKind *kind, Error *err)
{
        AUTO(Image) *image = opened(kind, IMAGE_WRITE, err);
        int r;

        keep(image);
        r = image ? change_content(image, err) : -1;
        if (r == 0 && kind->format == IMAGE_FORMAT_QCOW2)
                r = change_qcow2(image, err);
        if (r == 0 && kind->format == IMAGE_FORMAT_RAW)
                r = image_resize(image, 2 * SIZE, PREALLOCATE_FULL, err);
        return r < 0 ? -1 : image_close(TAKE(image), err);
}

/* What is wrong is the error: the image was clean before. */
static void note(void *arg, const char *text)
{
        Error *err = arg;

        if (!err_is_set(err))
                err_set(err, ERR_OPERATION_FAILED, "%s", text);
}

static int check_it(const ImageKind *kind, Error *err)
{
        AUTO(Image) *image = opened(kind, IMAGE_WRITE | IMAGE_CHECKING, err);
        AUTO(Error) said = { 0 };
        ImageCheck found = { .say = note, .say_arg = &said };

        keep(image);
        if (!image || !image_can_check(image))
                return image ? 0 : -1;
        if (image_check(image, REPAIR_ALL, &found, err) < 0)
                return -1;
        if (found.corruptions || found.check_errors)
                return err_is_set(&said) ? err_move(err, &said)
                                         : err_set(err, ERR_OPERATION_FAILED, "nothing is said of what is wrong");
        return image_close(TAKE(image), err);
}

static int amend_it(const ImageKind *kind, Error *err)
{
        const LuksKeyChange key = { .activate = true, .new_secret = &second, .slot = -1, .iter_time_ms = 1 };
        AUTO(Image) *image = opened(kind, IMAGE_WRITE, err);
        int r = 0;

        keep(image);
        if (!image || (kind->how.luks.secret && image_change_key(image, &key, err) < 0))
                return -1;
        if (is_plain_qcow2(kind))
                r = image_amend(image, &(ImageCreate){ .version = 2 }, err);
        if (r == 0 && is_qcow2(kind))
                r = image_amend(image,
                                &(ImageCreate){ .version = 3,
                                                .change_lazy = true,
                                                .lazy_refcounts = true,
                                                .size = 2 * SIZE,
                                                .refcount_bits = 64 },
                                err);
        return r < 0 ? -1 : image_close(TAKE(image), err);
}

static int bitmaps_it(const ImageKind *kind, Error *err)
{
        AUTO(Image) *image = opened(kind, IMAGE_WRITE, err), *to = NULL;
        ImageBitmapContent content = { 0 };
        int r;

        keep(image);
        if (!image || image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_ADD, .name = "a" }, err) < 0 ||
            image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_ADD, .name = "b" }, err) < 0 ||
            image_write(image, 70000, "seen", 4, err) < 0 || image_flush(image, err) < 0 ||
            image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_CLEAR, .name = "b" }, err) < 0 ||
            image_bitmap_load(image, "a", &content, err) < 0)
                return -1;
        r = image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_MERGE, .name = "b", .from = &content },
                                err);
        free(content.bits);
        to = r < 0 ? NULL : made(kind->format, &kind->how, err);
        if (!to || image_bitmaps_copy(image, to, NULL, err) < 0 || image_close(TAKE(to), err) < 0)
                return -1;
        return image_close(TAKE(image), err);
}

static int convert_to(const ImageKind *kind, ImageFormat format, const ImageCreate *target, Error *err)
{
        AUTO(Image) *from = opened(kind, 0, err);
        AUTO(Image) *to = from ? made(format, target, err) : NULL;
        CopyOptions how = { .length = SIZE, .threads = 2, .sparse = 4096, .target_is_zero = true };

        if (!to)
                return -1;
        how.compress = image_must_compress(to) || (format == IMAGE_FORMAT_QCOW2 && !target->encrypt);
        return image_copy(from, to, &how, err) < 0 ? -1 : image_close(TAKE(to), err);
}

static int convert_it(const ImageKind *kind, Error *err)
{
        return convert_to(kind, IMAGE_FORMAT_QCOW2, &(ImageCreate){ MADE, .cluster_size = CLUSTER }, err);
}

static int convert_back(const ImageKind *kind, Error *err)
{
        return convert_to(kind, kind->format, &kind->how, err);
}

/* A part of it, not from the start, into a smaller one. */
static int dd_it(const ImageKind *kind, Error *err)
{
        const ImageCreate half = { .size = SIZE / 2 };
        AUTO(Image) *from = opened(kind, 0, err);
        AUTO(Image) *to = from ? made(IMAGE_FORMAT_RAW, &half, err) : NULL;
        CopyOptions how = { .length = SIZE / 2, .from = 512, .sparse = 4096, .target_is_zero = true };

        return !to || image_copy(from, to, &how, err) < 0 ? -1 : image_close(TAKE(to), err);
}

static int compare_it(const ImageKind *kind, Error *err)
{
        AUTO(Image) *a = opened(kind, 0, err);
        AUTO(Image) *b = a ? opened(kind, 0, err) : NULL;
        Comparison found;

        if (!b || image_compare(a, b, SIZE, NULL, NULL, &found, err) < 0)
                return -1;
        return found.same ? 0 : err_set(err, ERR_OPERATION_FAILED, "it differs from itself");
}

static int measure_it(const ImageKind *kind, Error *err)
{
        AUTO(Image) *image = opened(kind, 0, err);
        Measurement found;

        return image ? image_measure(image, IMAGE_FORMAT_QCOW2, &(ImageCreate){ .cluster_size = CLUSTER }, &found,
                                     err)
                     : -1;
}

/* An overlay with data of its own, in qcow2, on top of a copy of the image. */
static Image *overlay_on(const ImageKind *kind, Error *err)
{
        const ImageCreate how = { MADE, .cluster_size = CLUSTER, .backing_file = "below", .backing_format = "raw" };
        AUTO(Image) *below = opened(kind, 0, err);
        AUTO(Image) *over = below ? made(IMAGE_FORMAT_QCOW2, &how, err) : NULL;

        if (!over)
                return NULL;
        image_set_backing(over, TAKE(below));
        return image_write(over, 5000, "over", 4, err) < 0 ? NULL : TAKE(over);
}

static int commit_it(const ImageKind *kind, Error *err)
{
        AUTO(Image) *over = overlay_on(kind, err);
        AUTO(Image) *to = over ? opened(kind, IMAGE_WRITE, err) : NULL;

        keep(to);
        if (!to || image_commit(over, image_backing(over), to, 0, NULL, NULL, err) < 0 ||
            image_make_empty(over, err) < 0 || image_close(TAKE(over), err) < 0)
                return -1;
        return image_close(TAKE(to), err);
}

static int rebase_it(const ImageKind *kind, Error *err)
{
        static const uint8_t data[SIZE] = { 5, 6, 7 };
        AUTO(Image) *over = overlay_on(kind, err), *onto = NULL;

        keep(over);
        onto = over ? opened_file(memory_file_new(data, SIZE), IMAGE_FORMAT_RAW, 0, err) : NULL;
        if (!onto || image_rebase(over, onto, NULL, NULL, err) < 0 || image_rebase(over, NULL, NULL, NULL, err) < 0)
                return -1;
        return image_close(TAKE(over), err);
}

static const ImageAct acts[] = {
        { "read", read_it, NULL },
        { "create", create_it, is_made },
        { "change", change_it, is_made },
        { "check", check_it, is_writable },
        { "amend", amend_it, can_be_amended },
        { "bitmap", bitmaps_it, is_plain_qcow2 },
        { "convert to qcow2", convert_it, NULL },
        { "convert to its own format", convert_back, is_made },
        { "dd", dd_it, NULL },
        { "compare", compare_it, NULL },
        { "measure", measure_it, NULL },
        { "commit", commit_it, is_writable },
        { "rebase", rebase_it, is_plain_qcow2 }, /* what is below an overlay is only read */
};

void image_acts_all(void (*each)(const ImageAct *act, const ImageKind *kind))
{
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                ImageKind kind = kinds[k];

                kind.file = kind.seed ? file_of_seed(kind.seed) : file_with_content(&kind);
                if (kind.how.luks.secret) {
                        kind.unlocked = opened_file(memory_file_copy(kind.file), kind.format, 0, NULL);
                        CHECK_INT(unlock(&kind.how, kind.unlocked, NULL), 0);
                }
                for (size_t i = 0; i < ARRAY_LEN(acts); i++)
                        if (!acts[i].suits || acts[i].suits(&kind))
                                each(&acts[i], &kind);
                image_free(kind.unlocked);
                image_file_close(kind.file);
        }
}
