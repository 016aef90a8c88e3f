#pragma once
/*
 * img/part.h - a part of a file, as a file
 *
 * What stands before it is not reached through it, nor, where it has a size, what stands behind it. Locks, descriptors and
 * the room that is taken are those of the file.
 */
#include "img/file.h"

typedef struct ImagePart {
        uint64_t offset, size;
        bool has_size; /* else it goes to the end of the file, rounded up to a sector, and grows with it */
} ImagePart;

/* Takes the file on success only. What lies behind its end, up to a whole sector, reads as zeros. */
ImageFile *image_part_open(ImageFile *file, const ImagePart *part, Error *err);
