#include "test.h"

#include "base/mem.h"
#include "base/str.h"
#include "image-model.h"
#include "img/bytes.h"
#include "img/zero.h"

#include <stdio.h>

enum { MODEL_SNAPSHOTS = 3 };

typedef struct Snapshots {
        struct {
                uint8_t *bytes;
                uint64_t size;
                char name[16];
        } of[MODEL_SNAPSHOTS];
} Snapshots;

static void random_compressed(Image *image, Model *model)
{
        uint64_t cluster = image_cluster_size(image), at = round_down(model_dice((unsigned)model->size), cluster);
        size_t most = (size_t)((model->size - at) / cluster);
        size_t run = most > 1 && model_dice(2) ? 1 + model_dice((unsigned)MIN(most, (size_t)70)) : 0;
        uint64_t n = run ? run * cluster : MIN(cluster, model->size - at);
        AUTO(Error) err = { 0 };
        int r;

        memset(model->bytes + at, (int)model->named++, n);
        /* With less that differs a host cluster would hold more of them than a narrow count counts with snapshots. */
        for (uint64_t i = 0; i < 40 + (run ? n / 8 : 0); i++)
                model->bytes[at + model_dice((unsigned)n)] = (uint8_t)model_dice(256);
        r = run ? model_write_packed(image, model, at, run, &err)
                : image_write_compressed(image, at, model->bytes + at, n, &err);
        CHECK_STR(r < 0 ? err.text : "", "");
}

static void random_snapshot(Image *image, Model *model, Snapshots *snapshots)
{
        unsigned i = model_dice(MODEL_SNAPSHOTS);
        AUTO(Error) err = { 0 };
        int r = 0;

        if (!snapshots->of[i].bytes) {
                ImageSnapshot what = { .name = snapshots->of[i].name, .icount = UINT64_MAX };

                snprintf(snapshots->of[i].name, sizeof(snapshots->of[i].name), "s%u", model->named++);
                r = image_snapshot_create(image, &what, &err);
                snapshots->of[i].bytes = mem_dup(model->bytes, model->size + 1);
                snapshots->of[i].size = model->size;
        } else if (model_dice(2)) {
                r = image_snapshot_apply(image, snapshots->of[i].name, &err);
                memset(model->bytes, 0, MODEL_ROOM);
                memcpy(model->bytes, snapshots->of[i].bytes, snapshots->of[i].size);
                model->size = snapshots->of[i].size;
        } else {
                r = image_snapshot_delete(image, snapshots->of[i].name, &err);
                free(TAKE(snapshots->of[i].bytes));
        }
        CHECK_STR(r < 0 ? err.text : "", "");
}

static void random_resize(Image *image, Model *model)
{
        uint64_t size = 512 * (1 + model_dice(MODEL_ROOM / 512 - 1));
        AUTO(Error) err = { 0 };

        CHECK_STR(image_resize(image, size, model_dice(4) ? PREALLOCATE_OFF : PREALLOCATE_METADATA, &err) < 0
                          ? err.text
                          : "",
                  "");
        if (size < model->size)
                memset(model->bytes + size, 0, model->size - size);
        model->size = size;
}

static void random_change(Image *image, Model *model, Snapshots *snapshots)
{
        AUTO(Error) err = { 0 };

        switch (model_dice(16)) {
        case 0:
                CHECK_INT(image_flush(image, &err), 0);
                break;
        case 1:
        case 2:
                model_zero(image, model);
                break;
        case 3:
        case 4:
                random_compressed(image, model);
                break;
        case 5:
                if (snapshots)
                        random_snapshot(image, model, snapshots);
                break;
        case 6:
                if (model_dice(4) == 0)
                        random_resize(image, model);
                break;
        default:
                model_write(image, model);
                break;
        }
}

static void snapshots_done(Snapshots *snapshots)
{
        for (size_t i = 0; i < MODEL_SNAPSHOTS; i++)
                free(snapshots->of[i].bytes);
}

static Image *make(const ImageCreate *how)
{
        ImageFile *file = memory_file_new(NULL, 0);
        AUTO(Error) err = { 0 };
        Image *image;

        CHECK_STR(image_create(file, IMAGE_FORMAT_QCOW2, how, &err) < 0 ? err.text : "", "");
        image = image_open(file, IMAGE_FORMAT_QCOW2, IMAGE_WRITE, &err);
        CHECK_STR(err.text ?: "", "");
        return image;
}

