/*
 * tests/fuzz/fuzz-img-cow.c - hostile images of the format cow
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_COW, data, n);
}
