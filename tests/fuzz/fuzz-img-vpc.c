/*
 * tests/fuzz/fuzz-img-vpc.c - hostile images of the format vpc
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_VPC, data, n);
}
