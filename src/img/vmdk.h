#pragma once
/*
 * img/vmdk.h - the parts of a VMware disk: its descriptor, and sparse extents
 *
 * For vmdk*.c only.
 */
#include "img/block-map.h"

enum { VMDK_DESCRIPTOR_MAX = 64 << 10, VMDK_SECTOR = 512, VMDK_NO_PARENT = -1 };

/* Does this begin a descriptor in a file of its own? */
bool vmdk_starts_descriptor(const uint8_t *head, size_t n);
/* Read a descriptor. embedded: it stands in the sparse file it describes. What it names goes to ret. */
int vmdk_text_parse(const ImageFile *file, const char *text, bool embedded, ImageDescription *ret, Error *err);
/* What a new image's descriptor says. names: one for each extent. Owned. */
char *vmdk_text_make(const ImageCreate *how, const char *type, char *const *names, size_t n, uint64_t per_extent);

/* The header of a sparse extent, both kinds. */
typedef struct VmdkSparse {
        unsigned version;
        uint64_t capacity;   /* bytes */
        uint64_t grain;      /* bytes */
        uint32_t per_table;  /* grains a table */
        uint64_t directory;  /* offset */
        uint64_t copy;       /* of the directory, 0: none */
        uint64_t descriptor; /* offset, 0: none */
        uint64_t descriptor_size;
        uint64_t data; /* offset of the first grain */
        bool compressed, markers, zero_grains;
} VmdkSparse;

bool vmdk_sparse_probe(const uint8_t *head, size_t n);
int vmdk_sparse_read(ImageFile *file, VmdkSparse *ret, Error *err);
/* An image that is one sparse extent; takes the file on success. It has no format of its own: give it a backing. */
Image *vmdk_sparse_open(ImageFile *file, bool writable, bool checking, Error *err);
/* Lay one out. descriptor: what to embed, NULL: nothing. */
int vmdk_sparse_create(ImageFile *file, uint64_t size, bool compressed, bool zero_grains, const char *descriptor,
                       Error *err);
/* vmdk-create.c: the names of the files beside the image, and the content of all of them. */
int vmdk_plan_files(const ImageCreate *how, char ***ret, Error *err);
int vmdk_create(ImageFile *file, const ImageCreate *how, Error *err);
bool vmdk_sparse_is_compressed(const Image *extent);
/* A compressed grain as it stands in the file, marker and all: its length. packed: room for VMDK_PACKED_MAX. */
size_t vmdk_sparse_pack(Image *extent, uint64_t offset, const void *data, void *packed);
enum { VMDK_MARKER = 12, VMDK_PACKED_MAX = (64 << 10) + 1024 };
