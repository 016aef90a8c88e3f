/*
 * img/vpc.c - Microsoft Virtual PC and Hyper-V disks (VHD): fixed, dynamic, differencing
 *
 * A footer of 512 bytes ends every image; the growing kinds have a copy at the
 * start, with a second header behind it.
 */
#include "img/block-map.h"

#include "base/buf.h"
#include "base/str.h"
#include "img/bytes.h"

enum {
        FOOTER_SIZE = 512,
        AT_DATA_OFFSET = 16,
        AT_CREATOR = 28,
        AT_CURRENT_SIZE = 48,
        AT_CYLINDERS = 56,
        AT_HEADS = 58,
        AT_SECTORS = 59,
        AT_TYPE = 60,
        TYPE_FIXED = 2,
        TYPE_DYNAMIC = 3,
        TYPE_DIFFERENCING = 4,
        DYNAMIC_SIZE = 1024,
        AT_TABLE = 16,
        AT_BLOCK_SIZE = 32,
        AT_PARENT_NAME = 64,
        PARENT_NAME_UNITS = 256,
};
#define LARGEST_GEOMETRY (65535ULL * 16 * 255)

static bool vpc_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && memcmp(head, "conectix", 8) == 0;
}

/* Programs that store the size itself; the others count in cylinders, heads and sectors. */
static bool creator_stores_size(const uint8_t *footer)
{
        static const char creators[][4] = { "win ", "qem2", "d2v ", "tap", "CTXS" };

        for (size_t i = 0; i < ARRAY_LEN(creators); i++)
                if (memcmp(footer + AT_CREATOR, creators[i], 4) == 0)
                        return true;
        return false;
}

static uint64_t size_of(const uint8_t *footer)
{
        uint64_t geometry = (uint64_t)load_be16(footer + AT_CYLINDERS) * footer[AT_HEADS] * footer[AT_SECTORS];

        if (creator_stores_size(footer) || geometry >= LARGEST_GEOMETRY || geometry == 0)
                return load_be64(footer + AT_CURRENT_SIZE);
        return geometry * 512;
}

/* The parent's name is UTF-16, big-endian; what does not fit in UTF-8 of our limit is refused. */
static char *parent_name(const uint8_t *units, const ImageFile *file, uint64_t at, Error *err)
{
        AUTO(Buf) name = { 0 };

        for (size_t i = 0; i < PARENT_NAME_UNITS; i++) {
                uint32_t c = load_be16(units + 2 * i);

                if (c == 0)
                        break;
                if (c >= 0xd800 && c < 0xdc00 && i + 1 < PARENT_NAME_UNITS &&
                    (load_be16(units + 2 * (i + 1)) & 0xfc00) == 0xdc00)
                        c = 0x10000 + ((c & 0x3ff) << 10) + (load_be16(units + 2 * ++i) & 0x3ff);
                else if (c >= 0xd800 && c < 0xe000) {
                        image_bad_field(err, file, at + 2 * i, "parent name", "is not UTF-16");
                        return NULL;
                }
                if (c < 0x80) {
                        buf_put_char(&name, (char)c);
                } else if (c < 0x800) {
                        buf_put_char(&name, (char)(0xc0 | c >> 6));
                        buf_put_char(&name, (char)(0x80 | (c & 0x3f)));
                } else {
                        if (c < 0x10000) {
                                buf_put_char(&name, (char)(0xe0 | c >> 12));
                        } else {
                                buf_put_char(&name, (char)(0xf0 | c >> 18));
                                buf_put_char(&name, (char)(0x80 | (c >> 12 & 0x3f)));
                        }
                        buf_put_char(&name, (char)(0x80 | (c >> 6 & 0x3f)));
                        buf_put_char(&name, (char)(0x80 | (c & 0x3f)));
                }
        }
        return str_dup(buf_text(&name));
}

