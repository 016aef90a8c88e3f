#pragma once
/*
 * img/image.h - an open disk image
 *
 * An Image is a file read and written in one format, with an optional backing
 * image below it. The format is always given, never guessed; images below it
 * and files beside it are opened by the caller and attached, so that nothing
 * an image claims is opened without the caller's consent.
 *
 * image_read(), image_write(), image_zero() and image_map() may be called by
 * several threads at once on ranges that do not overlap, image_flush() at any
 * time (it makes durable what had returned before); everything else by one
 * thread with no such call under way.
 */
#include "img/format.h"
#include "img/luks.h"

typedef struct Image Image;

typedef struct ImageExtent {
        uint64_t start, length;
        bool present; /* this image says what stands here; otherwise its backing image does, or it is zeros */
        bool zero;    /* reads as zeros, and nobody needs to read it to know */
        bool data;    /* takes room in a file */
        bool compressed;
        bool has_offset; /* it stands at `offset` of the file, as it is */
        uint64_t offset;
        const ImageFile *file; /* which one that is, until the image is closed; NULL: its own */
        unsigned depth;        /* image_map_chain(): 0 this image, 1 its backing image, ... */
} ImageExtent;

typedef enum ImagePreallocation {
        PREALLOCATE_OFF,
        PREALLOCATE_METADATA, /* tables, no room for data */
        PREALLOCATE_FALLOC,   /* and room for data */
        PREALLOCATE_FULL,     /* and zeros written to it */
} ImagePreallocation;

typedef struct ImageCreate {
        uint64_t size;
        const char *backing_file, *backing_format; /* NULL: none */
        ImagePreallocation preallocation;
        unsigned cluster_size; /* 0: what the format usually has */
        /* qcow2 */
        unsigned version;       /* 2 or 3; 0: 3 */
        unsigned refcount_bits; /* 0: 16 */
        bool change_lazy;       /* image_amend(): set what lazy_refcounts says */
        bool change_data_raw;   /* and data_file_raw */
        bool zstd, lazy_refcounts, extended_l2, data_file_raw;
        const char *data_file_name; /* as the header shall say; NULL: none */
        ImageFile *data_file;       /* stays the caller's */
        /* the others; NULL and 0: what the format usually has */
        const char *path;        /* under which it will stand; NULL: as the file is called */
        ImageFile *const *files; /* what image_plan_files() asked for; they stay the caller's */
        size_t n_files;
        uint32_t parent_cid;              /* vmdk */
        const VpcDescription *vpc_parent; /* of the backing image; stays the caller's */
        const char *subformat;
        bool is_static, force_size;                                  /* vdi; vpc */
        const char *adapter_type, *hardware_version, *tools_version; /* vmdk */
        bool compat6, zeroed_grain;                                  /* vmdk */
        uint64_t log_size;                                           /* vhdx */
        bool zero_blocks;          /* vhdx: taken, of no effect: what is not written has no block at all */
        bool encrypt;              /* qcow2: with a LUKS header */
        LuksOptions luks;          /* of that, or of the luks format */
        bool nocow;                /* the file, of btrfs, is written in place */
        uint64_t extent_size_hint; /* of the file, of XFS; 0: none */
} ImageCreate;

typedef enum ImageRepair {
        REPAIR_NONE,
        REPAIR_LEAKS,
        REPAIR_ALL,
} ImageRepair;

typedef struct ImageCheck {
        uint64_t corruptions, leaks, check_errors;
        uint64_t corruptions_fixed, leaks_fixed;
        uint64_t image_end_offset;
        uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
        /* One sentence for each thing found; NULL: nobody wants them. */
        void (*say)(void *arg, const char *text);
        void *say_arg;
} ImageCheck;

/* A record of which parts were written, kept in the image. */
typedef struct ImageBitmap {
        char *name;           /* owned */
        uint64_t granularity; /* bytes a bit stands for */
        bool enabled;         /* follows what is written */
        bool broken;          /* a writer died: it cannot be trusted, only removed */
} ImageBitmap;

typedef VEC(ImageBitmap) ImageBitmaps;

