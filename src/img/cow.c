/*
 * img/cow.c - User-mode Linux copy-on-write files, version 2 (CON-18: read only)
 */
#include "img/driver.h"

#include "base/str.h"
#include "img/bytes.h"

enum { HEADER_SIZE = 1056, AT_NAME = 8, NAME_ROOM = 1024, AT_SIZE = 1040 };

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
        ret->version = 2;
        ret->virtual_size = load_be64(head + AT_SIZE);
        ret->cluster_size = 512;
        if (n)
                ret->backing_file = str_dup_n((const char *)head + AT_NAME, n);
        return 0;
}

const ImageDriver image_driver_cow = {
        .name = "cow",
        .probe = cow_probe,
        .describe = cow_describe,
};
