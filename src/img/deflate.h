#pragma once
/*
 * img/deflate.h - raw deflate within a window of 4 KiB, rather small than fast
 */
#include <stddef.h>

typedef struct Deflater Deflater;

Deflater *deflater_new(void);
Deflater *deflater_free(Deflater *deflater); /* returns NULL */
/* Compressed length, or 0: it takes `room` bytes or (nearly) as much. n: at most 2 GiB. */
size_t deflater_pack(Deflater *deflater, const void *data, size_t n, void *packed, size_t room);