typedef enum ImageBitmapAct {
        BITMAP_ADD,
        BITMAP_REMOVE,
        BITMAP_CLEAR,
        BITMAP_ENABLE,
        BITMAP_DISABLE,
        BITMAP_MERGE, /* put in what another one of the same disk size recorded */
} ImageBitmapAct;

/* What a bitmap recorded: bit i stands for the bytes from i * granularity on; bit 0 is the lowest of byte 0. */
typedef struct ImageBitmapContent {
        uint64_t disk_size;
        unsigned granularity_bits;
        uint8_t *bits; /* owned */
} ImageBitmapContent;

typedef struct ImageBitmapChange {
        ImageBitmapAct act;
        const char *name;
        uint64_t granularity;           /* BITMAP_ADD; 0: what is usual */
        const ImageBitmapContent *from; /* BITMAP_MERGE */
} ImageBitmapChange;

typedef struct ImageSnapshot {
        char *id, *name; /* owned */
        uint64_t l1_offset;
        uint32_t l1_size;
        uint32_t date_sec, date_nsec;
        uint64_t vm_clock_nsec;
        uint64_t vm_state_size;
        uint64_t disk_size;
        uint64_t icount; /* UINT64_MAX: not recorded */
} ImageSnapshot;

typedef VEC(ImageSnapshot) ImageSnapshots;

enum {
        IMAGE_WRITE = 1 << 0,
        IMAGE_CHECKING = 1 << 1, /* open what is dirty or marked corrupt too */
};

/*
 * Open file in this format. Takes the file on success only. A writable image needs a writable file. What the
 * header calls corrupt is opened for reading only.
 */
Image *image_open(ImageFile *file, ImageFormat format, unsigned flags, Error *err);
/* Writes what is still in memory; the image is gone also when that failed. The backing chain is closed with it. */
int image_close(Image *image, Error *err);
Image *image_free(Image *image); /* closes, throws the error away; returns NULL */

/*
 * An encrypted image is open locked: its header and map can be seen, its content not. Trying a password takes as long
 * as whoever set it wanted, up to seconds.
 */
int image_unlock(Image *image, const ImageSecret *secret, Error *err);
/* With the key of an image that is unlocked and has the same header, without trying a password. */
int image_unlock_as(Image *image, const Image *other, Error *err);
bool image_is_locked(const Image *image);
/* The LUKS header of an encrypted image, NULL: it has none. Valid until a key is changed or the image closed. */
const LuksHeader *image_luks(const Image *image);
/* Take a password in, or shut the slots of one; the image is unlocked. */
int image_change_key(Image *image, const LuksKeyChange *change, Error *err);
/* What nobody has written yet reads as zeros in a new image of this kind. */
bool image_is_zero_when_new(const Image *image);

/* Takes the backing image. */
void image_set_backing(Image *image, Image *backing);
Image *image_take_backing(Image *image);

ImageFormat image_format(const Image *image);
/*
 * QEMU's protocols of files, taken for formats: raw, of a plain file ("file") or a device ("host_device"). An image that
 * was opened by such a name is called so; NULL: it was not.
 */
bool image_name_is_protocol(const char *name);
int image_format_or_protocol(const char *name, ImageFormat *ret, Error *err);
int image_set_protocol(Image *image, const char *name, Error *err);
const char *image_protocol(const Image *image);
const char *image_name(const Image *image);
uint64_t image_size(const Image *image);
uint64_t image_cluster_size(const Image *image); /* 0: none */
bool image_is_writable(const Image *image);
uint64_t image_disk_usage(const Image *image); /* of its file and those that hold its data */
Image *image_backing(const Image *image);      /* stays the image's */
ImageFile *image_file(const Image *image);     /* stays the image's */
/* What the header says; valid until the image is changed or closed. */
const ImageDescription *image_description(const Image *image);

/* Behind the end of this image, or of a backing image, stand zeros. */
int image_read(Image *image, uint64_t offset, void *data, size_t n, Error *err);
int image_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err);
/* Store one cluster compressed where that makes it smaller; offset is a multiple of the cluster size. */
int image_write_compressed(Image *image, uint64_t offset, const void *data, size_t n, Error *err);
/* The two halves of it: pack from any thread, store in order. packed: room for a cluster; 0: not smaller. */
bool image_can_compress(const Image *image);
/* It takes compressed clusters only, each once. */
bool image_must_compress(const Image *image);
void image_compress_best(Image *image); /* rather small than fast */
size_t image_pack(Image *image, const void *data, void *packed);
/* Neighbouring clusters from `offset` on: `count` of them, each of so many bytes, which follow each other in `packed`. */
int image_write_packed(Image *image, uint64_t offset, const void *packed, const uint32_t *lengths, size_t count,
                       Error *err);