static int describe_growing(ImageFile *file, const uint8_t *footer, ImageDescription *ret, Error *err)
{
        uint8_t head[DYNAMIC_SIZE];
        uint64_t at = load_be64(footer + AT_DATA_OFFSET);
        uint32_t block;

        if (at > INT64_MAX - DYNAMIC_SIZE)
                return image_bad_field(err, file, AT_DATA_OFFSET, "data_offset", "is too large");
        if (image_file_read(file, at, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, "cxsparse", 8) != 0)
                return image_bad_field(err, file, at, "dynamic header", "is not there");
        block = load_be32(head + AT_BLOCK_SIZE);
        if (block < 512 || (block & (block - 1)))
                return image_bad_field(err, file, at + AT_BLOCK_SIZE, "block_size", "is %u", block);
        ret->cluster_size = block;
        if (load_be32(footer + AT_TYPE) != TYPE_DIFFERENCING)
                return 0;
        ret->backing_file = parent_name(head + AT_PARENT_NAME, file, at + AT_PARENT_NAME, err);
        ret->backing_format = str_dup("vpc");
        return ret->backing_file ? 0 : -1;
}

static int vpc_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t footer[FOOTER_SIZE];
        uint64_t size;

        if (image_file_size(file, &size, err) < 0 || image_file_read(file, 0, footer, sizeof(footer), err) < 0)
                return -1;
        if (!vpc_probe(footer, sizeof(footer))) {
                if (size < FOOTER_SIZE || image_file_read(file, size - FOOTER_SIZE, footer, sizeof(footer), err) < 0)
                        return -1;
                if (!vpc_probe(footer, sizeof(footer)))
                        return image_bad_field(err, file, size - FOOTER_SIZE, "footer", "is not that of a vpc image");
        }
        ret->virtual_size = size_of(footer);
        switch (load_be32(footer + AT_TYPE)) {
        case TYPE_FIXED:
                if (ret->virtual_size > size)
                        return image_bad_field(err, file, AT_CURRENT_SIZE, "current_size",
                                               "is %llu in a file of %llu bytes",
                                               (unsigned long long)ret->virtual_size, (unsigned long long)size);
                return 0;
        case TYPE_DYNAMIC:
        case TYPE_DIFFERENCING:
                return describe_growing(file, footer, ret, err);
        default:
                return image_bad_field(err, file, AT_TYPE, "disk_type", "is %u: 2, 3 and 4 are known",
                                       load_be32(footer + AT_TYPE));
        }
}

static int open_growing(Image *image, const uint8_t *footer, Error *err)
{
        AUTOFREE uint8_t *table = NULL;
        uint64_t at = load_be64(footer + AT_DATA_OFFSET), table_at, bitmap;
        uint8_t head[DYNAMIC_SIZE];
        BlockMap *map;

        if (image_file_read(image->file, at, head, sizeof(head), err) < 0)
                return -1;
        table_at = load_be64(head + AT_TABLE);
        /* A bitmap of sectors stands before the data of each block. */
        bitmap = round_up(image->about.cluster_size / 512 / 8, 512);
        map = block_map_new(image, image->about.cluster_size, err);
        if (!map)
                return -1;
        table = block_map_read_table(image, table_at, map->n, 4, err);
        for (uint64_t i = 0; table && i < map->n; i++)
                if (load_be32(table + 4 * i) != UINT32_MAX &&
                    block_map_set(image, i, load_be32(table + 4 * i) * 512ULL + bitmap, table_at + 4 * i, err) < 0)
                        free(TAKE(table));
        if (!table) {
                block_map_close(image, NULL);
                return -1;
        }
        return 0;
}

static int vpc_open(Image *image, Error *err)
{
        uint8_t footer[FOOTER_SIZE];

        if (!image->about.cluster_size)
                return 0; /* fixed: the disk's bytes begin the file */
        if (image_file_read(image->file, 0, footer, sizeof(footer), err) < 0)
                return -1;
        if (load_be32(footer + AT_TYPE) == TYPE_DIFFERENCING)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': differencing vpc images are not read here",
                               image_name(image));
        return open_growing(image, footer, err);
}

static int vpc_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        return image->state ? block_map_map(image, offset, length, ret, err)
                            : image_driver_raw.map(image, offset, length, ret, err);
}

static int vpc_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        return image->state ? block_map_read(image, offset, data, n, err)
                            : image_driver_raw.read(image, offset, data, n, err);
}

const ImageDriver image_driver_vpc = {
        .name = "vpc",
        .probe = vpc_probe,
        .describe = vpc_describe,
        .open = vpc_open,
        .close = block_map_close,
        .map = vpc_map,
        .read = vpc_read,
};
