/*
 * tests/fuzz/fuzz-img-read.c - hostile images of every format but qcow2: opened, mapped, read
 *
 * The first byte picks the format, the rest is the file.
 */
#include "memory-file.h"

#include "img/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static uint8_t buffer[70000];
        ImageFormat format = n ? data[0] % IMAGE_FORMAT_COUNT : IMAGE_FORMAT_RAW;
        ImageFile *file;
        Image *image;
        uint64_t at = 0;

        if (format == IMAGE_FORMAT_RAW || format == IMAGE_FORMAT_QCOW2)
                return 0;
        file = memory_file_new(data + 1, n - 1);
        image = image_open(file, format, 0, NULL);
        if (!image) {
                image_file_close(file);
                return 0;
        }
        for (unsigned i = 0; i < 64 && at < image_size(image); i++) {
                ImageExtent extent;

                if (image_map(image, at, image_size(image) - at, &extent, NULL) < 0)
                        break;
                at += extent.length;
        }
        image_read(image, 0, buffer, sizeof(buffer), NULL);
        image_read(image, image_size(image) / 2, buffer, 1000, NULL);
        image_free(image);
        return 0;
}
