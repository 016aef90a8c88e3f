#pragma once
/*
 * img/qcow2-header.h - the qcow2 header: parsed from hostile bytes, written whole
 */
#include "img/file.h"

enum {
        QCOW2_MAGIC = 0x514649fb,
        QCOW2_V2_HEADER = 72,
        QCOW2_V3_HEADER = 104,
        QCOW2_HEADER_MAX = 4096, /* what header_length may claim */
        QCOW2_MIN_CLUSTER_BITS = 9,
        QCOW2_MAX_CLUSTER_BITS = 21,
        QCOW2_MAX_L1_BYTES = 32 << 20,
        QCOW2_MAX_REFTABLE_BYTES = 8 << 20,
        QCOW2_MAX_SNAPSHOTS = 65536,
        QCOW2_MAX_SNAPSHOT_TABLE = 1024 * QCOW2_MAX_SNAPSHOTS,
        QCOW2_MAX_BITMAPS = 65535,
        QCOW2_MAX_BITMAP_DIRECTORY = 64 << 20,
        QCOW2_MAX_CRYPTO = 64 << 20,
};

enum { /* incompatible features: an unknown one means hands off */
       QCOW2_DIRTY = 1 << 0,
       QCOW2_CORRUPT = 1 << 1,
       QCOW2_EXTERNAL_DATA = 1 << 2,
       QCOW2_COMPRESSION_TYPE = 1 << 3,
       QCOW2_EXTENDED_L2 = 1 << 4,
       QCOW2_KNOWN_INCOMPATIBLE = (1 << 5) - 1,
};
enum { QCOW2_LAZY_REFCOUNTS = 1 << 0 };                            /* compatible */
enum { QCOW2_BITMAPS = 1 << 0, QCOW2_RAW_EXTERNAL_DATA = 1 << 1 }; /* auto-clear */

enum { QCOW2_CRYPT_AES = 1, QCOW2_CRYPT_LUKS = 2 };

typedef enum Qcow2Compression {
        QCOW2_ZLIB,
        QCOW2_ZSTD,
} Qcow2Compression;

typedef struct Qcow2BitmapsExt {
        uint32_t n;
        uint64_t directory_size, directory_offset;
} Qcow2BitmapsExt;

typedef struct Qcow2Header {
        uint32_t version; /* 2 or 3 */
        uint32_t cluster_bits;
        uint64_t size;
        uint32_t crypt;
        uint32_t l1_size;
        uint64_t l1_offset;
        uint64_t reftable_offset;
        uint32_t reftable_clusters;
        uint32_t n_snapshots;
        uint64_t snapshots_offset;
        uint64_t incompatible, compatible, autoclear;
        uint32_t refcount_order;
        uint32_t header_length;
        Qcow2Compression compression;
        char *backing_file, *backing_format, *data_file; /* owned; NULL: none */
        uint64_t name_at; /* where the name of the backing file stands on disk; 0: nowhere */
        Qcow2BitmapsExt bitmaps;
        uint64_t crypto_offset, crypto_length;
        uint8_t *unknown; /* extensions we do not know, as they stand, to be written back; owned */
        size_t unknown_len;
} Qcow2Header;

int qcow2_header_read(ImageFile *file, Qcow2Header *ret, Error *err);

enum { QCOW2_SECTOR = 512 };

/* The first cluster. The name of the backing file stands at `end`, or further on, where none stood that is in use. */
typedef struct Qcow2HeaderBytes {
        uint8_t *bytes;   /* owned by the caller */
        size_t end;       /* of all but the name of the backing file */
        uint64_t name_at; /* 0: there is none */
        size_t name_n;
} Qcow2HeaderBytes;

/* The whole header with extensions and names, zero-padded to a cluster. ret: owned, one cluster. */
int qcow2_header_format(const Qcow2Header *header, const char *name, Qcow2HeaderBytes *ret, Error *err);
void qcow2_header_done(Qcow2Header *header);

static inline uint64_t qcow2_cluster_size(const Qcow2Header *h)
{
        return 1ULL << h->cluster_bits;
}

DEFINE_AUTO_VALUE(Qcow2Header, qcow2_header_done)
