#pragma once
/*
 * img/utf16.h - file names as Windows formats store them
 */
#include "img/file.h"

/* UTF-16 up to its NUL or n units, as UTF-8. Owned; NULL with an error that names the place. at: where it stands. */
char *utf16_to_text(const uint8_t *units, size_t n, bool big_endian, const ImageFile *file, uint64_t at,
                    const char *field, Error *err);
/* The other way, without a NUL: how many units; 0: over `most`, or no UTF-8. */
size_t utf16_from_text(const char *text, bool big_endian, uint8_t *units, size_t most);
