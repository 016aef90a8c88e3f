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

enum { SIZE = 3 << 20, LONGEST = 1 << 20, WRITES = 12, CASES = 12 };

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

/* Long runs, which are looked at, and short ones, which are read; zeros among both. */
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

TEST(what_a_commit_only_looks_at_arrives_whole)
{
        static const unsigned clusters[] = { 512, 65536, 2 << 20 };

        for (unsigned i = 0; i < CASES; i++) {
                model_begin(700 + i);
                commit_at_random(i % 2 ? IMAGE_FORMAT_QCOW2 : IMAGE_FORMAT_RAW, clusters[i % ARRAY_LEN(clusters)],
                                 i / 2 % 2, i / 4 % 2);
        }
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
                ImageView view;

                if (i == 2) /* the first two may find that it is on its way */
                        CHECK_INT(image_file_flush(file, &err), 0);
                CHECK(image_view(image, at, n, &view));
                CHECK_MEM(view.data, bytes + at, n);
                image_view_forget(&view);
                CHECK(!view.data);
                image_view_forget(&view);
        }
        CHECK(!image_view(image, 4096, LONGEST, &(ImageView){ 0 })); /* over the end */
        unlink(place.path);
}
