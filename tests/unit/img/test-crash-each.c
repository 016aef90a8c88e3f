#include "test.h"

#include "image-model.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/driver.h"
#include "img/rebase.h"

#include <stdio.h>

/*
 * Each change of a qcow2 image that is not a guest's, with the power going at every write of it: what is left is clean
 * or only leaking, and shows what the image showed before or after the change.
 */
enum { SIZE = 1 << 20, CLUSTER = 4096, LARGER = 3 << 19, SMALLER = 1 << 19, SEEDS = 4 };

typedef struct Act {
        const char *name;
        ImageCreate how;
        int (*before)(Image *image, Error *err); /* what the image is like already; NULL: nothing more */
        int (*act)(Image *image, Error *err);
        bool damaged; /* what is left may need the same repair again */
} Act;

/* What may stand below: "old" and "new" differ in some places, "same" shows what the overlay shows, "long" is longer. */
static uint8_t *old_bytes, *new_bytes, *same_bytes, *long_bytes;

static Image *below(const char *name)
{
        uint8_t *bytes = str_eq(name, "old") ? old_bytes : str_eq(name, "new") ? new_bytes : same_bytes;

        if (str_eq(name, "long"))
                return image_open(memory_file_new(long_bytes, LARGER), IMAGE_FORMAT_RAW, 0, NULL);
        CHECK(bytes != same_bytes || strspn(name + 4, ".") + 4 == strlen(name));
        return image_open(memory_file_new(bytes, SIZE), IMAGE_FORMAT_RAW, 0, NULL);
}

static Image *opened(ImageFile *file, unsigned flags)
{
        AUTO(Error) err = { 0 };
        Image *image = image_open(file, IMAGE_FORMAT_QCOW2, flags, &err);

        CHECK_STR(err.text ?: "", "");
        if (image_description(image)->backing_file)
                image_set_backing(image, below(image_description(image)->backing_file));
        return image;
}

/* Closing writes too; the file stays. */
static void close_image(Image *image)
{
        image->file = NULL;
        CHECK_INT(image_close(image, NULL), 0);
}

static int plain_data(Image *image, Error *err)
{
        AUTOFREE uint8_t *data = mem_alloc(5 * CLUSTER);

        for (unsigned i = 0; i < 12; i++) {
                memset(data, (int)i + 1, 5 * CLUSTER);
                if (image_write(image, i * 87000, data, i * 1500 + 100, err) < 0)
                        return -1;
        }
        return image_flush(image, err);
}

/* --- what is done --- */

static int take_snapshot(Image *image, Error *err)
{
        return image_snapshot_create(image, &(ImageSnapshot){ .name = (char *)"s", .icount = UINT64_MAX }, err);
}

static int with_snapshot(Image *image, Error *err)
{
        return take_snapshot(image, err) < 0 ? -1 : image_write(image, 100, "after the snapshot", 18, err);
}

static int apply_snapshot(Image *image, Error *err)
{
        return image_snapshot_apply(image, "s", err);
}

static int delete_snapshot(Image *image, Error *err)
{
        return image_snapshot_delete(image, "s", err);
}

static int grow(Image *image, Error *err)
{
        return image_resize(image, LARGER, PREALLOCATE_METADATA, err);
}

static int grow_sparsely(Image *image, Error *err)
{
        return image_resize(image, LARGER - 7 * 512, PREALLOCATE_OFF, err);
}

static int shrink(Image *image, Error *err)
{
        return image_resize(image, SMALLER, PREALLOCATE_OFF, err);
}

static int lower_version(Image *image, Error *err)
{
        return image_amend(image, &(ImageCreate){ .version = 2 }, err);
}

static int raise_version(Image *image, Error *err)
{
        return image_amend(image, &(ImageCreate){ .version = 3, .change_lazy = true, .lazy_refcounts = true }, err);
}

static int narrow_counts(Image *image, Error *err)
{
        return image_amend(image, &(ImageCreate){ .refcount_bits = 1 }, err);
}

static int widen_counts(Image *image, Error *err)
{
        return image_amend(image, &(ImageCreate){ .version = 3, .refcount_bits = 64 }, err);
}

static int narrow_counts_to_two(Image *image, Error *err)
{
        return image_amend(image, &(ImageCreate){ .refcount_bits = 2 }, err);
}

static int lower_version_and_widen_counts(Image *image, Error *err)
{
        return image_amend(image, &(ImageCreate){ .version = 2, .refcount_bits = 16 }, err);
}

