#include "test.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/image.h"
#include "memory-file.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MODEL_SNAPSHOTS = 3, MODEL_ROOM = 3 << 20 };

typedef struct Model {
        uint8_t *bytes;
        uint64_t size;
        struct {
                uint8_t *bytes;
                uint64_t size;
                char name[16];
        } snapshots[MODEL_SNAPSHOTS];
        unsigned named;
} Model;

static unsigned seed;

static unsigned dice(unsigned sides)
{
        seed = seed * 1103515245u + 12345u;
        return (seed >> 8 & 0x7fffff) % sides;
}

/* A length of at most `most` that ends inside the image. */
static uint64_t length_at(const Model *model, uint64_t at, unsigned most)
{
        uint64_t n = 1 + dice(most);

        return MIN(n, model->size - at);
}

static void say_to_stderr(void *arg, const char *text)
{
        (void)arg;
        if (str_starts(text, "ERROR"))
                fprintf(stderr, "%s\n", text);
}

static void check_clean(Image *image)
{
        ImageCheck found = { .say = say_to_stderr };
        AUTO(Error) err = { 0 };

        CHECK_STR(image_check(image, REPAIR_NONE, &found, &err) < 0 ? err.text : "", "");
        CHECK_INT(found.corruptions, 0);
        CHECK_INT(found.leaks, 0);
        CHECK_INT(found.check_errors, 0);
}

static void check_content(Image *image, const Model *model)
{
        AUTOFREE uint8_t *is = mem_alloc(model->size + 1);
        AUTO(Error) err = { 0 };

        CHECK_INT(image_size(image), model->size);
        CHECK_STR(image_read(image, 0, is, model->size, &err) < 0 ? err.text : "", "");
        CHECK_MEM(is, model->bytes, model->size);
}

