/*
 * tests/fuzz/fuzz-img-cloop.c - hostile images of the format cloop
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_CLOOP, data, n);
}
