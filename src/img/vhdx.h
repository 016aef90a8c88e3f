#pragma once
/*
 * img/vhdx.h - the parts of a Hyper-V disk (VHDX): headers, log, a new one
 *
 * For vhdx*.c only.
 */
#include "base/uuid.h"
#include "base/vec.h"
#include "img/driver.h"

enum {
        VHDX_HEADER_1 = 64 << 10,
        VHDX_HEADER_2 = 128 << 10,
        VHDX_HEADER_SIZE = 4096,
        VHDX_REGIONS_1 = 192 << 10,
        VHDX_REGIONS_2 = 256 << 10,
        VHDX_REGIONS_SIZE = 64 << 10,
        VHDX_ROW_SIZE = 32,
        VHDX_AT_SEQUENCE = 8,
        VHDX_AT_FILE_WRITE = 16,
        VHDX_AT_DATA_WRITE = 32,
        VHDX_AT_LOG_GUID = 48,
        VHDX_AT_VERSION = 66,
        VHDX_AT_LOG_LENGTH = 68,
        VHDX_AT_LOG_OFFSET = 72,
        VHDX_METADATA_TABLE = 64 << 10,
        VHDX_LOG_SECTOR = 4096,
        VHDX_MOST_LOG = 32 << 20,
};

extern const uint8_t vhdx_bat_region[16], vhdx_metadata_region[16], vhdx_file_parameters[16], vhdx_disk_size[16],
        vhdx_page_83[16], vhdx_logical_sector[16], vhdx_physical_sector[16];

/* The checksum of all of VHDX: at 4, counted as zeros itself. */
void vhdx_put_checksum(uint8_t *data, size_t n);
bool vhdx_checksum_fits(const uint8_t *data, size_t n);

/* The header that counts, and where it stands. */
int vhdx_header_read(ImageFile *file, uint8_t head[VHDX_HEADER_SIZE], uint64_t *at, Error *err);
/* Put the next header in place of the older one, then over the other one. Keeps head. */
int vhdx_header_write(ImageFile *file, uint8_t head[VHDX_HEADER_SIZE], uint64_t *at, Error *err);

/* What the log says of the file: sectors to be put over it, in order. */
typedef struct VhdxPatch {
        uint64_t offset, length;
        uint8_t *data; /* owned; NULL: zeros */
} VhdxPatch;
typedef struct VhdxLog {
        VEC(VhdxPatch) patches;
        uint64_t file_size; /* what the file was at least long */
} VhdxLog;

/* Nothing in it when the header says that there is no log. */
int vhdx_log_read(ImageFile *file, const uint8_t head[VHDX_HEADER_SIZE], VhdxLog *ret, Error *err);
void vhdx_log_done(VhdxLog *log);
/* What the log changes in n bytes that were read at offset. */
void vhdx_log_apply(const VhdxLog *log, uint64_t offset, uint8_t *data, size_t n);
/* Change the file. */
int vhdx_log_replay(const VhdxLog *log, ImageFile *file, Error *err);

/* Where an item of the metadata stands, and its length. */
int vhdx_item_find(ImageFile *file, uint64_t metadata, const uint8_t id[16], uint64_t *ret, uint32_t *length,
                   Error *err);

/* vhdx-parent.c: the parent's name and ids, from the metadata at this offset. */
int vhdx_parent_describe(ImageFile *file, uint64_t metadata, ImageDescription *ret, Error *err);
/* Blocks that share a bitmap, one bit a sector. */
typedef struct VhdxChunk {
        uint64_t size;      /* bytes of the disk */
        uint64_t bitmap_at; /* in the file */
        uint32_t sector;
} VhdxChunk;
/* Of an extent within one block: as much as is all the image's own, or all the parent's. */
int vhdx_parent_narrow(ImageFile *file, const VhdxLog *log, const VhdxChunk *chunk, ImageExtent *extent, Error *err);

int vhdx_create(ImageFile *file, const ImageCreate *how, Error *err);

DEFINE_AUTO_VALUE(VhdxLog, vhdx_log_done)