enum {
        IMAGE_ZERO_UNMAP = 1 << 0, /* give the room back where that can be done */
        IMAGE_ZERO_DROP = 1 << 1,  /* discard: afterwards the backing image may show through */
};
int image_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err);
/* image_zero() with IMAGE_ZERO_UNMAP takes no longer for much than for little. */
bool image_zeroes_fast(const Image *image);
int image_flush(Image *image, Error *err);
int image_resize(Image *image, uint64_t size, ImagePreallocation room, Error *err);
/* Record another backing file, or none (name NULL); what the guest sees changes with it unless the caller copied. */
int image_set_backing_name(Image *image, const char *name, const char *format, Error *err);
/*
 * Change version, width of the refcounts, lazy refcounts and size of an image; what is 0 or NULL stays. Backing file names
 * are taken as they are already.
 */
int image_amend(Image *image, const ImageCreate *how, Error *err);
/*
 * The files besides its own that a new image of this kind has, by name, to stand beside `path`: they are opened by the
 * caller, given to image_create() and then, with image_attach(), to the image. Owned list; empty for most formats.
 */
int image_plan_files(ImageFormat format, const ImageCreate *how, char ***ret, Error *err);
/* The i-th file that the header names as holding a part of the disk. Takes the file on success. */
int image_attach(Image *image, size_t i, ImageFile *file, Error *err);
/* Flushes reach the disk from now on, or do not, however its files were opened. */
void image_skip_flush(Image *image, bool skip);
/*
 * QEMU's byte locks on its file and on those attached to it; never blocks, and asks for more where locks are held
 * already. In use: -1, and some of them may be held.
 */
int image_lock(Image *image, bool write, Error *err);
bool image_can_create(ImageFormat format);
/* Lay out an empty image in file, which is emptied first. */
int image_create(ImageFile *file, ImageFormat format, const ImageCreate *how, Error *err);

/* Compare what the tables say with what is used. ret: zeroed but for `say`. */
int image_check(Image *image, ImageRepair repair, ImageCheck *ret, Error *err);
bool image_can_check(const Image *image);

int image_snapshots(Image *image, ImageSnapshots *ret, Error *err);
void image_snapshots_done(ImageSnapshots *snapshots);
/* name is the only field of `what` that must be set; the id is chosen. */
int image_snapshot_create(Image *image, const ImageSnapshot *what, Error *err);
/* Read the snapshot's content from now on; the image must be open for reading only. */
int image_snapshot_show(Image *image, const char *id_or_name, Error *err);
/* Give up all the image itself holds, so that its backing image shows everywhere. */
int image_make_empty(Image *image, Error *err);
int image_snapshot_apply(Image *image, const char *id_or_name, Error *err);
int image_snapshot_delete(Image *image, const char *name, Error *err); /* an id is not looked for, as QEMU does not */

/* Empty where the format has none. */
int image_bitmaps(Image *image, ImageBitmaps *ret, Error *err);
void image_bitmaps_done(ImageBitmaps *bitmaps);
bool image_has_bitmaps(const Image *image); /* it can hold some */
int image_bitmap_load(Image *image, const char *name, ImageBitmapContent *ret, Error *err);
/* On disk once the image is closed. */
int image_bitmap_change(Image *image, const ImageBitmapChange *change, Error *err);
/* The bitmaps of one image into another of the same size; broken ones are an error, or passed over and told of. */
int image_bitmaps_copy(Image *from, Image *to, void (*skipped)(const char *name), Error *err);

/* The extent that starts at offset, in this image alone: at most `length` long. */
int image_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err);
/* The same through the backing chain down to and without `until` (NULL: to the end). */
int image_map_chain(Image *image, const Image *until, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err);

DEFINE_AUTO(Image, image_free)
