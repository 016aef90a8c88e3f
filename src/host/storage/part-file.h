#pragma once
/*
 * host/storage/part-file.h - a part of a device, as a file of its own
 */
#include "img/file.h"

/* Takes the file. Nothing is read or written outside of the part, and its size is fixed. */
ImageFile *part_file_new(ImageFile *file, uint64_t offset, uint64_t bytes);
