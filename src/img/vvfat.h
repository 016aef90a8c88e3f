#pragma once
/*
 * img/vvfat.h - a directory of this host, shown as the bytes of a FAT disk
 *
 * Read only: what is in the directory when it is opened is laid out as a file
 * system; the files' bytes are read when they are asked for. Symbolic links,
 * devices and sockets are left out.
 */
#include "img/file.h"

typedef struct VvfatOptions {
        unsigned fat_bits; /* 12, 16 or 32; 0: 12 for a floppy, else 16 */
        bool floppy;       /* 1.44 MB without a partition table; else 504 MiB with one */
        const char *label; /* at most 11 characters; NULL: "DROVER FAT" */
} VvfatOptions;

/* Blocks on the file system of the directory. Owned. */
ImageFile *vvfat_open(const char *directory, const VvfatOptions *how, Error *err);
/* "fat:[floppy:][12:|16:|32:]DIRECTORY", as QEMU has it. NULL with the error set also for "rw:". */
ImageFile *vvfat_open_name(const char *name, Error *err);
