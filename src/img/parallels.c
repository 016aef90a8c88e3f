/*
 * img/parallels.c - Parallels disk images
 */
#include "img/block-map.h"

#include "img/bytes.h"

enum {
        HEADER_SIZE = 64,
        AT_VERSION = 16,
        AT_TRACKS = 28,
        AT_BAT_ENTRIES = 32,
        AT_SECTORS = 36,
        AT_IN_USE = 44,
};
#define IN_USE_MAGIC 0x746f6e59U

static bool parallels_probe(const uint8_t *head, size_t n)
{
        return n >= HEADER_SIZE &&
               (memcmp(head, "WithoutFreeSpace", 16) == 0 || memcmp(head, "WithouFreSpacExt", 16) == 0) &&
               load_le32(head + AT_VERSION) == 2;
}

static int parallels_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];
        uint64_t sectors, clusters;
        uint32_t tracks;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (!parallels_probe(head, sizeof(head)))
                return image_bad_field(err, file, 0, "magic", "is not that of a parallels image of version 2");
        tracks = load_le32(head + AT_TRACKS);
        sectors = load_le64(head + AT_SECTORS);
        if (memcmp(head, "WithoutFreeSpace", 16) == 0)
                sectors &= 0xffffffff; /* the upper half is not defined in this variant */
        if (tracks == 0 || tracks > INT32_MAX / 513)
                return image_bad_field(err, file, AT_TRACKS, "tracks", "is %u", tracks);
        if (mul_overflows(sectors, 512, &ret->virtual_size))
                return image_bad_field(err, file, AT_SECTORS, "nb_sectors", "is %llu: too large",
                                       (unsigned long long)sectors);
        clusters = div_up(sectors, tracks);
        if (load_le32(head + AT_BAT_ENTRIES) < clusters)
                return image_bad_field(err, file, AT_BAT_ENTRIES, "bat_entries", "is %u: %llu are needed",
                                       load_le32(head + AT_BAT_ENTRIES), (unsigned long long)clusters);
        ret->version = 2;
        ret->cluster_size = 512ULL * tracks;
        ret->dirty = load_le32(head + AT_IN_USE) == IN_USE_MAGIC;
        return 0;
}

static int parallels_open(Image *image, Error *err)
{
        AUTOFREE uint8_t *table = NULL;
        uint8_t head[HEADER_SIZE];
        uint64_t unit;
        BlockMap *map;

        if (image_file_read(image->file, 0, head, sizeof(head), err) < 0)
                return -1;
        /* The newer variant counts in clusters, the older one in sectors. */
        unit = memcmp(head, "WithoutFreeSpace", 16) == 0 ? 512 : image->about.cluster_size;
        map = block_map_new(image, image->about.cluster_size, err);
        if (!map)
                return -1;
        table = block_map_read_table(image, HEADER_SIZE, map->n, 4, err);
        for (uint64_t i = 0; table && i < map->n; i++)
                if (load_le32(table + 4 * i) &&
                    block_map_set(image, i, load_le32(table + 4 * i) * unit, HEADER_SIZE + 4 * i, err) < 0)
                        free(TAKE(table));
        if (!table) {
                block_map_close(image, NULL);
                return -1;
        }
        return 0;
}

const ImageDriver image_driver_parallels = {
        .name = "parallels",
        .probe = parallels_probe,
        .describe = parallels_describe,
        .open = parallels_open,
        .close = block_map_close,
        .map = block_map_map,
        .read = block_map_read,
};
