/*
 * img/cow.c - User-mode Linux copy-on-write files, version 2 (CON-18: read only)
 *
 * A bitmap says which sectors are the image's own; they stand where the disk
 * has them, behind the bitmap.
 */
#include "img/driver.h"

#include "base/str.h"
#include "img/bytes.h"

enum {
        HEADER_SIZE = 1056,
        AT_NAME = 8,
        NAME_ROOM = 1024,
        AT_SIZE = 1040,
        AT_SECTOR_SIZE = 1048,
        SECTOR = 512,
        MOST_AT_ONCE = 4096, /* bytes of the bitmap that are looked at in one call */
};

static bool cow_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && memcmp(head, "OOOM", 4) == 0 && load_be32(head + 4) == 2;
}

static int cow_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];
        size_t n;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (!cow_probe(head, sizeof(head)))
                return image_bad_field(err, file, 0, "magic", "is not that of a cow image of version 2");
        n = strnlen((const char *)head + AT_NAME, NAME_ROOM);
        if (n == NAME_ROOM)
                return image_bad_field(err, file, AT_NAME, "backing file name", "has no end");
        if (load_be32(head + AT_SECTOR_SIZE) != SECTOR)
                return image_bad_field(err, file, AT_SECTOR_SIZE, "sector size", "is %u: 512 is known",
                                       load_be32(head + AT_SECTOR_SIZE));
        ret->version = 2;
        ret->virtual_size = load_be64(head + AT_SIZE);
        ret->cluster_size = SECTOR;
        if (ret->virtual_size > INT64_MAX / 2 || ret->virtual_size % SECTOR)
                return image_bad_field(err, file, AT_SIZE, "size", "is %llu", (unsigned long long)ret->virtual_size);
        if (n)
                ret->backing_file = str_dup_n((const char *)head + AT_NAME, n);
        return 0;
}

static int cow_open(Image *image, Error *err)
{
        (void)image, (void)err;
        return 0;
}

/* Where the sectors begin. */
static uint64_t data_at(const Image *image)
{
        return round_up(HEADER_SIZE + div_up(image->size / SECTOR, 8), SECTOR);
}

static int cow_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        uint64_t sector = offset / SECTOR, first = sector / 8;
        uint64_t n = MIN(div_up(offset + length, SECTOR), (first + MOST_AT_ONCE) * 8) - sector, run = 1;
        uint8_t bitmap[MOST_AT_ONCE];
        bool own;

        if (image_file_read_padded(image->file, HEADER_SIZE + first, bitmap, (size_t)(div_up(sector + n, 8) - first),
                                   err) < 0)
                return -1;
        own = bitmap[0] >> sector % 8 & 1;
        while (run < n && (bitmap[(sector + run) / 8 - first] >> (sector + run) % 8 & 1) == own)
                run++;
        *ret = (ImageExtent){ .start = offset, .length = MIN(run * SECTOR - offset % SECTOR, length) };
        ret->present = ret->data = ret->has_offset = own;
        ret->offset = own ? data_at(image) + offset : 0;
        return 0;
}

const ImageDriver image_driver_cow = {
        .name = "cow",
        .probe = cow_probe,
        .describe = cow_describe,
        .open = cow_open,
        .map = cow_map,
        .read = image_read_by_map,
};
