/*
 * tests/fuzz/fuzz-img-dmg.c - hostile images of the format dmg
 */
#include "fuzz.h"
#include "image-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        return image_fuzz(IMAGE_FORMAT_DMG, data, n);
}
