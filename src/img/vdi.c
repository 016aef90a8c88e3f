/*
 * img/vdi.c - VirtualBox disk images
 */
#include "img/block-map.h"

#include "img/bytes.h"

enum {
        HEADER_SIZE = 512,
        AT_SIGNATURE = 0x40,
        AT_VERSION = 0x44,
        AT_TYPE = 0x4c,
        AT_TABLE = 0x154,
        AT_DATA = 0x158,
        AT_DISK_SIZE = 0x170,
        AT_BLOCK_SIZE = 0x178,
        AT_BLOCKS = 0x180,
        TYPE_DYNAMIC = 1,
        TYPE_STATIC = 2,
        BLOCK_SIZE = 1 << 20,
};
#define BLOCK_FREE      0xffffffffU
#define BLOCK_DISCARDED 0xfffffffeU
#define VDI_SIGNATURE   0xbeda107fU

static bool vdi_probe(const uint8_t *head, size_t n)
{
        return n >= AT_SIGNATURE + 4 && load_le32(head + AT_SIGNATURE) == VDI_SIGNATURE;
}

static int vdi_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];
        uint32_t type;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (!vdi_probe(head, sizeof(head)))
                return image_bad_field(err, file, AT_SIGNATURE, "signature", "is not that of a vdi image");
        if (load_le32(head + AT_VERSION) != 0x00010001)
                return image_bad_field(err, file, AT_VERSION, "version", "is %u.%u: 1.1 is known",
                                       load_le32(head + AT_VERSION) >> 16, load_le32(head + AT_VERSION) & 0xffff);
        type = load_le32(head + AT_TYPE);
        if (type != TYPE_DYNAMIC && type != TYPE_STATIC)
                return image_bad_field(err, file, AT_TYPE, "image_type",
                                       "is %u: 1 (dynamic) and 2 (static) are known", type);
        if (load_le32(head + AT_BLOCK_SIZE) != BLOCK_SIZE)
                return image_bad_field(err, file, AT_BLOCK_SIZE, "block_size", "is %u: 1048576 is known",
                                       load_le32(head + AT_BLOCK_SIZE));
        ret->version = 1;
        ret->virtual_size = round_up(load_le64(head + AT_DISK_SIZE) & INT64_MAX, 512);
        ret->cluster_size = BLOCK_SIZE;
        if (div_up(ret->virtual_size, BLOCK_SIZE) > load_le32(head + AT_BLOCKS))
                return image_bad_field(err, file, AT_BLOCKS, "blocks_in_image", "is %u: too few for %llu bytes",
                                       load_le32(head + AT_BLOCKS), (unsigned long long)ret->virtual_size);
        return 0;
}

static int vdi_open(Image *image, Error *err)
{
        AUTOFREE uint8_t *table = NULL;
        uint8_t head[HEADER_SIZE];
        uint64_t data;
        BlockMap *map;

        if (image_file_read(image->file, 0, head, sizeof(head), err) < 0)
                return -1;
        map = block_map_new(image, BLOCK_SIZE, err);
        if (!map)
                return -1;
        data = load_le32(head + AT_DATA);
        table = block_map_read_table(image, load_le32(head + AT_TABLE), map->n, 4, err);
        for (uint64_t i = 0; table && i < map->n; i++) {
                uint32_t entry = load_le32(table + 4 * i);

                if (entry == BLOCK_FREE)
                        continue;
                if (entry == BLOCK_DISCARDED)
                        map->at[i] = BLOCK_ZERO;
                else if (block_map_set(image, i, data + (uint64_t)entry * BLOCK_SIZE,
                                       load_le32(head + AT_TABLE) + 4 * i, err) < 0)
                        free(TAKE(table));
        }
        if (!table) {
                block_map_close(image, NULL);
                return -1;
        }
        return 0;
}

const ImageDriver image_driver_vdi = {
        .name = "vdi",
        .probe = vdi_probe,
        .describe = vdi_describe,
        .open = vdi_open,
        .close = block_map_close,
        .map = block_map_map,
        .read = block_map_read,
};
