#pragma once
/*
 * img/format.h - the image formats by name, and what a header says
 *
 * image_describe() is the part that is shown bytes from strangers first: it
 * reads a bounded part of a file whose format the caller knows, opens nothing
 * else and allocates no more than a few hundred KiB. The backing and data file
 * names it returns are claims of the image, to be authorised by the caller.
 *
 * image_probe() guesses a format from the first bytes. That is for display: a
 * guest can write any header into a raw image, so what it says must never
 * decide how a disk that a guest wrote is opened (security: probing).
 */
#include "base/vec.h"
#include "img/file.h"

typedef enum ImageFormat {
        IMAGE_FORMAT_RAW,
        IMAGE_FORMAT_QCOW2,
        IMAGE_FORMAT_QCOW,
        IMAGE_FORMAT_QED,
        IMAGE_FORMAT_VMDK,
        IMAGE_FORMAT_VDI,
        IMAGE_FORMAT_VPC,
        IMAGE_FORMAT_VHDX,
        IMAGE_FORMAT_PARALLELS,
        IMAGE_FORMAT_LUKS,
        IMAGE_FORMAT_BOCHS,
        IMAGE_FORMAT_CLOOP,
        IMAGE_FORMAT_DMG,
        IMAGE_FORMAT_COW,
        IMAGE_FORMAT_COUNT,
} ImageFormat;

/* No length of a file name in a header may be over this. */
enum { IMAGE_NAME_MAX = 1023 };

/* A part of a vmdk disk. */
typedef struct VmdkExtent {
        uint64_t size, offset; /* bytes; where it begins in its file */
        uint64_t cluster_size; /* 0: flat, or its file was not looked at */
        bool compressed;
        char *kind, *name; /* owned; name NULL: zeros, or the image's own file */
} VmdkExtent;

typedef struct VmdkDescription {
        uint32_t cid, parent_cid; /* change with the content; UINT32_MAX: no parent */
        char *create_type;        /* owned; may be NULL */
        VEC(VmdkExtent) extents;
} VmdkDescription;

enum { VPC_FOOTER = 512, VPC_AT_ID = 68 };

/* What an image on top of a vpc image notes of it, and what it noted. */
typedef struct VpcDescription {
        uint8_t footer[VPC_FOOTER];
        uint8_t parent_id[16]; /* zeros: none, or not noted */
} VpcDescription;

/* The same of vhdx. A parent may be told by either of two ids. */
typedef struct VhdxDescription {
        uint8_t data_id[16];      /* another one after each change of the content */
        uint8_t parent_id[2][16]; /* zeros: not noted */
} VhdxDescription;

typedef struct ImageDescription {
        ImageFormat format;
        unsigned version;       /* of the format; 0: it has none */
        uint64_t virtual_size;  /* bytes the guest sees */
        uint64_t cluster_size;  /* unit of allocation; 0: none */
        char *backing_file;     /* NULL: none */
        char *backing_format;   /* NULL: the image does not say */
        VEC(char *) data_files; /* other files that hold a part of the content */
        bool encrypted, luks;   /* luks: with a LUKS header inside */
        bool dirty;             /* not closed cleanly */
        bool corrupt;           /* marked as damaged */
        /* qcow2 only */
        unsigned refcount_bits;
        bool zstd, lazy_refcounts, extended_l2, data_file_raw;
        VmdkDescription *vmdk; /* owned; NULL: not vmdk */
        VpcDescription *vpc;   /* owned; NULL: not vpc */
        VhdxDescription *vhdx; /* owned; NULL: not vhdx */
} ImageDescription;

const char *image_format_name(ImageFormat format);
/* 0, or -1 with a sentence that names the formats there are. */
int image_format_from_name(const char *name, ImageFormat *ret, Error *err);
/*
 * Read the header of file as this format. Reads at most 1 MiB, whatever the header claims. A broken header is an
 * error that names the field and its offset.
 */
int image_describe(ImageFile *file, ImageFormat format, ImageDescription *ret, Error *err);
/* For display only. What no other format claims is raw. */
int image_probe(ImageFile *file, ImageFormat *ret, Error *err);
void image_description_done(ImageDescription *what);

DEFINE_AUTO_VALUE(ImageDescription, image_description_done)
