/*
 * img/luks.c - LUKS version 1 containers
 */
#include "img/driver.h"

#include "img/bytes.h"

enum { HEADER_SIZE = 592, AT_VERSION = 6, AT_PAYLOAD = 104 };

static bool luks_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && memcmp(head, "LUKS\xba\xbe", 6) == 0 && load_be16(head + AT_VERSION) == 1;
}

static int luks_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];
        uint64_t size, payload;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, "LUKS\xba\xbe", 6) != 0)
                return image_bad_field(err, file, 0, "magic", "is not that of a LUKS container");
        if (load_be16(head + AT_VERSION) != 1)
                return image_bad_field(err, file, AT_VERSION, "version", "is %u: 1 is known",
                                       load_be16(head + AT_VERSION));
        if (image_file_size(file, &size, err) < 0)
                return -1;
        payload = 512ULL * load_be32(head + AT_PAYLOAD);
        if (payload < HEADER_SIZE || payload > size)
                return image_bad_field(err, file, AT_PAYLOAD, "payload offset", "is %llu bytes in a file of %llu",
                                       (unsigned long long)payload, (unsigned long long)size);
        ret->version = 1;
        ret->encrypted = true;
        ret->virtual_size = size - payload;
        return 0;
}

const ImageDriver image_driver_luks = {
        .name = "luks",
        .probe = luks_probe,
        .describe = luks_describe,
};
