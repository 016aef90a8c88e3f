/*
 * tests/img/image-fuzz.c - one hostile image, read and written in every way there is
 */
#include "image-fuzz.h"

#include "img/bytes.h"
#include "memory-file.h"

enum { LARGEST_FILE = 8 << 20, LARGEST_BLOCK = 4 << 20, LARGEST_CHECKED = 1 << 16, STEPS = 64, READ_SIZE = 70000 };

ImageFile *image_fuzz_file(const uint8_t *data, size_t n)
{
        ImageFile *file = memory_file_new(NULL, 0);
        uint32_t size = n >= 4 ? load_le32(data) % (LARGEST_FILE + 1) : 0;

        image_file_truncate(file, size, NULL);
        for (size_t at = 4; at + 6 <= n;) {
                uint64_t offset = load_le32(data + at);
                size_t length = MIN((size_t)load_le16(data + at + 4), n - at - 6);

                if (offset < size)
                        image_file_write(file, offset, data + at + 6, MIN(length, (size_t)(size - offset)), NULL);
                at += 6 + length;
        }
        memory_file_limit(file, 2 * LARGEST_FILE);
        return file;
}

static Image *open_image(ImageFormat format, unsigned flags, const uint8_t *data, size_t n)
{
        ImageFile *file = image_fuzz_file(data, n);
        Image *image = image_open(file, format, flags, NULL);

        if (!image) {
                image_file_close(file);
                return NULL;
        }
        /* Formats in many files: the same bytes for each of the first few. */
        for (size_t i = 0; i < image_description(image)->data_files.len && i < 3; i++) {
                file = image_fuzz_file(data, n);
                if (image_attach(image, i, file, NULL) < 0)
                        image_file_close(file);
        }
        return image;
}

static void read_through(Image *image)
{
        static uint8_t buffer[READ_SIZE];
        uint64_t at = 0;

        for (unsigned i = 0; i < STEPS && at < image_size(image); i++) {
                ImageExtent extent;

                if (image_map(image, at, image_size(image) - at, &extent, NULL) < 0)
                        break;
                if (extent.length == 0 || extent.start != at || extent.length > image_size(image) - at)
                        abort();
                at += extent.length;
        }
        image_read(image, 0, buffer, sizeof(buffer), NULL);
        image_read(image, image_size(image) / 2, buffer, 1000, NULL);
}

/* Lists that a header points to, and what each of their items names. */
static void read_lists(Image *image)
{
        ImageSnapshots snapshots;
        ImageBitmaps bitmaps;

        if (image_bitmaps(image, &bitmaps, NULL) == 0) {
                for (size_t i = 0; i < bitmaps.len && i < 3; i++) {
                        ImageBitmapContent content = { 0 };

                        if (image_bitmap_load(image, bitmaps.items[i].name, &content, NULL) == 0)
                                free(content.bits);
                }
                image_bitmaps_done(&bitmaps);
        }
        if (image_snapshots(image, &snapshots, NULL) == 0) {
                if (snapshots.len && image_snapshot_show(image, snapshots.items[0].id, NULL) == 0)
                        read_through(image);
                image_snapshots_done(&snapshots);
        }
}

/* What is not done through the disk's content. */
static void change_more(Image *image)
{
        ImageSnapshot what = { .name = (char *)"new", .icount = UINT64_MAX };
        ImageSnapshots snapshots;

        image_resize(image, image_size(image) + 100000 / 512 * 512, PREALLOCATE_OFF, NULL);
        image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_ADD, .name = "new" }, NULL);
        image_write(image, 0, "again", MIN((uint64_t)5, image_size(image)), NULL);
        image_snapshot_create(image, &what, NULL);
        if (image_snapshots(image, &snapshots, NULL) == 0) {
                if (snapshots.len)
                        image_snapshot_apply(image, snapshots.items[0].id, NULL);
                if (snapshots.len)
                        image_snapshot_delete(image, snapshots.items[0].name, NULL);
                image_snapshots_done(&snapshots);
        }
        image_resize(image, image_size(image) / 2 / 512 * 512, PREALLOCATE_OFF, NULL);
        image_set_backing_name(image, "below", "raw", NULL);
        image_make_empty(image, NULL);
        image_flush(image, NULL);
}

static void change(Image *image)
{
        static const char text[] = "written";
        char is[sizeof(text)];
        ImageCheck found = { 0 };

        if (image_size(image) >= sizeof(text) && image_write(image, 0, text, sizeof(text), NULL) == 0 &&
            image_read(image, 0, is, sizeof(is), NULL) == 0 && memcmp(is, text, sizeof(is)) != 0)
                abort();
        image_zero(image, 0, MIN(image_size(image), (uint64_t)100000), IMAGE_ZERO_UNMAP, NULL);
        image_write(image, image_size(image) / 2, text, MIN(sizeof(text), (size_t)(image_size(image) / 2)), NULL);
        image_flush(image, NULL);
        image_check(image, REPAIR_ALL, &found, NULL);
        change_more(image);
}

int image_fuzz(ImageFormat format, const uint8_t *data, size_t n)
{
        Image *image = open_image(format, 0, data, n);
        ImageCheck found = { 0 };

        if (!image)
                return 0;
        if (image_cluster_size(image) <= LARGEST_BLOCK) {
                read_through(image);
                if (image_size(image) / MAX(image_cluster_size(image), (uint64_t)512) < LARGEST_CHECKED)
                        image_check(image, REPAIR_NONE, &found, NULL);
                read_lists(image);
        }
        image_free(image);
        image = open_image(format, IMAGE_WRITE | IMAGE_CHECKING, data, n);
        if (image && image_cluster_size(image) <= LARGEST_BLOCK &&
            image_size(image) / MAX(image_cluster_size(image), (uint64_t)512) < LARGEST_CHECKED)
                change(image);
        image_free(image);
        return 0;
}
