#include "test.h"

#include "image-model.h"

#include "base/mem.h"
#include "img/bytes.h"
#include "img/file.h"
#include "img/rebase.h"
#include "img/view.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 3 << 20, LONGEST = 1 << 20, WRITES = 12, CASES = 12, LONG_SIZE = 24 << 20 };

typedef struct Place {
        char path[64];
} Place;

/* A file that is there: what stands in one of this host is looked at in the page cache. */
static Place place_new(void)
{
        Place ret = { "/var/tmp/drover-commit-XXXXXX" };
        int fd = mkstemp(ret.path);

        CHECK(fd >= 0);
        close(fd);
        return ret;
}

static Image *opened(const Place *place, ImageFormat format, unsigned flags)
{
        AUTO(Error) err = { 0 };
        AUTO(ImageFile) *file = image_file_open(place->path, flags & IMAGE_WRITE ? FILE_WRITE : 0, &err);
        Image *image = file ? image_open(TAKE(file), format, flags, &err) : NULL;

        CHECK_STR(err.text ?: "", "");
        return image;
}

static void create(const Place *place, ImageFormat format, const ImageCreate *how)
{
        AUTO(ImageFile) *file = image_file_open(place->path, FILE_WRITE, NULL);

        CHECK_INT(image_create(file, format, how, NULL), 0);
}

/* Long runs and short ones; zeros among both. */
static void change(Image *image, uint8_t *model)
{
        for (unsigned i = 0; i < WRITES; i++) {
                uint64_t at = model_dice(SIZE), n = 1 + model_dice(model_dice(2) ? LONGEST : 9000);

                n = MIN(n, SIZE - at);
                for (uint64_t k = 0; k < n; k++)
                        model[at + k] = (uint8_t)(k % 5000 < 4200 ? model_dice(256) : 0);
                if (model_dice(5) == 0)
                        memset(model + at, 0, n);
                CHECK_INT(image_write(image, at, model + at, n, NULL), 0);
        }
}

static void check_shows(Image *image, const uint8_t *model)
{
        AUTOFREE uint8_t *is = mem_alloc(SIZE);

        CHECK_INT(image_read(image, 0, is, SIZE, NULL), 0);
        CHECK_MEM(is, model, SIZE);
}

static void commit_at_random(ImageFormat format, unsigned cluster_size, bool on_disk, bool empty)
{
        AUTOFREE uint8_t *model = mem_alloc(SIZE);
        Place below = place_new(), above = place_new();
        AUTO(Image) *over = NULL, *to = NULL;
        AUTO(Error) err = { 0 };

        create(&below, format, &(ImageCreate){ .size = SIZE });
        to = opened(&below, format, IMAGE_WRITE);
        change(to, model);
        CHECK_INT(image_close(TAKE(to), NULL), 0);
        create(&above, IMAGE_FORMAT_QCOW2,
               &(ImageCreate){ .size = SIZE, .cluster_size = cluster_size, .backing_file = below.path });
        over = opened(&above, IMAGE_FORMAT_QCOW2, IMAGE_WRITE);
        image_set_backing(over, opened(&below, format, 0));
        image_skip_flush(over, !on_disk);
        change(over, model);
        CHECK_INT(image_close(TAKE(over), NULL), 0);

        over = opened(&above, IMAGE_FORMAT_QCOW2, empty ? IMAGE_WRITE : 0);
        image_set_backing(over, opened(&below, format, 0));
        to = opened(&below, format, IMAGE_WRITE);
        CHECK_INT(image_commit(over, image_backing(over), to, 0, NULL, NULL, &err), 0);
        CHECK_INT(image_close(TAKE(to), NULL), 0);
        if (empty)
                CHECK_INT(image_make_empty(over, &err), 0);
        else
                check_shows(over, model);
        CHECK_INT(image_close(TAKE(over), NULL), 0);

        to = opened(&below, format, 0);
        check_shows(to, model);
        over = opened(&above, IMAGE_FORMAT_QCOW2, 0);
        image_set_backing(over, TAKE(to));
        check_shows(over, model);
        unlink(below.path);
        unlink(above.path);
}

TEST(what_is_committed_arrives_whole)
{
        static const unsigned clusters[] = { 512, 65536, 2 << 20 };

        for (unsigned i = 0; i < CASES; i++) {
                model_begin(700 + i);
                commit_at_random(i % 2 ? IMAGE_FORMAT_QCOW2 : IMAGE_FORMAT_RAW, clusters[i % ARRAY_LEN(clusters)],
                                 i / 2 % 2, i / 4 % 2);
        }
}