static int grow_by_amending(Image *image, Error *err)
{
        return image_amend(image, &(ImageCreate){ .size = LARGER }, err);
}

static int change_bitmap(Image *image, ImageBitmapAct act, const char *name, Error *err)
{
        return image_bitmap_change(image, &(ImageBitmapChange){ .act = act, .name = name, .granularity = 65536 },
                                   err);
}

static int add_bitmap(Image *image, Error *err)
{
        return change_bitmap(image, BITMAP_ADD, "b", err);
}

static int with_bitmap(Image *image, Error *err)
{
        return add_bitmap(image, err) < 0 ? -1 : image_write(image, 70000, "seen by it", 10, err);
}

static int clear_bitmap(Image *image, Error *err)
{
        return change_bitmap(image, BITMAP_CLEAR, "b", err);
}

static int disable_bitmap(Image *image, Error *err)
{
        return change_bitmap(image, BITMAP_DISABLE, "b", err);
}

static int remove_bitmap(Image *image, Error *err)
{
        return change_bitmap(image, BITMAP_REMOVE, "b", err);
}

static int merge_bitmaps(Image *image, Error *err)
{
        ImageBitmapContent content = { 0 };
        ImageBitmapChange change = { .act = BITMAP_MERGE, .name = "c", .from = &content };
        int r = change_bitmap(image, BITMAP_ADD, "c", err) < 0 ? -1 : image_bitmap_load(image, "b", &content, err);

        r = r < 0 ? -1 : image_bitmap_change(image, &change, err);
        free(content.bits);
        return r;
}

static int rename_backing(Image *image, Error *err)
{
        return image_set_backing_name(image, "same", "raw", err);
}

/* All that begin with "same" are the same. */
static int rename_to_long(Image *image, size_t n, Error *err)
{
        char name[IMAGE_NAME_MAX + 1] = "same";

        memset(name + 4, '.', n - 4);
        return image_set_backing_name(image, name, "raw", err);
}

static int with_long_name(Image *image, Error *err)
{
        return rename_to_long(image, 700, err);
}

static int with_longer_name(Image *image, Error *err)
{
        return rename_to_long(image, IMAGE_NAME_MAX, err);
}

/* As `rebase` does it: what differs is copied, and then the name changes. */
static int rebase_onto(Image *image, const char *name, Error *err)
{
        AUTO(Image) *onto = name ? below(name) : NULL;

        if (image_rebase(image, onto, NULL, NULL, err) < 0)
                return -1;
        return image_set_backing_name(image, name, name ? "raw" : NULL, err);
}

static int rebase_onto_new(Image *image, Error *err)
{
        return rebase_onto(image, "new", err);
}

static int rebase_onto_none(Image *image, Error *err)
{
        return rebase_onto(image, NULL, err);
}

static int repair(Image *image, Error *err)
{
        ImageCheck found = { 0 };

        return image_check(image, REPAIR_ALL, &found, err);
}

/* A count of nothing, and one that is too high; what is read stays what it was. */
static int damage(Image *image, Error *err)
{
        uint8_t high[2] = { 0, 7 }, low[2] = { 0, 0 };

        if (plain_data(image, err) < 0)
                return -1;
        return image_file_write(image_file(image), 2 * CLUSTER + 2 * 6, high, 2, err) < 0
                       ? -1
                       : image_file_write(image_file(image), 2 * CLUSTER + 2 * 9, low, 2, err);
}

