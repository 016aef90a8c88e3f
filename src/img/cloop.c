/*
 * img/cloop.c - Linux compressed loop images, version 2 (read only, IMG-35)
 */
#include "img/driver.h"

#include "img/bytes.h"

enum { HEADER_SIZE = 136, AT_BLOCK_SIZE = 128, AT_BLOCKS = 132, MAX_BLOCK = 64 << 20 };

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

const ImageDriver image_driver_cloop = {
        .name = "cloop",
        .probe = cloop_probe,
        .describe = cloop_describe,
};
