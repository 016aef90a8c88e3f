#pragma once
/*
 * tests/img/image-fuzz.h - one hostile image, read and written in every way there is
 *
 * An image is given as a list of its parts, because formats put their headers
 * megabytes apart: its length (32 bits), then for each part its offset (32
 * bits), its length (16 bits) and its bytes; all little-endian.
 */
#include "img/image.h"

/* The file that they make; owned. */
ImageFile *image_fuzz_file(const uint8_t *data, size_t n);
/* Returns 0, for LLVMFuzzerTestOneInput(). */
int image_fuzz(ImageFormat format, const uint8_t *data, size_t n);
