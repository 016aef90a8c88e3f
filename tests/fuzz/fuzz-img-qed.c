/*
 * tests/fuzz/fuzz-img-qed.c - hostile images of the format qed
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_QED, data, n);
}