TEST(random_changes_give_what_the_model_says_and_stock_tools_agree)
{
        static const ImageCreate kinds[] = {
                { .size = 2 << 20 },
                { .size = 2 << 20, .cluster_size = 512, .refcount_bits = 64 },
                { .size = 2 << 20, .cluster_size = 4096, .version = 2 },
                { .size = 2 << 20, .cluster_size = 16384, .extended_l2 = true, .zstd = true },
                { .size = 2 << 20, .cluster_size = 4096, .zstd = true, .preallocation = PREALLOCATE_METADATA },
                { .size = 1 << 20, .cluster_size = 4096, .refcount_bits = 8, .lazy_refcounts = true },
        };

        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                Image *image = make(&kinds[k]);
                AUTO(Model) model = model_new(kinds[k].size);
                Snapshots snapshots = { 0 };
                AUTO(Error) err = { 0 };

                model_begin(11 + (unsigned)k);
                for (unsigned i = 0; i < 250; i++) {
                        random_change(image, &model, &snapshots);
                        if (i % 50 == 49) {
                                CHECK_INT(image_flush(image, &err), 0);
                                model_check_clean(image);
                                model_check_content(image, &model);
                        }
                }
                model_check_with_stock(image, &model);
                CHECK_INT(image_close(image, &err), 0);
                snapshots_done(&snapshots);
        }
}

TEST(an_overlay_shows_its_backing_image_until_it_is_written)
{
        static const ImageCreate kinds[] = {
                { .size = 1 << 20, .backing_file = "below", .backing_format = "raw" },
                { .size = 1 << 20, .backing_file = "below", .backing_format = "raw", .version = 2 },
                { .size = 1 << 20, .backing_file = "below", .cluster_size = 16384, .extended_l2 = true },
        };

        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                AUTO(Model) model = model_new(1 << 20);
                AUTO(Error) err = { 0 };
                Image *image, *below;

                model_begin(5 + (unsigned)k);
                for (size_t i = 0; i < 700000; i++)
                        model.bytes[i] = (uint8_t)(i * 7);
                below = image_open(memory_file_new(model.bytes, 700000), IMAGE_FORMAT_RAW, 0, &err);
                image = make(&kinds[k]);
                image_set_backing(image, below);
                model_check_content(image, &model);
                for (unsigned i = 0; i < 150; i++) {
                        random_change(image, &model, NULL);
                        if (i % 30 == 29)
                                model_check_content(image, &model);
                }
                CHECK_INT(image_flush(image, &err), 0);
                model_check_clean(image);
                model_check_content(image, &model);
                CHECK_INT(image_close(image, &err), 0);
        }
}

TEST(what_an_overlay_grows_by_is_zeros_however_long_its_backing_image_is)
{
        static uint8_t content[1 << 20], shown[sizeof(content)];
        static const ImagePreallocation rooms[] = { PREALLOCATE_OFF, PREALLOCATE_METADATA, PREALLOCATE_FALLOC,
                                                    PREALLOCATE_FULL };
        enum { OLD = 100 * 512 }; /* inside a cluster */

        memset(content, 'b', sizeof(content));
        for (size_t i = 0; i < 2 * ARRAY_LEN(rooms); i++) {
                Image *image = make(&(ImageCreate){
                        .size = OLD, .backing_file = "below", .backing_format = "raw", .version = i % 2 ? 2 : 3 });
                AUTO(Error) err = { 0 };

                image_set_backing(image,
                                  image_open(memory_file_new(content, sizeof(content)), IMAGE_FORMAT_RAW, 0, &err));
                CHECK_STR(image_resize(image, sizeof(content), rooms[i / 2], &err) < 0 ? err.text : "", "");
                CHECK_INT(image_read(image, 0, shown, sizeof(shown), &err), 0);
                CHECK_MEM(shown, content, OLD);
                CHECK(bytes_are_zero(shown + OLD, sizeof(shown) - OLD));
                model_check_clean(image);
                /* The same when there was something of its own, which is given up. */
                CHECK_INT(image_write(image, OLD, content, sizeof(content) - OLD, &err), 0);
                CHECK_INT(image_resize(image, OLD, PREALLOCATE_OFF, &err), 0);
                CHECK_STR(image_resize(image, sizeof(content), rooms[i / 2], &err) < 0 ? err.text : "", "");
                CHECK_INT(image_read(image, 0, shown, sizeof(shown), &err), 0);
                CHECK_MEM(shown, content, OLD);
                CHECK(bytes_are_zero(shown + OLD, sizeof(shown) - OLD));
                CHECK_INT(image_flush(image, &err), 0);
                model_check_clean(image);
                CHECK_INT(image_close(image, &err), 0);
        }
}

