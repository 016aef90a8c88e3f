/*
 * tests/fuzz/fuzz-img-describe.c - hostile headers for every format's describer
 *
 * The first byte picks the format, the rest is the file.
 */
#include "memory-file.h"

#include "fuzz.h"
#include "img/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        AUTO(ImageFile) *file = NULL;
        AUTO(ImageDescription) what = { 0 };
        AUTO(Error) err = { 0 };
        ImageFormat probed;

        if (n < 1)
                return 0;
        file = memory_file_new(data + 1, n - 1);
        image_describe(file, data[0] % IMAGE_FORMAT_COUNT, &what, &err);
        image_probe(file, &probed, NULL);
        return 0;
}
