/*
 * tests/fuzz/fuzz-img-vmdk.c - hostile images of the format vmdk
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_VMDK, data, n);
}
