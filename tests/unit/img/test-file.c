#include "test.h"

#include "image-model.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/image.h"
#include "img/part.h"

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

/* --- a part of a file --- */

enum { WHOLE = 10000, FROM = 1000, INSIDE = 2048 };

/* Of a file of WHOLE bytes, each of which says where it is. Owned; *ret_whole is the part's. */
static ImageFile *part_of(const ImagePart *part, ImageFile **ret_whole)
{
        uint8_t data[WHOLE];
        AUTO(Error) err = { 0 };
        ImageFile *file;

        for (size_t i = 0; i < WHOLE; i++)
                data[i] = (uint8_t)(i / 7 + 1);
        *ret_whole = memory_file_new(data, WHOLE);
        file = image_part_open(*ret_whole, part, &err);
        CHECK_STR(err.text ?: "", "");
        return file;
}

static void check_refused(const ImagePart *part, const char *why)
{
        ImageFile *whole = memory_file_new(NULL, 0);
        AUTO(Error) err = { 0 };

        CHECK_INT(image_file_truncate(whole, WHOLE, NULL), 0);
        CHECK(!image_part_open(whole, part, &err));
        CHECK(strstr(err.text, why));
        image_file_close(whole);
}

TEST(a_part_of_a_file_ends_where_the_file_ends_or_where_it_is_told_to)
{
        check_refused(&(ImagePart){ .offset = 10241 }, "cannot be greater");
        check_refused(&(ImagePart){ .offset = 512, .size = 10240, .has_size = true }, "has to be smaller");
        check_refused(&(ImagePart){ .offset = 512, .size = UINT64_MAX - 511, .has_size = true }, "has to be smaller");
        check_refused(&(ImagePart){ .size = 1000, .has_size = true }, "multiple of 512");
}

TEST(what_is_before_and_behind_a_part_of_a_file_is_not_reached_through_it)
{
        ImageFile *whole, *file = part_of(&(ImagePart){ FROM, INSIDE, true }, &whole);
        AUTOFREE uint8_t *before = mem_dup(memory_file_data(whole, &(size_t){ 0 }), WHOLE);
        uint8_t data[2 * INSIDE];
        FileExtentKind kind;
        uint64_t size, run;

        CHECK_INT(image_file_size(file, &size, NULL), 0);
        CHECK_INT(size, INSIDE);
        CHECK_INT(image_file_read_padded(file, 48, data, INSIDE, NULL), 0);
        CHECK_MEM(data, before + FROM + 48, INSIDE - 48);
        CHECK(!data[INSIDE - 48] && !data[INSIDE - 1]);
        CHECK_INT(image_file_read(file, 1, data, INSIDE, NULL), -1);
        CHECK_INT(image_file_extent(file, 48, &kind, &run, NULL), 0);
        CHECK_INT(run, INSIDE - 48);
        CHECK_INT(image_file_extent(file, INSIDE, &kind, &run, NULL), -1);
        memset(data, 0xff, sizeof(data));
        CHECK_INT(image_file_write(file, 1, data, INSIDE, NULL), -1);
        CHECK_INT(image_file_zero(file, 1, INSIDE, false, NULL), -1);
        CHECK_INT(image_file_reserve(file, UINT64_MAX, 2, NULL), -1);
        CHECK_INT(image_file_truncate(file, INSIDE, NULL), -1);
        CHECK_MEM(memory_file_data(whole, &(size_t){ 0 }), before, WHOLE);
        CHECK_INT(image_file_write(file, 10, data, 20, NULL), 0);
        CHECK_INT(image_file_zero(file, INSIDE - 5, 5, true, NULL), 0);
        memset(before + FROM + 10, 0xff, 20);
        memset(before + FROM + INSIDE - 5, 0, 5);
        CHECK_MEM(memory_file_data(whole, &(size_t){ 0 }), before, WHOLE);
        image_file_close(file);
}

TEST(a_part_of_a_file_without_a_size_has_whole_sectors_and_grows_with_the_file)
{
        ImageFile *whole, *file = part_of(&(ImagePart){ FROM, 0, false }, &whole);
        Image *image = image_open(file, IMAGE_FORMAT_RAW, IMAGE_WRITE, NULL);
        ImageExtent extent;
        uint8_t tail[300];
        uint64_t size;

        CHECK_INT(image_size(image), 10240 - FROM);
        CHECK_INT(image_map(image, WHOLE - FROM, 1000, &extent, NULL), 0);
        CHECK(extent.zero && extent.file == whole && extent.offset == WHOLE);
        CHECK_INT(extent.length, 240);
        CHECK_INT(image_read(image, WHOLE - FROM - 60, tail, sizeof(tail), NULL), 0);
        CHECK(tail[59] && !tail[60] && !tail[299]);
        CHECK_INT(image_write(image, image_size(image) - 1, "x", 1, NULL), 0);
        CHECK_INT(image_file_size(whole, &size, NULL), 0);
        CHECK_INT(size, 10240);
        CHECK_INT(image_resize(image, 20000, PREALLOCATE_OFF, NULL), 0);
        CHECK_INT(image_file_size(whole, &size, NULL), 0);
        CHECK_INT(size, 20000 + FROM);
        image_free(image);
}
