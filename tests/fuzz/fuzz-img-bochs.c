/*
 * tests/fuzz/fuzz-img-bochs.c - hostile images of the format bochs
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_BOCHS, data, n);
}
