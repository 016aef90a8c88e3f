/*
 * tests/img/image-model.c - what an image shall hold, kept beside it
 */
#include "image-model.h"

#include "test.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NO_CHECKS = 63 };

static unsigned state;

void model_begin(unsigned seed)
{
        const char *asked = getenv("DROVER_MODEL_SEED");

        state = seed + (asked ? 7919 * (unsigned)strtoul(asked, NULL, 10) : 0);
}

unsigned model_steps(unsigned usual)
{
        const char *asked = getenv("DROVER_MODEL_STEPS");

        return asked ? (unsigned)strtoul(asked, NULL, 10) : usual;
}

unsigned model_dice(unsigned sides)
{
        state = state * 1103515245u + 12345u;
        return (state >> 8 & 0x7fffff) % sides;
}

Model model_new(uint64_t size)
{
        return (Model){ .bytes = mem_alloc(MODEL_ROOM + 1), .size = size, .named = 1 };
}

void model_done(Model *model)
{
        free(model->bytes);
        *model = (Model){ 0 };
}

/* A length of at most `most` that ends inside the image. */
static uint64_t length_at(const Model *model, uint64_t at, unsigned most)
{
        uint64_t n = 1 + model_dice(most);

        return MIN(n, model->size - at);
}

void model_write(Image *image, Model *model)
{
        uint64_t at = model_dice((unsigned)model->size);
        uint64_t n = length_at(model, at, model_dice(4) ? 9000 : 200000), cluster = image_cluster_size(image);
        AUTO(Error) err = { 0 };

        if (cluster && model_dice(3) == 0) {
                at = at / cluster * cluster;
                n = MIN(round_up(n, cluster), model->size - at);
        }
        for (uint64_t i = 0; i < n; i++)
                model->bytes[at + i] = (uint8_t)(i % 97 ? model->named : model_dice(256));
        model->named++;
        CHECK_STR(image_write(image, at, model->bytes + at, n, &err) < 0 ? err.text : "", "");
}

void model_zero(Image *image, Model *model)
{
        uint64_t at = model_dice((unsigned)model->size), n = length_at(model, at, 150000);
        AUTO(Error) err = { 0 };

        memset(model->bytes + at, 0, n);
        CHECK_STR(image_zero(image, at, n, model_dice(2) ? IMAGE_ZERO_UNMAP : 0, &err) < 0 ? err.text : "", "");
}

int model_write_packed(Image *image, const Model *model, uint64_t at, size_t count, Error *err)
{
        uint64_t cluster = image_cluster_size(image);
        AUTOFREE uint8_t *packed = mem_alloc(count * cluster);
        AUTOFREE uint32_t *lengths = mem_new_array(uint32_t, count);
        size_t used = 0;

        for (size_t i = 0; i < count; i++) {
                lengths[i] = (uint32_t)image_pack(image, model->bytes + at + i * cluster, packed + used);
                CHECK(lengths[i] > 0);
                used += lengths[i];
        }
        return image_write_packed(image, at, packed, lengths, count, err);
}

static void say_to_stderr(void *arg, const char *text)
{
        (void)arg;
        if (str_starts(text, "ERROR"))
                fprintf(stderr, "%s\n", text);
}

void model_check_clean(Image *image)
{
        ImageCheck found = { .say = say_to_stderr };
        AUTO(Error) err = { 0 };

        if (!image_can_check(image))
                return;
        CHECK_STR(image_check(image, REPAIR_NONE, &found, &err) < 0 ? err.text : "", "");
        CHECK_INT(found.corruptions, 0);
        /* qcow counts nothing: what a compressed cluster took is lost when it is written again. */
        if (image_format(image) != IMAGE_FORMAT_QCOW)
                CHECK_INT(found.leaks, 0);
        CHECK_INT(found.check_errors, 0);
}

void model_check_content(Image *image, const Model *model)
{
        AUTOFREE uint8_t *is = mem_alloc(model->size + 1);
        AUTO(Error) err = { 0 };

        CHECK_INT(image_size(image), model->size);
        CHECK_STR(image_read(image, 0, is, model->size, &err) < 0 ? err.text : "", "");
        CHECK_MEM(is, model->bytes, model->size);
}

static int run(const char *command, const char *format, const char *a, const char *b)
{
        AUTOFREE char *whole = str_format("qemu-img %s -f %s %s %s >/dev/null 2>&1", command, format, a, b);
        int status = system(whole);

        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool have_stock(void)
{
        static int found = -1;

        if (found < 0)
                found = system("qemu-img --version >/dev/null 2>&1") == 0;
        return found;
}

static void save(const char *path, const uint8_t *data, size_t n)
{
        AUTO(Fd) fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        CHECK(fd >= 0);
        CHECK_INT(fd_write_all(fd, data, n, NULL), 0);
}

void model_check_with_stock(Image *image, const Model *model)
{
        char ours[] = "/tmp/drover-img-XXXXXX", expected[] = "/tmp/drover-img-XXXXXX";
        const char *format = image_format_name(image_format(image));
        AUTO(Error) err = { 0 };
        const uint8_t *data;
        int checked;
        size_t n;

        if (!have_stock())
                return;
        close(mkstemp(ours));
        close(mkstemp(expected));
        CHECK_INT(image_flush(image, &err), 0);
        data = memory_file_data(image_file(image), &n);
        save(ours, data, n);
        save(expected, model->bytes, model->size);
        checked = run("check", format, ours, "");
        CHECK(checked == 0 || checked == NO_CHECKS);
        CHECK_INT(run("compare -F raw", format, ours, expected), 0);
        unlink(ours);
        unlink(expected);
}

void model_check_after_crash(ImageFormat format, ImageFile *file)
{
        ImageCheck found = { .say = say_to_stderr };
        AUTO(Image) *image = NULL;
        AUTO(Error) err = { 0 };

        image = image_open(file, format, IMAGE_CHECKING, &err);
        CHECK_STR(err.text ?: "", "");
        if (!image_can_check(image))
                return;
        CHECK_STR(image_check(image, REPAIR_NONE, &found, &err) < 0 ? err.text : "", "");
        CHECK_INT(found.corruptions, 0);
        CHECK_INT(found.check_errors, 0);
}

enum { WRITERS = 4, WRITER_STEP = 1024 };

typedef struct Writer {
        Image *image;
        unsigned number;
        bool failed;
} Writer;

/* Every WRITERS-th KiB, in an order of its own, with a flush now and then. */
static void *write_my_part(void *arg)
{
        Writer *w = arg;
        unsigned steps = MODEL_THREADS_SIZE / WRITER_STEP / WRITERS;
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

void model_check_threads(Image *image)
{
        AUTOFREE uint8_t *is = mem_alloc(MODEL_THREADS_SIZE);
        pthread_t threads[WRITERS];
        Writer writers[WRITERS];

        for (unsigned i = 0; i < WRITERS; i++) {
                writers[i] = (Writer){ .image = image, .number = i };
                CHECK_INT(pthread_create(&threads[i], NULL, write_my_part, &writers[i]), 0);
        }
        for (unsigned i = 0; i < WRITERS; i++) {
                pthread_join(threads[i], NULL);
                CHECK(!writers[i].failed);
        }
        CHECK_INT(image_read(image, 0, is, MODEL_THREADS_SIZE, NULL), 0);
        for (size_t i = 0; i < MODEL_THREADS_SIZE; i++)
                CHECK_INT(is[i], 1 + i / WRITER_STEP % WRITERS);
}