#define QCOW2      .size = SIZE, .cluster_size = CLUSTER
#define OVERLAY(b) QCOW2, .backing_file = (b), .backing_format = "raw"
static const Act acts[] = {
        { "snapshot -c", { QCOW2 }, NULL, take_snapshot, false },
        { "snapshot -a", { QCOW2 }, with_snapshot, apply_snapshot, false },
        { "snapshot -d", { QCOW2 }, with_snapshot, delete_snapshot, false },
        { "resize, larger", { QCOW2 }, NULL, grow, false },
        { "resize, larger, over a longer backing file", { OVERLAY("long") }, NULL, grow, false },
        { "the same without preallocation", { OVERLAY("long") }, NULL, grow_sparsely, false },
        { "the same in version 2", { OVERLAY("long"), .version = 2 }, NULL, grow_sparsely, false },
        { "resize, smaller", { QCOW2 }, NULL, shrink, false },
        { "amend compat=0.10", { QCOW2 }, NULL, lower_version, false },
        { "amend compat=1.1", { QCOW2, .version = 2 }, NULL, raise_version, false },
        { "amend refcount_bits=1", { QCOW2 }, NULL, narrow_counts, false },
        { "amend refcount_bits=2", { QCOW2 }, with_snapshot, narrow_counts_to_two, false },
        { "amend refcount_bits=64, with a bitmap", { QCOW2 }, with_bitmap, widen_counts, false },
        { "amend compat=1.1,refcount_bits=64", { QCOW2, .version = 2 }, NULL, widen_counts, false },
        { "amend compat=0.10,refcount_bits=16",
          { QCOW2, .refcount_bits = 4 },
          NULL,
          lower_version_and_widen_counts,
          false },
        { "amend size", { QCOW2 }, NULL, grow_by_amending, false },
        { "bitmap --add", { QCOW2 }, NULL, add_bitmap, false },
        { "bitmap --clear", { QCOW2 }, with_bitmap, clear_bitmap, false },
        { "bitmap --disable", { QCOW2 }, with_bitmap, disable_bitmap, false },
        { "bitmap --remove", { QCOW2 }, with_bitmap, remove_bitmap, false },
        { "bitmap --merge", { QCOW2 }, with_bitmap, merge_bitmaps, false },
        { "rebase -u", { OVERLAY("same") }, NULL, rename_backing, false },
        { "rebase -u, a name that a sector has no room for",
          { OVERLAY("same") },
          with_long_name,
          rename_backing,
          false },
        { "rebase -u, to such a name", { OVERLAY("same") }, NULL, with_long_name, false },
        { "rebase -u, from one to another", { OVERLAY("same") }, with_long_name, with_longer_name, false },
        { "bitmap --add, with such a name", { OVERLAY("same") }, with_long_name, add_bitmap, false },
        { "rebase", { OVERLAY("old") }, NULL, rebase_onto_new, false },
        { "rebase -b ''", { OVERLAY("old") }, NULL, rebase_onto_none, false },
        { "commit, the overlay", { OVERLAY("same") }, NULL, image_make_empty, false },
        { "check -r all", { QCOW2 }, damage, repair, true },
};

/* --- what is left --- */

static uint8_t *view_of(Image *image)
{
        uint8_t *view = mem_alloc(LARGER);
        AUTO(Error) err = { 0 };

        CHECK_STR(image_read(image, 0, view, (size_t)MIN(image_size(image), (uint64_t)LARGER), &err) < 0 ? err.text
                                                                                                         : "",
                  "");
        return view;
}

/* Made, and closed again: the file of an image as it is before the act. Owned. */
static ImageFile *made(const Act *act)
{
        ImageFile *file = memory_file_new(NULL, 0);
        AUTO(Error) err = { 0 };
        Image *image;

        CHECK_STR(image_create(file, IMAGE_FORMAT_QCOW2, &act->how, &err) < 0 ? err.text : "", "");
        image = opened(file, IMAGE_WRITE);
        CHECK_STR(plain_data(image, &err) < 0 || (act->before && act->before(image, &err) < 0) ? err.text : "", "");
        close_image(image);
        return file;
}

static void check_left(const Act *act, const ImageFile *file, size_t cut, unsigned seed, const uint8_t *before,
                       const uint8_t *after)
{
        Image *left = opened(memory_file_after_crash(file, cut, seed), IMAGE_WRITE | IMAGE_CHECKING);
        size_t n = act->act == shrink ? SMALLER : LARGER; /* behind the end there are zeros */
        AUTO(Error) err = { 0 };
        uint8_t *view;

        if (act->damaged)
                CHECK_STR(repair(left, &err) < 0 ? err.text : "", "");
        view = view_of(left);
        if (memcmp(view, before, n) != 0 && memcmp(view, after, n) != 0)
                printf("%s, cut %zu, seed %u: shows neither what it did nor what it should\n", act->name, cut, seed);
        CHECK(memcmp(view, before, n) == 0 || memcmp(view, after, n) == 0);
        free(view);
        if (act->damaged)
                model_check_clean(left);
        image_free(left);
        if (!act->damaged)
                model_check_after_crash(IMAGE_FORMAT_QCOW2, memory_file_after_crash(file, cut, seed));
}

