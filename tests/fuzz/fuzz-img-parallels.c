/*
 * tests/fuzz/fuzz-img-parallels.c - hostile images of the format parallels
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_PARALLELS, data, n);
}
