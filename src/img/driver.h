#pragma once
/*
 * img/driver.h - what a format is to the rest of the engine
 *
 * A format is one ImageDriver in one file (qcow2 in a few): probe and describe
 * for every format, open and what follows for those that can be read, write
 * and what follows for those that can be written. What all formats share -
 * bounds, backing chains, copying, comparing - is done above it.
 */
#include "img/image.h"

typedef struct ImageDriver {
        const char *name;
        /* head holds the first n bytes; returns whether this format would open it. */
        bool (*probe)(const uint8_t *head, size_t n);
        /* Formats recognised by their end get that too; NULL: the head decides. */
        bool (*probe_tail)(const uint8_t *tail, size_t n);
        int (*describe)(ImageFile *file, ImageDescription *ret, Error *err);

        int (*open)(Image *image, Error *err);
        int (*close)(Image *image, Error *err);
        /* Formats in several files: the i-th of about.data_files. Takes the file on success. */
        int (*attach)(Image *image, size_t i, ImageFile *file, Error *err);
        void (*backing_changed)(Image *image);
        /* Bytes that the attached files take on disk. */
        uint64_t (*disk_usage)(const Image *image);
        /* Sets image->cipher. */
        int (*unlock)(Image *image, const ImageSecret *secret, Error *err);
        /* One extent at offset; never reaches over offset + length, which is inside the image. */
        int (*map)(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err);
        /* What is present is read from the image, what is not is left to read_below(). */
        int (*read)(Image *image, uint64_t offset, void *data, size_t n, Error *err);
        int (*write)(Image *image, uint64_t offset, const void *data, size_t n, Error *err);
        /* One cluster compressed, from any thread: its length, or 0 when it would not be smaller. */
        size_t (*pack)(Image *image, const void *data, void *packed);
        /* Some images of the format are compressed, others are not: whether this one is. NULL: as one likes. */
        bool (*is_compressed)(const Image *image);
        int (*write_packed)(Image *image, uint64_t offset, const void *packed, size_t n, Error *err);
        /* Neighbouring clusters whose bytes follow each other. NULL: one after the other is as good. */
        int (*write_packed_run)(Image *image, uint64_t offset, const void *packed, const uint32_t *lengths,
                                size_t count, Error *err);
        int (*zero)(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err);
        int (*flush)(Image *image, Error *err);
        int (*resize)(Image *image, uint64_t size, ImagePreallocation room, Error *err);
        /* The other files of a new image, as names beside it; an owned list. */
        int (*plan_files)(const ImageCreate *how, char ***ret, Error *err);
        /* Lay out an empty image in an empty file. */
        int (*create)(ImageFile *file, const ImageCreate *how, Error *err);
        int (*check)(Image *image, ImageRepair repair, ImageCheck *ret, Error *err);
        int (*snapshots)(Image *image, ImageSnapshots *ret, Error *err);
        int (*snapshot_create)(Image *image, const ImageSnapshot *what, Error *err);
        int (*snapshot_apply)(Image *image, const char *name, Error *err);
        int (*snapshot_delete)(Image *image, const char *name, Error *err);
        int (*snapshot_show)(Image *image, const char *name, Error *err);
        int (*bitmaps)(Image *image, ImageBitmaps *ret, Error *err);
        int (*bitmap_load)(Image *image, const char *name, ImageBitmapContent *ret, Error *err);
        int (*bitmap_change)(Image *image, const ImageBitmapChange *change, Error *err);
        int (*make_empty)(Image *image, Error *err);
        int (*amend)(Image *image, const ImageCreate *how, Error *err);
        /* Change the names in the header. */
        int (*set_backing_name)(Image *image, const char *name, const char *format, Error *err);
} ImageDriver;

struct Image {
        const ImageDriver *driver;
        ImageFile *file;           /* owned */
        ImageFile *data_file;      /* owned; NULL: the data is in file */
        Image *backing;            /* owned */
        VEC(ImageFile *) attached; /* as image_attach() gave them to the driver, which owns them */
        ImageDescription about;
        const char *protocol; /* image_protocol() */
        uint64_t size;
        bool writable;
        bool checking;
        bool best_compression;
        Luks *luks;           /* owned; NULL: no LUKS header */
        SectorCipher *cipher; /* owned; NULL: not encrypted, or locked */
        void *state;          /* the driver's */
};

extern const ImageDriver image_driver_raw, image_driver_qcow2, image_driver_qcow, image_driver_qed, image_driver_vmdk,
        image_driver_vdi, image_driver_vpc, image_driver_vhdx, image_driver_parallels, image_driver_luks,
        image_driver_bochs, image_driver_cloop, image_driver_dmg, image_driver_cow;

const ImageDriver *image_driver_of(ImageFormat format);

/* The backing image's bytes, zeros where there is none. */
int image_read_below(Image *image, uint64_t offset, void *data, size_t n, Error *err);
/* A driver's read, where everything present stands at an offset of the file as it is. */
int image_read_by_map(Image *image, uint64_t offset, void *data, size_t n, Error *err);
/* An error that names the file, the field and where it stands. Always -1. */
int image_bad_field(Error *err, const ImageFile *file, uint64_t offset, const char *field, const char *fmt, ...)
        PRINTF(5, 6) COLD;
/* A file name in a header: n bytes, no NUL inside. Owned, or NULL with the error set. */
char *image_read_name(ImageFile *file, uint64_t offset, uint64_t n, const char *field, Error *err);
