/*
 * img/vhdx.c - Hyper-V disks (VHDX)
 *
 * Two region tables (the second a copy) say where the metadata is; the
 * metadata's own table says where each item is.
 */
#include "img/driver.h"

#include "base/str.h"
#include "img/bytes.h"

enum {
        REGION_1 = 192 << 10,
        REGION_2 = 256 << 10,
        ROW_SIZE = 32,
        MAX_ROWS = 2047,
        METADATA_TABLE = 64 << 10,
        FLAG_HAS_PARENT = 2,
};

static const uint8_t metadata_region[16] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                             0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
static const uint8_t file_parameters[16] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                             0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };
static const uint8_t disk_size[16] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                       0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 };

static bool vhdx_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && memcmp(head, "vhdxfile", 8) == 0;
}

/* Rows of 32 bytes that begin with an id, behind a head: the row with this id, or an error. */
static int find_row(ImageFile *file, uint64_t table, size_t head, uint32_t n, const uint8_t id[16], const char *what,
                    uint8_t row[ROW_SIZE], Error *err)
{
        if (n > MAX_ROWS)
                return image_bad_field(err, file, table, what, "has %u rows, at most %d are allowed", n, MAX_ROWS);
        for (uint32_t i = 0; i < n; i++) {
                if (image_file_read(file, table + head + (uint64_t)i * ROW_SIZE, row, ROW_SIZE, err) < 0)
                        return -1;
                if (memcmp(row, id, 16) == 0)
                        return 0;
        }
        return image_bad_field(err, file, table, what, "lacks a row that is needed");
}

static int find_metadata(ImageFile *file, uint64_t *ret, Error *err)
{
        uint8_t head[16], row[ROW_SIZE];
        uint64_t table = REGION_1;

        if (image_file_read(file, table, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, "regi", 4) != 0) {
                table = REGION_2;
                if (image_file_read(file, table, head, sizeof(head), err) < 0)
                        return -1;
        }
        if (memcmp(head, "regi", 4) != 0)
                return image_bad_field(err, file, table, "region table", "is not there");
        if (find_row(file, table, sizeof(head), load_le32(head + 8), metadata_region, "region table", row, err) < 0)
                return -1;
        *ret = load_le64(row + 16);
        if (*ret > INT64_MAX / 2)
                return image_bad_field(err, file, table, "metadata offset", "is too large");
        return 0;
}

/* n bytes of one metadata item. */
static int read_item(ImageFile *file, uint64_t metadata, const uint8_t id[16], void *data, size_t n, Error *err)
{
        uint8_t head[32], row[ROW_SIZE];

        if (image_file_read(file, metadata, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, "metadata", 8) != 0)
                return image_bad_field(err, file, metadata, "metadata signature", "is wrong");
        if (find_row(file, metadata, sizeof(head), load_le16(head + 10), id, "metadata table", row, err) < 0)
                return -1;
        if (load_le32(row + 16) < METADATA_TABLE || load_le32(row + 20) < n)
                return image_bad_field(err, file, metadata, "metadata item", "is misplaced or too short");
        return image_file_read(file, metadata + load_le32(row + 16), data, n, err);
}

static int vhdx_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t magic[8], parameters[8], size[8];
        uint64_t metadata;
        uint32_t block;

        if (image_file_read(file, 0, magic, sizeof(magic), err) < 0)
                return -1;
        if (!vhdx_probe(magic, sizeof(magic)))
                return image_bad_field(err, file, 0, "magic", "is not that of a vhdx image");
        if (find_metadata(file, &metadata, err) < 0 ||
            read_item(file, metadata, file_parameters, parameters, sizeof(parameters), err) < 0 ||
            read_item(file, metadata, disk_size, size, sizeof(size), err) < 0)
                return -1;
        block = load_le32(parameters);
        if (block < 1 << 20 || block > 256 << 20 || (block & (block - 1)))
                return image_bad_field(err, file, metadata, "block size", "is %u", block);
        if (load_le32(parameters + 4) & FLAG_HAS_PARENT)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': differencing vhdx images are not supported",
                               file->name);
        ret->cluster_size = block;
        ret->virtual_size = load_le64(size);
        return 0;
}

const ImageDriver image_driver_vhdx = {
        .name = "vhdx",
        .probe = vhdx_probe,
        .describe = vhdx_describe,
};
