/*
 * tests/fuzz/fuzz-img-vhdx.c - hostile images of the format vhdx
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_VHDX, data, n);
}