/* So long that both ways of getting at the data are tried: reading it, and looking at it in the page cache. */
TEST(what_a_commit_only_looks_at_arrives_whole)
{
        for (unsigned i = 0; i < 4; i++) {
                AUTOFREE uint8_t *model = mem_alloc(LONG_SIZE);
                AUTOFREE uint8_t *is = mem_alloc(LONG_SIZE);
                Place below = place_new(), above = place_new();
                AUTO(Image) *over = NULL, *to = NULL;
                AUTO(Error) err = { 0 };

                model_begin(900 + i);
                create(&below, IMAGE_FORMAT_RAW, &(ImageCreate){ .size = LONG_SIZE });
                create(&above, IMAGE_FORMAT_QCOW2, &(ImageCreate){ .size = LONG_SIZE, .backing_file = below.path });
                over = opened(&above, IMAGE_FORMAT_QCOW2, IMAGE_WRITE);
                image_set_backing(over, opened(&below, IMAGE_FORMAT_RAW, 0));
                for (size_t at = 0; at < LONG_SIZE; at += 4096)
                        memset(model + at, model_dice(4) ? 1 + (int)model_dice(255) : 0, 4096);
                CHECK_INT(image_write(over, 0, model, LONG_SIZE, NULL), 0);
                image_skip_flush(over, i % 2);
                CHECK_INT(image_flush(over, &err), 0);
                to = opened(&below, IMAGE_FORMAT_RAW, IMAGE_WRITE);
                CHECK_INT(image_commit(over, image_backing(over), to, 0, NULL, NULL, &err), 0);
                CHECK_INT(image_read(to, 0, is, LONG_SIZE, NULL), 0);
                CHECK_MEM(is, model, LONG_SIZE);
                CHECK_INT(image_make_empty(over, &err), 0);
                CHECK_INT(image_read(over, 0, is, LONG_SIZE, NULL), 0);
                CHECK_MEM(is, model, LONG_SIZE);
                unlink(below.path);
                unlink(above.path);
        }
}

/* What of this many pieces is looked at, when reading and looking cost so much. Every `small`th piece is too small to count. */
static unsigned looked_at(unsigned pieces, uint64_t reading, uint64_t looking, unsigned small)
{
        ViewTrial trial = { .warm_up = 2 };
        unsigned looked = 0;

        for (unsigned i = 0; i < pieces; i++) {
                bool look = view_trial_next(&trial);

                looked += look;
                view_trial_tell(&trial, look, small && i % small == 0 ? 4096 : 1 << 20, look ? looking : reading);
        }
        return looked;
}

TEST(what_costs_less_of_looking_and_reading_is_gone_on_with)
{
        enum { TRIED = 3, READ_FIRST = 5 };

        CHECK_INT(looked_at(READ_FIRST, 2, 1, 0), 0);
        CHECK_INT(looked_at(1000, 100000, 200000, 0), TRIED);
        CHECK_INT(looked_at(1000, 200000, 100000, 0), 1000 - READ_FIRST);
        CHECK_INT(looked_at(1000, 100000, 100000, 0), TRIED); /* all the same: read */
        CHECK_INT(looked_at(1000, 200000, 100000, 1), 0);     /* nothing is known */
        CHECK(looked_at(1000, 200000, 100000, 2) > 900);
        CHECK(looked_at(1000, 100000, 200000, 2) <= 2 * TRIED);
}

TEST(what_is_forgotten_is_read_from_the_disk_again)
{
        AUTOFREE uint8_t *bytes = mem_alloc(LONGEST);
        Place place = place_new();
        AUTO(ImageFile) *file = image_file_open(place.path, FILE_WRITE, NULL);
        AUTO(Image) *image = NULL;
        AUTO(Error) err = { 0 };

        memset(bytes, 'x', LONGEST);
        CHECK_INT(image_file_write(file, 0, bytes, LONGEST, &err), 0);
        image = opened(&place, IMAGE_FORMAT_RAW, 0);
        for (unsigned i = 0; i < 4; i++) {
                uint64_t at = 1000 * i, n = LONGEST - 3 * at;
                ImagePlace place_of;
                ImageView view;

                if (i == 2) /* the first two may find that it is on its way */
                        CHECK_INT(image_file_flush(file, &err), 0);
                CHECK(image_place(image, at, n, &place_of));
                CHECK_INT(place_of.at, at);
                CHECK_INT(place_of.length, n);
                CHECK(image_view(image, at, n, &view));
                CHECK_MEM(view.data, bytes + at, n);
                image_view_done(&view);
                CHECK(!view.data);
                image_place_forget(&place_of);
                image_view_done(&view);
        }
        CHECK(!image_place(image, 4096, LONGEST, &(ImagePlace){ 0 })); /* over the end */
        CHECK(!image_view(image, 4096, LONGEST, &(ImageView){ 0 }));
        unlink(place.path);
}
