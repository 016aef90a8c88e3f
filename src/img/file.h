#pragma once
/*
 * img/file.h - what an image is stored in: bytes at offsets
 *
 * The one way in which drivers reach storage. A file on disk is opened by
 * image_file_open() or made from a descriptor the caller has authorised; tests
 * bring an implementation that keeps everything in memory and cuts, drops,
 * reorders or fails what is written. Reading and writing may be done by
 * several threads at once.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ImageFile ImageFile;

typedef enum FileExtentKind {
        FILE_EXTENT_DATA,
        FILE_EXTENT_HOLE, /* reads as zeros, takes no room */
} FileExtentKind;

typedef struct ImageFileOps {
        /* Up to n bytes; fewer only at the end of the file. */
        int (*read)(ImageFile *file, uint64_t offset, void *data, size_t n, size_t *done, Error *err);
        int (*write)(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err);
        int (*flush)(ImageFile *file, Error *err);
        int (*truncate)(ImageFile *file, uint64_t size, Error *err);
        /* Give the room back (keep false) or keep it: afterwards it reads as zeros either way. */
        int (*zero)(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err);
        /* Take room for the range without changing what it reads as. */
        int (*reserve)(ImageFile *file, uint64_t offset, uint64_t length, Error *err);
        int (*extent)(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err);
        int (*size)(ImageFile *file, uint64_t *ret, Error *err);
        void (*close)(ImageFile *file);
} ImageFileOps;

struct ImageFile {
        const ImageFileOps *ops;
        char *name;     /* for messages; owned */
        uint64_t align; /* 1, or what O_DIRECT asks for */
        bool writable;
        bool skip_flush; /* the caller gave up durability (cache mode unsafe) */
        /* img/part.h */
        ImageFile *part_of; /* owned; NULL: it is no part of another file */
        uint64_t part_at;
};

enum {
        FILE_WRITE = 1 << 0,
        FILE_CREATE = 1 << 1,    /* made when it is not there; what is there is left alone */
        FILE_EXCLUSIVE = 1 << 2, /* with FILE_CREATE: it must not be there */
        FILE_DIRECT = 1 << 3,    /* past the page cache */
        FILE_SYNC = 1 << 4,      /* every write is durable when it returns */
};

ImageFile *image_file_open(const char *path, unsigned flags, Error *err);
/* Takes the descriptor, also on failure. */
ImageFile *image_file_from_fd(int fd, const char *name, bool writable, Error *err);
ImageFile *image_file_close(ImageFile *file); /* returns NULL */
/* The file that this is a part of, itself if of none, and where an offset stands there. */
const ImageFile *image_file_place(const ImageFile *file, uint64_t *offset);
/* The descriptor of a file on disk, or -1. */
int image_file_fd(const ImageFile *file);

/* Exactly n bytes: an earlier end of the file is an error that names the offset. */
int image_file_read(ImageFile *file, uint64_t offset, void *data, size_t n, Error *err);
/* n bytes, with zeros behind the end of the file. */
int image_file_read_padded(ImageFile *file, uint64_t offset, void *data, size_t n, Error *err);
int image_file_write(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err);
int image_file_flush(ImageFile *file, Error *err);
int image_file_truncate(ImageFile *file, uint64_t size, Error *err);
/* The same where its end is the end of a disk: that of a device, or of what a server exports, cannot be moved. */
int image_file_resize(ImageFile *file, uint64_t size, Error *err);
int image_file_zero(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err);
/* Giving room back makes zeros here without writing them. */
bool image_file_zeroes_fast(const ImageFile *file);
/* Zeros as data, not as a hole. */
int image_file_write_zeros(ImageFile *file, uint64_t offset, uint64_t length, Error *err);
int image_file_reserve(ImageFile *file, uint64_t offset, uint64_t length, Error *err);
/* What stands at offset and for how long; at most to the end of the file. */
int image_file_extent(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err);
int image_file_size(ImageFile *file, uint64_t *ret, Error *err);
/* Bytes taken on disk (st_blocks), 0 where nobody knows. */
uint64_t image_file_disk_usage(const ImageFile *file);

/* Memory for O_DIRECT and large requests: page aligned, zeroed, NULL when there is none. free() it. */
void *image_buffer_try(size_t n);

DEFINE_AUTO(ImageFile, image_file_close)
