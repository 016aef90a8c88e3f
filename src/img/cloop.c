/*
 * img/cloop.c - Linux compressed loop images, version 2 (read only, IMG-35)
 */
#include "img/block-map.h"

#include "img/bytes.h"

enum {
        HEADER_SIZE = 136,
        AT_BLOCK_SIZE = 128,
        AT_BLOCKS = 132,
        MAX_BLOCK = 64 << 20,
        ZLIB_HEADER = 2,
        PER_PART = 1 << 14
};

static bool cloop_probe(const uint8_t *head, size_t n)
{
        static const char magic[] = "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 "
                                    "/dev/cloop $1\n";

        return n >= HEADER_SIZE && memcmp(head, magic, sizeof(magic) - 1) == 0;
}

static int cloop_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];
        uint32_t block, n;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        block = load_be32(head + AT_BLOCK_SIZE);
        n = load_be32(head + AT_BLOCKS);
        if (block == 0 || block % 512 || block > MAX_BLOCK)
                return image_bad_field(err, file, AT_BLOCK_SIZE, "block_size", "is %u", block);
        if (n > (512 << 20) / 8 - 1)
                return image_bad_field(err, file, AT_BLOCKS, "num_blocks", "is %u: the table of offsets is too large",
                                       n);
        ret->version = 2;
        ret->cluster_size = block;
        ret->virtual_size = (uint64_t)block * n;
        return 0;
}

static int cloop_load(Image *image, uint64_t part, uint64_t *entries, Error *err)
{
        const BlockMap *map = block_map_of(image);
        uint64_t n = block_map_part_length(map, part), from = HEADER_SIZE + 8 * part * PER_PART;
        AUTOFREE uint8_t *table = block_map_read_table(image, from, n + 1, 8, err);

        for (uint64_t i = 0; table && i < n; i++) {
                uint64_t at = load_be64(table + 8 * i), next = load_be64(table + 8 * (i + 1));

                if (next <= at)
                        return image_bad_field(err, image->file, from + 8 * i, "offset of a block",
                                               "is %llu, and the next one %llu", (unsigned long long)at,
                                               (unsigned long long)next);
                if (block_map_packed(image, at, next - at, from + 8 * i, &entries[i], err) < 0)
                        return -1;
        }
        return table ? 0 : -1;
}

static const BlockMapOps cloop_ops = { .load = cloop_load };

static int cloop_open(Image *image, Error *err)
{
        BlockMap *map = block_map_new(image, &cloop_ops, image->about.cluster_size, PER_PART, NULL, err);

        if (!map)
                return -1;
        map->skip = ZLIB_HEADER;
        return 0;
}

const ImageDriver image_driver_cloop = {
        .name = "cloop",
        .probe = cloop_probe,
        .describe = cloop_describe,
        .open = cloop_open,
        .close = block_map_close,
        .map = block_map_map,
        .read = block_map_read,
};
