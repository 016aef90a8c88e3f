#include "test.h"

#include "memory-file.h"

#include "base/str.h"
#include "img/driver.h"

#include <string.h>

enum { SIZE = 8 << 20, GRANULARITY = 65536, AT = 5 * GRANULARITY + 17 };

static Image *opened(ImageFile *file, unsigned flags)
{
        AUTO(Error) err = { 0 };
        Image *image = image_open(file, IMAGE_FORMAT_QCOW2, flags, &err);

        CHECK_STR(err.text ?: "", "");
        return image;
}

/* Opened again from what is in its file. */
static Image *again(Image *image)
{
        return opened(memory_file_copy(image_file(image)), IMAGE_WRITE);
}

/* Closing writes the bitmaps; the file stays, to be looked at. */
static void close_image(Image *image)
{
        image->file = NULL;
        CHECK_INT(image_close(image, NULL), 0);
}

static ImageFile *made(void)
{
        ImageFile *file = memory_file_new(NULL, 0);
        Image *image;

        CHECK_INT(image_create(file, IMAGE_FORMAT_QCOW2, &(ImageCreate){ .size = SIZE, .cluster_size = 4096 }, NULL),
                  0);
        image = opened(file, IMAGE_WRITE);
        CHECK_INT(image_bitmap_change(
                          image, &(ImageBitmapChange){ .act = BITMAP_ADD, .name = "b", .granularity = GRANULARITY },
                          NULL),
                  0);
        close_image(image);
        return file;
}

/* What was written is in every bitmap that says it followed. */
static void check_bitmaps(Image *image)
{
        ImageBitmaps list;

        CHECK_INT(image_bitmaps(image, &list, NULL), 0);
        for (size_t i = 0; i < list.len; i++) {
                ImageBitmapContent content = { 0 };

                if (list.items[i].broken || !list.items[i].enabled)
                        continue;
                CHECK_INT(image_bitmap_load(image, list.items[i].name, &content, NULL), 0);
                CHECK_INT(content.bits[0], 1 << 5);
                free(content.bits);
        }
        image_bitmaps_done(&list);
}

/* Write after `first`, if that is given, and cut it off anywhere; how many bitmaps there are when nothing was cut off. */
static size_t write_and_crash(const ImageBitmapChange *first)
{
        ImageFile *file = made();
        Image *image = opened(file, IMAGE_WRITE);
        ImageBitmaps list;
        size_t n;

        memory_file_record(file);
        if (first)
                CHECK_INT(image_bitmap_change(image, first, NULL), 0);
        CHECK_INT(image_write(image, AT, "written", 7, NULL), 0);
        CHECK_INT(image_flush(image, NULL), 0);
        close_image(image);
        for (size_t cut = 0; cut <= memory_file_changes(file); cut++) {
                for (unsigned seed = 0; seed < 5; seed++) {
                        Image *left = opened(memory_file_after_crash(file, cut, seed * 7919), IMAGE_CHECKING);
                        ImageCheck found = { 0 };
                        uint8_t data[7];

                        CHECK_INT(image_check(left, REPAIR_NONE, &found, NULL), 0);
                        CHECK_INT(found.corruptions + found.check_errors, 0);
                        CHECK_INT(image_read(left, AT, data, 7, NULL), 0);
                        if (memcmp(data, "written", 7) == 0)
                                check_bitmaps(left);
                        image_free(left);
                }
        }
        image = opened(file, 0);
        CHECK_INT(image_bitmaps(image, &list, NULL), 0);
        n = list.len;
        for (size_t i = 0; i < n; i++)
                CHECK(!list.items[i].broken);
        image_bitmaps_done(&list);
        image_free(image);
        return n;
}

TEST(a_bitmap_follows_what_is_written_and_is_out_of_date_after_a_crash)
{
        CHECK_INT(write_and_crash(NULL), 1);
}

TEST(what_is_written_after_bitmaps_were_changed_leaves_none_that_missed_it)
{
        CHECK_INT(write_and_crash(&(ImageBitmapChange){ .act = BITMAP_CLEAR, .name = "b" }), 1);
        CHECK_INT(write_and_crash(&(ImageBitmapChange){ .act = BITMAP_DISABLE, .name = "b" }), 1);
        CHECK_INT(write_and_crash(&(ImageBitmapChange){ .act = BITMAP_REMOVE, .name = "b" }), 0);
        CHECK_INT(write_and_crash(&(ImageBitmapChange){ .act = BITMAP_ADD, .name = "c", .granularity = GRANULARITY }),
                  2);
}

TEST(a_change_of_bitmaps_that_is_cut_off_spoils_none)
{
        ImageFile *file = made();
        Image *image = opened(file, IMAGE_WRITE);

        memory_file_record(file);
        CHECK_INT(image_bitmap_change(
                          image, &(ImageBitmapChange){ .act = BITMAP_ADD, .name = "c", .granularity = 4096 }, NULL),
                  0);
        close_image(image);
        for (size_t cut = 0; cut <= memory_file_changes(file); cut++) {
                Image *left = opened(memory_file_after_crash(file, cut, 7919), 0);
                ImageBitmaps list;

                CHECK_INT(image_bitmaps(left, &list, NULL), 0);
                CHECK(list.len == 1 || list.len == 2);
                for (size_t i = 0; i < list.len; i++)
                        CHECK(!list.items[i].broken);
                image_bitmaps_done(&list);
                image_free(left);
        }
        image_file_close(file);
}

TEST(bits_are_merged_over_granularities_and_sizes_are_compared)
{
        ImageFile *file = made();
        AUTO(Image) *image = opened(file, IMAGE_WRITE), *other = again(image);
        ImageBitmapContent content = { 0 };
        ImageBitmapChange change = { .act = BITMAP_ADD, .name = "fine", .granularity = 512 };
        AUTO(Error) err = { 0 };

        CHECK_INT(image_write(image, AT, "written", 7, NULL), 0);
        CHECK_INT(image_bitmap_load(image, "b", &content, NULL), 0);
        CHECK_INT(image_bitmap_change(other, &change, NULL), 0);
        change = (ImageBitmapChange){ .act = BITMAP_MERGE, .name = "fine", .from = &content };
        CHECK_INT(image_bitmap_change(other, &change, NULL), 0);
        CHECK_INT(image_resize(other, SIZE + 4096, PREALLOCATE_OFF, NULL), 0);
        CHECK_INT(image_bitmap_change(other, &change, &err), -1);
        CHECK(strstr(err.text, "different sizes"));
        free(content.bits);
        content = (ImageBitmapContent){ 0 };
        CHECK_INT(image_bitmap_load(other, "fine", &content, NULL), 0);
        for (uint64_t i = 0; i < (SIZE + 4096) / 512; i++)
                CHECK_INT(content.bits[i / 8] >> i % 8 & 1, i * 512 / GRANULARITY == 5);
        free(content.bits);
}
