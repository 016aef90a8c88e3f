/*
 * tests/fuzz/fuzz-img-qcow2.c - hostile qcow2 images: opened, mapped, read, repaired, written
 */
#include "memory-file.h"

#include "img/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { LARGEST_CLUSTER = 1 << 16, READ_SIZE = 70000 };

static void read_through(Image *image)
{
        static uint8_t buffer[READ_SIZE];
        uint64_t at = 0;

        for (unsigned i = 0; i < 64 && at < image_size(image); i++) {
                ImageExtent extent;

                if (image_map(image, at, image_size(image) - at, &extent, NULL) < 0)
                        break;
                at += extent.length;
        }
        image_read(image, 0, buffer, sizeof(buffer), NULL);
        image_read(image, image_size(image) / 2, buffer, 1000, NULL);
}

static void change(Image *image)
{
        static const char text[] = "written";
        ImageSnapshot what = { .name = (char *)"made" };

        image_write(image, 0, text, sizeof(text), NULL);
        image_zero(image, 0, image_size(image) < 100000 ? image_size(image) : 100000, 0, NULL);
        image_snapshot_create(image, &what, NULL);
        image_snapshot_apply(image, "1", NULL);
        image_snapshot_delete(image, "1", NULL);
        image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_ADD, .name = "made" }, NULL);
        image_bitmap_change(image, &(ImageBitmapChange){ .act = BITMAP_REMOVE, .name = "b" }, NULL);
        image_resize(image, image_size(image) / 2 + 4096, PREALLOCATE_OFF, NULL);
        image_flush(image, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        ImageFile *file = memory_file_new(data, n);
        ImageCheck found = { 0 };
        ImageSnapshots list;
        Image *image;

        image = image_open(file, IMAGE_FORMAT_QCOW2, IMAGE_WRITE | IMAGE_CHECKING, NULL);
        if (!image) {
                image_file_close(file);
                return 0;
        }
        if (image_cluster_size(image) <= LARGEST_CLUSTER) {
                read_through(image);
                if (image_snapshots(image, &list, NULL) == 0)
                        image_snapshots_done(&list);
                image_check(image, REPAIR_NONE, &found, NULL);
                found = (ImageCheck){ 0 };
                image_check(image, REPAIR_ALL, &found, NULL);
                change(image);
        }
        image_free(image);
        return 0;
}
