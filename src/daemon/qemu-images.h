#pragma once
/*
 * daemon/qemu-images.h - the images of a guest: what they are in fact, and who else uses them
 *
 * An image is known by device and inode, or by the number of the block device, not by its path.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct DiskDef DiskDef;
typedef struct Domain Domain;
typedef struct DomainDef DomainDef;
typedef struct ImageLook ImageLook;
typedef struct QemuDriver QemuDriver;

/* One file that a disk consists of. */
typedef struct ImageUse {
        char *target; /* of the disk */
        char *path;
        uint64_t device, inode, block_device; /* block_device 0: it is a file */
        bool write, shareable;
        /* of a look only */
        unsigned format; /* DISK_FORMAT_...; 0: none that a definition names */
        bool data;       /* holds the data of the image before it */
        bool closed;     /* what is below it is not known */
        bool missing;    /* it does not exist, and its disk can be done without (image_look_forgive()) */
        uint64_t virtual_bytes, allocated_bytes, length_bytes; /* closed: unknown, 0 */
        const void *owner;                                     /* who is about to plug it; NULL: it is in the guest */
} ImageUse;

typedef struct ImageUses {
        VEC(ImageUse) items;
} ImageUses;

void image_uses_done(ImageUses *uses);
/* Move all of `from` to the end of `to`. */
void image_uses_add(ImageUses *to, ImageUses *from, const void *owner);
/* Forget what owner was about to plug, or (NULL) what the disk with this target is in. */
void image_uses_drop(ImageUses *uses, const char *target, const void *owner);
/* What owner plugged is the disk's now. */
void image_uses_settle(ImageUses *uses, const void *owner);
/* Lines of the status file, and back: -1 when line is none of them. */
void image_uses_format(const ImageUses *uses, Buf *ret);
int image_uses_parse(ImageUses *uses, const char *line);

/*
 * Look at the images of def's disks (of `only`, unless it is NULL) in a confined child. done() comes once, on a
 * later turn: uses is the caller's to move from, NULL on failure. The look may be freed there; freeing it earlier
 * cancels.
 */
ImageLook *image_look_new(QemuDriver *qemu, DomainDef *def, const DiskDef *only,
                          void (*done)(void *arg, ImageUses *uses, const Error *failure), void *arg, Error *err);
ImageLook *image_look_free(ImageLook *look); /* returns NULL */
/*
 * A disk whose startupPolicy allows it may have no image: it is in uses as missing. arrives: the guest comes with its
 * state from elsewhere, where 'requisite' allows it, too. Right after image_look_new().
 */
void image_look_forgive(ImageLook *look, bool arrives);

/*
 * Do without what is missing in the live definition of dom, which nobody shares yet: a drive is empty, another disk is
 * left out. Clients are told. What is missing leaves uses.
 */
void image_uses_drop_missing(ImageUses *uses, const Domain *dom);

/*
 * Write down in def, which nobody shares yet, what is below each disk (below `only`) that was looked at: QEMU is told each
 * image and its format then, and opens nothing because an image's header names it. A disk whose chain could not be
 * looked at to its end stays as it is.
 */
void image_uses_put_chains(const ImageUses *uses, DomainDef *def, const DiskDef *only);

/* May dom use these as well? The error names the other guest. */
int image_uses_check(const Domain *dom, const ImageUses *uses, Error *err);

DEFINE_AUTO_VALUE(ImageUses, image_uses_done)