TEST(a_crash_at_any_write_leaves_the_image_clean_or_only_leaking)
{
        static const ImageCreate kinds[] = {
                { .size = 1 << 20, .cluster_size = 4096 },
                { .size = 1 << 20, .cluster_size = 512 },
                { .size = 1 << 20, .cluster_size = 16384, .extended_l2 = true },
        };

        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                Image *image = make(&kinds[k]);
                AUTO(Model) model = model_new(1 << 20);
                Snapshots snapshots = { 0 };
                AUTO(Error) err = { 0 };
                size_t changes;

                model_begin(3);
                CHECK_INT(image_flush(image, &err), 0);
                memory_file_record(image_file(image));
                for (unsigned i = 0; i < 60; i++)
                        random_change(image, &model, &snapshots);
                CHECK_INT(image_flush(image, &err), 0);
                changes = memory_file_changes(image_file(image));
                for (size_t cut = 1; cut <= changes; cut += 1 + cut / 100)
                        for (unsigned s = 0; s < 3; s++)
                                model_check_after_crash(IMAGE_FORMAT_QCOW2,
                                                        memory_file_after_crash(image_file(image), cut, s * 7919));
                CHECK_INT(image_close(image, &err), 0);
                snapshots_done(&snapshots);
        }
}

TEST(a_failed_write_is_reported_and_leaves_the_image_clean_or_only_leaking)
{
        for (size_t in = 0; in < 60; in++) {
                Image *image = make(&(ImageCreate){ .size = 1 << 20, .cluster_size = 4096 });
                AUTO(Error) err = { 0 }, later = { 0 };
                uint8_t data[20000];
                bool failed = false;

                memset(data, 'x', sizeof(data));
                memory_file_fail_from(image_file(image), in);
                for (unsigned i = 0; i < 12 && !failed; i++) {
                        failed = image_write(image, i * 70000, data, sizeof(data), &err) < 0;
                        if (!failed && i % 4 == 3)
                                failed = image_flush(image, &err) < 0;
                        if (!failed && i == 7)
                                failed = image_snapshot_create(image, &(ImageSnapshot){ .name = (char *)"s" }, &err) <
                                         0;
                }
                if (failed)
                        CHECK(strstr(err.text, "Input/output error") || strstr(err.text, "an earlier write"));
                model_check_after_crash(IMAGE_FORMAT_QCOW2, memory_file_copy(image_file(image)));
                image_close(image, &later);
        }
}

/* The block that counts the next clusters comes to be in the middle of it, and stood where the compressed data went on. */
TEST(compressed_clusters_and_new_refcount_blocks_keep_clear_of_each_other)
{
        static const ImageCreate kinds[] = {
                { .size = 1 << 20, .cluster_size = 512, .refcount_bits = 64 },
                { .size = 1 << 20, .cluster_size = 512, .zstd = true },
                { .size = MODEL_ROOM, .cluster_size = 4096, .refcount_bits = 64 },
        };

        static const size_t runs[] = { 1, 7, 70 };

        for (size_t k = 0; k < ARRAY_LEN(kinds) * ARRAY_LEN(runs); k++) {
                const ImageCreate *kind = &kinds[k / ARRAY_LEN(runs)];
                Image *image = make(kind);
                AUTO(Model) model = model_new(kind->size);
                uint64_t cluster = image_cluster_size(image);
                size_t left = (size_t)(model.size / cluster), run = runs[k % ARRAY_LEN(runs)];
                AUTO(Error) err = { 0 };

                model_begin(17 + (unsigned)k);
                for (uint64_t at = 0; left; at += run * cluster, left -= run) {
                        run = MIN(run, left);
                        for (uint64_t i = 0; i < run * cluster; i++)
                                if (i % cluster < cluster * 2 / 3)
                                        model.bytes[at + i] = (uint8_t)model_dice(256);
                        CHECK_STR(model_write_packed(image, &model, at, run, &err) < 0 ? err.text : "", "");
                }
                CHECK_INT(image_flush(image, &err), 0);
                model_check_clean(image);
                model_check_content(image, &model);
                model_check_with_stock(image, &model);
                CHECK_INT(image_close(image, &err), 0);
        }
}

