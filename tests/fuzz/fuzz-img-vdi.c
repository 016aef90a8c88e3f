/*
 * tests/fuzz/fuzz-img-vdi.c - hostile images of the format vdi
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_VDI, data, n);
}
