/*
 * tests/fuzz/fuzz-img-qcow.c - hostile images of the format qcow
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_QCOW, data, n);
}