static void sweep(const Act *act)
{
        ImageFile *file = made(act);
        Image *image = opened(file, IMAGE_WRITE | (act->damaged ? IMAGE_CHECKING : 0));
        AUTOFREE uint8_t *before = view_of(image), *after = NULL;
        AUTO(Error) err = { 0 };
        size_t changes;

        memory_file_record(file);
        CHECK_STR(act->act(image, &err) < 0 ? err.text : "", "");
        close_image(image);
        changes = memory_file_changes(file);
        CHECK(changes > 1);
        image = opened(memory_file_after_crash(file, changes, 0), 0);
        after = view_of(image);
        image_free(image);
        for (size_t cut = 0; cut <= changes; cut++)
                for (unsigned seed = 0; seed < SEEDS; seed++)
                        check_left(act, file, cut, seed * 7919, before, after);
        image_file_close(file);
}

static void make_bases(void)
{
        Image *image;

        old_bytes = mem_alloc(SIZE);
        for (size_t i = 0; i < SIZE; i++)
                old_bytes[i] = (uint8_t)(i / 5000 + 1);
        new_bytes = mem_dup(old_bytes, SIZE);
        for (size_t i = 0; i < SIZE; i += 50000)
                memset(new_bytes + i, i % 3 ? 0 : 77, 700);
        same_bytes = mem_dup(old_bytes, SIZE);
        long_bytes = mem_alloc(LARGER);
        memset(long_bytes, 'l', LARGER);
        image = image_open(memory_file_new(same_bytes, SIZE), IMAGE_FORMAT_RAW, IMAGE_WRITE, NULL);
        CHECK_INT(plain_data(image, NULL), 0);
        CHECK_INT(image_read(image, 0, same_bytes, SIZE, NULL), 0);
        image_free(image);
}

static void free_bases(void)
{
        free(TAKE(old_bytes));
        free(TAKE(new_bytes));
        free(TAKE(same_bytes));
        free(TAKE(long_bytes));
}

TEST(each_change_that_is_cut_off_at_any_write_has_happened_or_has_not)
{
        make_bases();
        for (size_t i = 0; i < ARRAY_LEN(acts); i++)
                sweep(&acts[i]);
        free_bases();
}

/* The backing file while an overlay is committed into it: the overlay still shows the same through it. */
TEST(a_commit_that_is_cut_off_leaves_a_sound_base_below_an_overlay_that_shows_the_same)
{
        const Act base_act = { "commit, the base", { QCOW2 }, NULL, NULL, false };
        AUTO(Error) err = { 0 };
        ImageFile *file, *over_file = memory_file_new(NULL, 0);
        AUTOFREE uint8_t *shown = NULL;
        Image *over, *to;

        make_bases();
        file = made(&base_act);
        memory_file_record(file);
        CHECK_INT(image_create(over_file, IMAGE_FORMAT_QCOW2, &(ImageCreate){ QCOW2 }, &err), 0);
        over = image_open(over_file, IMAGE_FORMAT_QCOW2, IMAGE_WRITE, &err);
        image_set_backing(over, opened(memory_file_after_crash(file, 0, 0), 0));
        for (unsigned i = 0; i < 20; i++)
                CHECK_INT(image_write(over, i * 51000, old_bytes + i * 999, 9000, &err), 0);
        CHECK_INT(image_zero(over, 300000, 100000, 0, &err), 0);
        shown = view_of(over);
        to = opened(file, IMAGE_WRITE);
        memory_file_record(file);
        CHECK_STR(image_commit(over, image_backing(over), to, 0, NULL, NULL, &err) < 0 ? err.text : "", "");
        close_image(to);
        for (size_t cut = 0; cut <= memory_file_changes(file); cut++) {
                for (unsigned seed = 0; seed < SEEDS; seed++) {
                        AUTOFREE uint8_t *view = NULL;

                        image_free(image_take_backing(over));
                        image_set_backing(over,
                                          opened(memory_file_after_crash(file, cut, seed * 7919), IMAGE_CHECKING));
                        view = view_of(over);
                        CHECK_MEM(view, shown, SIZE);
                        model_check_after_crash(IMAGE_FORMAT_QCOW2, memory_file_after_crash(file, cut, seed * 7919));
                }
        }
        image_free(over);
        image_file_close(file);
        free_bases();
}

/* --- an external data file --- */

enum { WRITE_SIZE = 512, WRITES = 6, WIDE = 65536 };