static int run(const char *fmt, const char *a, const char *b)
{
        AUTOFREE char *command = str_format("%s %s %s >/dev/null 2>&1", fmt, a, b);
        int status = system(command);

        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void save(const char *path, const uint8_t *data, size_t n)
{
        AUTO(Fd) fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        CHECK(fd >= 0);
        CHECK_INT(fd_write_all(fd, data, n, NULL), 0);
}

/* Stock qemu-img reads the same and finds nothing wrong. */
static void check_with_qemu(Image *image, const Model *model)
{
        char ours[] = "/tmp/drover-img-XXXXXX", expected[] = "/tmp/drover-img-XXXXXX";
        AUTO(Error) err = { 0 };
        const uint8_t *data;
        size_t n;

        if (run("qemu-img", "--version", "") != 0)
                return;
        close(mkstemp(ours));
        close(mkstemp(expected));
        CHECK_INT(image_flush(image, &err), 0);
        data = memory_file_data(image_file(image), &n);
        save(ours, data, n);
        save(expected, model->bytes, model->size);
        CHECK_INT(run("qemu-img check -f qcow2", ours, ""), 0);
        CHECK_INT(run("qemu-img compare -f qcow2 -F raw", ours, expected), 0);
        unlink(ours);
        unlink(expected);
}

static void random_write(Image *image, Model *model)
{
        uint64_t at = dice((unsigned)model->size), n = length_at(model, at, dice(4) ? 9000 : 200000);
        AUTO(Error) err = { 0 };

        if (dice(3) == 0) {
                at = round_down(at, image_cluster_size(image));
                n = MIN(round_up(n, image_cluster_size(image)), model->size - at);
        }
        for (uint64_t i = 0; i < n; i++)
                model->bytes[at + i] = (uint8_t)(i % 97 ? model->named : dice(256));
        model->named++;
        CHECK_STR(image_write(image, at, model->bytes + at, n, &err) < 0 ? err.text : "", "");
}

static void random_compressed(Image *image, Model *model)
{
        uint64_t cluster = image_cluster_size(image), at = round_down(dice((unsigned)model->size), cluster);
        uint64_t n = MIN(cluster, model->size - at);
        AUTO(Error) err = { 0 };

        memset(model->bytes + at, (int)model->named++, n);
        for (unsigned i = 0; i < 40; i++)
                model->bytes[at + dice((unsigned)n)] = (uint8_t)dice(256);
        CHECK_STR(image_write_compressed(image, at, model->bytes + at, n, &err) < 0 ? err.text : "", "");
}

static void random_zero(Image *image, Model *model)
{
        uint64_t at = dice((unsigned)model->size), n = length_at(model, at, 150000);
        AUTO(Error) err = { 0 };

        memset(model->bytes + at, 0, n);
        CHECK_STR(image_zero(image, at, n, dice(2) ? IMAGE_ZERO_UNMAP : 0, &err) < 0 ? err.text : "", "");
}

static void random_snapshot(Image *image, Model *model)
{
        unsigned i = dice(MODEL_SNAPSHOTS);
        AUTO(Error) err = { 0 };
        int r = 0;

        if (!model->snapshots[i].bytes) {
                ImageSnapshot what = { .name = model->snapshots[i].name, .icount = UINT64_MAX };

                snprintf(model->snapshots[i].name, sizeof(model->snapshots[i].name), "s%u", model->named++);
                r = image_snapshot_create(image, &what, &err);
                model->snapshots[i].bytes = mem_dup(model->bytes, model->size + 1);
                model->snapshots[i].size = model->size;
        } else if (dice(2)) {
                r = image_snapshot_apply(image, model->snapshots[i].name, &err);
                memset(model->bytes, 0, MODEL_ROOM);
                memcpy(model->bytes, model->snapshots[i].bytes, model->snapshots[i].size);
                model->size = model->snapshots[i].size;
        } else {
                r = image_snapshot_delete(image, model->snapshots[i].name, &err);
                free(TAKE(model->snapshots[i].bytes));
        }
        CHECK_STR(r < 0 ? err.text : "", "");
}

static void random_resize(Image *image, Model *model)
{
        uint64_t size = 512 * (1 + dice(MODEL_ROOM / 512 - 1));
        AUTO(Error) err = { 0 };

        CHECK_STR(image_resize(image, size, dice(4) ? PREALLOCATE_OFF : PREALLOCATE_METADATA, &err) < 0 ? err.text
                                                                                                        : "",
                  "");
        if (size < model->size)
                memset(model->bytes + size, 0, model->size - size);
        model->size = size;
}

static void random_change(Image *image, Model *model, bool snapshots)
{
        AUTO(Error) err = { 0 };

        switch (dice(16)) {
        case 0:
                CHECK_INT(image_flush(image, &err), 0);
                break;
        case 1:
        case 2:
                random_zero(image, model);
                break;
        case 3:
        case 4:
                random_compressed(image, model);
                break;
        case 5:
                if (snapshots)
                        random_snapshot(image, model);
                break;
        case 6:
                if (dice(4) == 0)
                        random_resize(image, model);
                break;
        default:
                random_write(image, model);
                break;
        }
}

static void model_done(Model *model)
{
        free(model->bytes);
        for (size_t i = 0; i < MODEL_SNAPSHOTS; i++)
                free(model->snapshots[i].bytes);
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
                Model model = { .bytes = mem_alloc(MODEL_ROOM + 1), .size = kinds[k].size, .named = 1 };
                AUTO(Error) err = { 0 };

                seed = 11 + (unsigned)k;
                for (unsigned i = 0; i < 250; i++) {
                        random_change(image, &model, true);
                        if (i % 50 == 49) {
                                CHECK_INT(image_flush(image, &err), 0);
                                check_clean(image);
                                check_content(image, &model);
                        }
                }
                check_with_qemu(image, &model);
                CHECK_INT(image_close(image, &err), 0);
                model_done(&model);
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
                Model model = { .bytes = mem_alloc(MODEL_ROOM + 1), .size = 1 << 20, .named = 1 };
                AUTO(Error) err = { 0 };
                Image *image, *below;

                seed = 5 + (unsigned)k;
                for (size_t i = 0; i < 700000; i++)
                        model.bytes[i] = (uint8_t)(i * 7);
                below = image_open(memory_file_new(model.bytes, 700000), IMAGE_FORMAT_RAW, 0, &err);
                image = make(&kinds[k]);
                image_set_backing(image, below);
                check_content(image, &model);
                for (unsigned i = 0; i < 150; i++) {
                        random_change(image, &model, false);
                        if (i % 30 == 29)
                                check_content(image, &model);
                }
                CHECK_INT(image_flush(image, &err), 0);
                check_clean(image);
                check_content(image, &model);
                CHECK_INT(image_close(image, &err), 0);
                model_done(&model);
        }
}

/* What stood there before the changes, or after any of them: a crash may show the old or the new bytes. */
static void check_after_crash(ImageFile *file)
{
        AUTO(Image) *image = NULL;
        AUTO(Error) err = { 0 };
        ImageCheck found = { .say = say_to_stderr };

        image = image_open(file, IMAGE_FORMAT_QCOW2, IMAGE_CHECKING, &err);
        CHECK_STR(err.text ?: "", "");
        CHECK_STR(image_check(image, REPAIR_NONE, &found, &err) < 0 ? err.text : "", "");
        CHECK_INT(found.corruptions, 0);
        CHECK_INT(found.check_errors, 0);
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
                Model model = { .bytes = mem_alloc(MODEL_ROOM + 1), .size = 1 << 20, .named = 1 };
                AUTO(Error) err = { 0 };
                size_t changes;

                seed = 3;
                CHECK_INT(image_flush(image, &err), 0);
                memory_file_record(image_file(image));
                for (unsigned i = 0; i < 60; i++)
                        random_change(image, &model, true);
                CHECK_INT(image_flush(image, &err), 0);
                changes = memory_file_changes(image_file(image));
                for (size_t cut = 1; cut <= changes; cut += 1 + cut / 100)
                        for (unsigned s = 0; s < 3; s++)
                                check_after_crash(memory_file_after_crash(image_file(image), cut, s * 7919));
                CHECK_INT(image_close(image, &err), 0);
                model_done(&model);
        }
}

