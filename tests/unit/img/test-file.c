#include "test.h"

#include "image-model.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LONGEST = 100000, STEPS = 150 };

static char path[64];

static ImageFile *opened(unsigned flags)
{
        AUTO(Error) err = { 0 };
        ImageFile *file = image_file_open(path, FILE_WRITE | flags, &err);

        CHECK_STR(err.text ?: "", "");
        return file;
}

static void check_content(ImageFile *file, const uint8_t *model, uint64_t size)
{
        AUTOFREE uint8_t *is = mem_alloc(LONGEST + 1);
        uint64_t n;

        CHECK_INT(image_file_size(file, &n, NULL), 0);
        CHECK_INT(n, size);
        CHECK_INT(image_file_read_padded(file, 0, is, LONGEST, NULL), 0);
        CHECK_MEM(is, model, LONGEST);
}

/* Writes and zeros in no round numbers, inside the file, over its end and behind it. */
static void change_at_random(unsigned flags)
{
        AUTOFREE uint8_t *model = mem_alloc(LONGEST);
        ImageFile *file = opened(flags);
        uint64_t size = 0;

        for (unsigned i = 0; i < model_steps(STEPS); i++) {
                uint64_t at = model_dice(LONGEST), n = 1 + model_dice((unsigned)MIN(LONGEST - at, (uint64_t)9000));
                AUTO(Error) err = { 0 };
                int r;

                memset(model + at, model_dice(4) ? (int)i : 0, n);
                if (model[at] || model_dice(2))
                        r = image_file_write(file, at, model + at, n, &err);
                else
                        r = image_file_zero(file, at, n, false, &err);
                CHECK_STR(r < 0 ? err.text : "", "");
                size = MAX(size, at + n);
                if (model_dice(30) == 0) {
                        size = model_dice(LONGEST);
                        memset(model + size, 0, LONGEST - size);
                        CHECK_INT(image_file_truncate(file, size, &err), 0);
                }
                check_content(file, model, size);
        }
        image_file_close(file);
        file = opened(0);
        check_content(file, model, size);
        image_file_close(file);
}

static void begin(void)
{
        int fd;

        snprintf(path, sizeof(path), "/var/tmp/drover-file-XXXXXX"); /* a file system that knows O_DIRECT */
        fd = mkstemp(path);
        CHECK(fd >= 0);
        close(fd);
}

TEST(a_file_is_as_long_as_it_was_written_also_past_the_page_cache)
{
        static const unsigned flags[] = { 0, FILE_DIRECT };

        for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
                begin();
                model_begin(31 + (unsigned)i);
                change_at_random(flags[i]);
                unlink(path);
        }
}

enum { ROUNDS = 400, UNIT = 4096, PART = 100 };

typedef struct Grower {
        ImageFile *file;
        bool whole, failed;
} Grower;

/* Every second unit: whole ones, which go to the disk as they are, or the start of each, which is put in. */
static void *grow(void *arg)
{
        Grower *g = arg;
        uint8_t *unit = image_buffer_try(UNIT);

        memset(unit, g->whole ? 'w' : 'p', UNIT);
        for (uint64_t i = 0; i < ROUNDS; i++)
                g->failed |= image_file_write(g->file, (2 * i + g->whole) * UNIT, unit, g->whole ? UNIT : PART,
                                              NULL) < 0;
        free(unit);
        return NULL;
}

TEST(a_write_that_cuts_the_file_to_its_length_takes_nothing_of_what_others_wrote_behind_it)
{
        Grower growers[2] = { 0 };
        pthread_t threads[2];
        uint8_t unit[UNIT];
        ImageFile *file;

        begin();
        file = opened(FILE_DIRECT);
        for (unsigned i = 0; i < 2; i++) {
                growers[i] = (Grower){ .file = file, .whole = i };
                CHECK_INT(pthread_create(&threads[i], NULL, grow, &growers[i]), 0);
        }
        for (unsigned i = 0; i < 2; i++) {
                pthread_join(threads[i], NULL);
                CHECK(!growers[i].failed);
        }
        for (uint64_t i = 0; i < 2 * ROUNDS; i++) {
                CHECK_INT(image_file_read_padded(file, i * UNIT, unit, UNIT, NULL), 0);
                CHECK_INT(unit[0], i % 2 ? 'w' : 'p');
                CHECK_INT(unit[UNIT - 1], i % 2 ? 'w' : 0);
        }
        image_file_close(file);
        unlink(path);
}