/* Opened over a base that shows old_bytes, from what was left of both of its files. */
static Image *over_with_data(ImageFile *file, ImageFile *data, unsigned flags)
{
        AUTO(Error) err = { 0 };
        Image *image = image_open(file, IMAGE_FORMAT_QCOW2, flags, &err);

        CHECK_STR(err.text ?: "", "");
        CHECK_INT(image_attach(image, 0, data, NULL), 0);
        image_set_backing(image, below("old"));
        return image;
}

static void check_both_left(const ImageFile *file, const ImageFile *data, size_t moment, unsigned seed)
{
        size_t cut = memory_file_changes_before(file, moment), data_cut = memory_file_changes_before(data, moment);
        AUTO(Image) *left = over_with_data(memory_file_after_crash(file, cut, seed),
                                           memory_file_after_crash(data, data_cut, seed + 1), IMAGE_CHECKING);
        AUTOFREE uint8_t *view = view_of(left), *written = mem_alloc(WRITE_SIZE);

        for (unsigned i = 0; i < WRITES; i++) {
                size_t start = (size_t)i * 2 * WIDE, at = start + 20000, end = start + 2 * WIDE;

                memset(written, 'a' + (int)i, WRITE_SIZE);
                CHECK_MEM(view + start, old_bytes + start, at - start);
                if (memcmp(view + at, old_bytes + at, WRITE_SIZE) != 0)
                        CHECK_MEM(view + at, written, WRITE_SIZE);
                CHECK_MEM(view + at + WRITE_SIZE, old_bytes + at + WRITE_SIZE, end - at - WRITE_SIZE);
        }
}

/* A write of a few sectors takes the rest of its cluster along: that is on the disk before the image says that it has it. */
TEST(a_data_file_holds_what_the_tables_say_it_holds_after_a_power_failure)
{
        ImageFile *file = memory_file_new(NULL, 0), *data = memory_file_new(NULL, 0);
        ImageCreate how = { .size = SIZE,
                            .cluster_size = WIDE,
                            .data_file_name = "data",
                            .data_file = data,
                            .backing_file = "old",
                            .backing_format = "raw" };
        AUTOFREE uint8_t *written = mem_alloc(WRITE_SIZE);
        AUTO(Error) err = { 0 };
        size_t began;
        Image *image;

        make_bases();
        CHECK_STR(image_create(file, IMAGE_FORMAT_QCOW2, &how, &err) < 0 ? err.text : "", "");
        image = over_with_data(file, data, IMAGE_WRITE);
        memory_file_record(file);
        memory_file_record(data);
        began = memory_file_moment();
        for (unsigned i = 0; i < WRITES; i++) {
                memset(written, 'a' + (int)i, WRITE_SIZE);
                CHECK_INT(image_write(image, (uint64_t)i * 2 * WIDE + 20000, written, WRITE_SIZE, NULL), 0);
                if (i % 2)
                        CHECK_INT(image_flush(image, NULL), 0);
        }
        CHECK_INT(image_flush(image, NULL), 0);
        for (size_t moment = began; moment <= memory_file_moment(); moment++)
                for (unsigned seed = 0; seed < SEEDS; seed++)
                        check_both_left(file, data, moment, seed * 7919);
        CHECK_INT(image_close(image, NULL), 0);
        free_bases();
}

/* What a failed flush of the data file leaves there nobody knows: no table says so, and nothing more is written. */
TEST(a_data_file_that_cannot_be_flushed_ends_all_writing)
{
        ImageFile *file = memory_file_new(NULL, 0), *data = memory_file_new(NULL, 0);
        ImageCreate how = { .size = SIZE,
                            .cluster_size = WIDE,
                            .data_file_name = "data",
                            .data_file = data,
                            .backing_file = "old",
                            .backing_format = "raw" };
        Image *image;
        size_t before;

        make_bases();
        CHECK_INT(image_create(file, IMAGE_FORMAT_QCOW2, &how, NULL), 0);
        image = over_with_data(file, data, IMAGE_WRITE);
        CHECK_INT(image_write(image, 0, "first", 5, NULL), 0);
        CHECK_INT(image_flush(image, NULL), 0);
        CHECK_INT(image_write(image, 2 * WIDE, "second", 6, NULL), 0);
        memory_file_record(file);
        before = memory_file_changes(file);
        memory_file_fail_change(data, 0);
        CHECK_INT(image_flush(image, NULL), -1);
        CHECK_INT(image_flush(image, NULL), -1);
        CHECK_INT(image_write(image, 4 * WIDE, "third", 5, NULL), -1);
        CHECK_INT(memory_file_changes(file), before);
        image_free(image);
        free_bases();
}