TEST(a_failed_write_is_reported_and_leaves_the_image_clean_or_only_leaking)
{
        for (size_t in = 0; in < 60; in++) {
                Image *image = make(&(ImageCreate){ .size = 1 << 20, .cluster_size = 4096 });
                AUTO(Error) err = { 0 }, later = { 0 };
                uint8_t data[20000];
                bool failed = false;
                const uint8_t *bytes;
                size_t n;

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
                bytes = memory_file_data(image_file(image), &n);
                check_after_crash(memory_file_new(bytes, n));
                image_close(image, &later);
        }
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
        };

        for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
                Image *image = make(&(ImageCreate){ .size = 1 << 20, .cluster_size = 4096 });
                ImageCheck found = { 0 }, again = { 0 };
                AUTO(Error) err = { 0 };
                const uint8_t *bytes;
                uint8_t value[8];
                ImageFile *file;
                size_t n;

                CHECK_INT(image_write(image, 0, "guest data", 10, &err), 0);
                CHECK_INT(image_flush(image, &err), 0);
                bytes = memory_file_data(image_file(image), &n);
                file = memory_file_new(bytes, n);
                store_be64(value, damages[i].value << (64 - 8 * damages[i].size));
                CHECK_INT(image_file_write(file, damages[i].at, value, damages[i].size, &err), 0);
                image_free(image);
                image = image_open(file, IMAGE_FORMAT_QCOW2, IMAGE_WRITE | IMAGE_CHECKING, &err);
                CHECK_INT(image_check(image, REPAIR_NONE, &found, &err), 0);
                CHECK(damages[i].leak ? found.leaks == 1 : found.corruptions > 0);
                CHECK_STR(image_check(image, REPAIR_ALL, &again, &err) < 0 ? err.text : "", "");
                CHECK_INT(again.corruptions + again.leaks, 0);
                CHECK(again.corruptions_fixed + again.leaks_fixed > 0);
                check_clean(image);
                image_free(image);
        }
}

enum { WRITERS = 4, WRITER_STEP = 1024, WRITERS_SIZE = 2 << 20 };

typedef struct Writer {
        Image *image;
        unsigned number;
        bool failed;
} Writer;

/* Every WRITERS-th KiB, in an order of its own, with a flush now and then: all writers share all clusters. */
static void *write_my_part(void *arg)
{
        Writer *w = arg;
        unsigned steps = WRITERS_SIZE / WRITER_STEP / WRITERS;
        uint8_t data[WRITER_STEP];

        for (unsigned i = 0; i < steps; i++) {
                uint64_t at = ((uint64_t)(i * 61 + w->number * 7) % steps * WRITERS + w->number) * WRITER_STEP;

                memset(data, (int)(1 + w->number), sizeof(data));
                w->failed |= image_write(w->image, at, data, sizeof(data), NULL) < 0;
                if (i % 50 == w->number)
                        w->failed |= image_flush(w->image, NULL) < 0;
        }
        return NULL;
}

TEST(threads_that_write_to_the_same_clusters_do_not_lose_each_others_bytes)
{
        static const ImageCreate kinds[] = {
                { .size = WRITERS_SIZE },
                { .size = WRITERS_SIZE, .cluster_size = 4096 },
                { .size = WRITERS_SIZE, .cluster_size = 65536, .extended_l2 = true },
        };

        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
                Image *image = make(&kinds[k]);
                AUTOFREE uint8_t *is = mem_alloc(WRITERS_SIZE);
                ImageSnapshot what = { .name = (char *)"s", .icount = UINT64_MAX };
                pthread_t threads[WRITERS];
                Writer writers[WRITERS];
                AUTO(Error) err = { 0 };

                /* Half of it is shared with a snapshot, so that clusters are copied too. */
                CHECK_INT(image_write(image, 0, is, WRITERS_SIZE / 2, &err), 0);
                CHECK_INT(image_snapshot_create(image, &what, &err), 0);
                for (unsigned i = 0; i < WRITERS; i++) {
                        writers[i] = (Writer){ .image = image, .number = i };
                        CHECK_INT(pthread_create(&threads[i], NULL, write_my_part, &writers[i]), 0);
                }
                for (unsigned i = 0; i < WRITERS; i++) {
                        pthread_join(threads[i], NULL);
                        CHECK(!writers[i].failed);
                }
                CHECK_INT(image_read(image, 0, is, WRITERS_SIZE, &err), 0);
                for (size_t i = 0; i < WRITERS_SIZE; i++)
                        CHECK_INT(is[i], 1 + i / WRITER_STEP % WRITERS);
                CHECK_INT(image_flush(image, &err), 0);
                check_clean(image);
                CHECK_INT(image_close(image, &err), 0);
        }
}