TEST(a_refcount_block_with_data_in_it_is_found_though_both_are_counted)
{
        Image *image = make(&(ImageCreate){ .size = 1 << 20, .cluster_size = 4096 });
        static const uint8_t entry[8] = { 0, 0, 0, 0, 0, 0, 0x20, 0 }, count[2] = { 0, 2 };
        ImageCheck found = { 0 };
        AUTO(Error) err = { 0 };
        ImageFile *file;

        CHECK_INT(image_write(image, 0, "guest data", 10, &err), 0);
        CHECK_INT(image_flush(image, &err), 0);
        file = memory_file_copy(image_file(image));
        image_free(image);
        CHECK_INT(image_file_write(file, 5 * 4096, entry, sizeof(entry), &err), 0);
        CHECK_INT(image_file_write(file, 2 * 4096 + 2 * 2, count, sizeof(count), &err), 0);
        image = image_open(file, IMAGE_FORMAT_QCOW2, IMAGE_WRITE | IMAGE_CHECKING, &err);
        CHECK_INT(image_check(image, REPAIR_NONE, &found, &err), 0);
        CHECK_INT(found.corruptions, 1);
        found = (ImageCheck){ 0 };
        CHECK_STR(image_check(image, REPAIR_ALL, &found, &err) < 0 ? err.text : "", "");
        model_check_clean(image);
        image_free(image);
}

TEST(check_finds_damage_and_repairs_it)
{
        static const struct {
                const char *what;
                uint64_t at;
                uint64_t value;
                size_t size;
                bool leak;
        } damages[] = {
                { "a count that is too high", 2 * 4096 + 2 * 4, 7, 2, true },
                { "a count that is too low", 2 * 4096 + 2 * 4, 0, 2, false },
                { "an L2 entry between clusters", 5 * 4096, 0x8000000000005200, 8, false },
                { "an L2 entry behind the end", 5 * 4096, 0x8000000100000000, 8, false },
                { "a refcount block between clusters", 1 * 4096, 0x2200, 8, false },
                { "a refcount block at no offset there is", 1 * 4096, 0xff00000000002000, 8, false },
        };

        for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
                Image *image = make(&(ImageCreate){ .size = 1 << 20, .cluster_size = 4096 });
                ImageCheck found = { 0 }, again = { 0 };
                AUTO(Error) err = { 0 };
                uint8_t value[8];
                ImageFile *file;

                CHECK_INT(image_write(image, 0, "guest data", 10, &err), 0);
                CHECK_INT(image_flush(image, &err), 0);
                file = memory_file_copy(image_file(image));
                store_be64(value, damages[i].value << (64 - 8 * damages[i].size));
                CHECK_INT(image_file_write(file, damages[i].at, value, damages[i].size, &err), 0);
                image_free(image);
                image = image_open(file, IMAGE_FORMAT_QCOW2, IMAGE_WRITE | IMAGE_CHECKING, &err);
                CHECK_INT(image_check(image, REPAIR_NONE, &found, &err), 0);
                CHECK(damages[i].leak ? found.leaks == 1 : found.corruptions > 0);
                CHECK_STR(image_check(image, REPAIR_ALL, &again, &err) < 0 ? err.text : "", "");
                CHECK_INT(again.corruptions + again.leaks, 0);
                CHECK(again.corruptions_fixed + again.leaks_fixed > 0);
                model_check_clean(image);
                image_free(image);
        }
}

TEST(threads_that_write_to_the_same_clusters_do_not_lose_each_others_bytes)
{
        static const ImageCreate kinds[] = {
                { .size = MODEL_THREADS_SIZE },
                { .size = MODEL_THREADS_SIZE, .cluster_size = 4096 },
                { .size = MODEL_THREADS_SIZE, .cluster_size = 65536, .extended_l2 = true },
        };

        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                Image *image = make(&kinds[k]);
                AUTOFREE uint8_t *is = mem_alloc(MODEL_THREADS_SIZE);
                ImageSnapshot what = { .name = (char *)"s", .icount = UINT64_MAX };
                AUTO(Error) err = { 0 };

                /* Half of it is shared with a snapshot, so that clusters are copied too. */
                CHECK_INT(image_write(image, 0, is, MODEL_THREADS_SIZE / 2, &err), 0);
                CHECK_INT(image_snapshot_create(image, &what, &err), 0);
                model_check_threads(image);
                CHECK_INT(image_flush(image, &err), 0);
                model_check_clean(image);
                CHECK_INT(image_close(image, &err), 0);
        }
}
