/*
 * img/dmg.c - Apple disk images (read only, CON-17)
 *
 * Recognised by the 512 bytes at the end of the file.
 */
#include "img/driver.h"

#include "img/bytes.h"

enum { TRAILER_SIZE = 512, AT_SECTORS = 0x1ec };

static bool dmg_probe_tail(const uint8_t *tail, size_t n)
{
        return n >= TRAILER_SIZE && memcmp(tail, "koly", 4) == 0;
}

static int dmg_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t tail[TRAILER_SIZE];
        uint64_t size;

        if (image_file_size(file, &size, err) < 0)
                return -1;
        if (size < TRAILER_SIZE)
                return image_bad_field(err, file, 0, "file", "is too short for a dmg image");
        if (image_file_read(file, size - TRAILER_SIZE, tail, sizeof(tail), err) < 0)
                return -1;
        if (!dmg_probe_tail(tail, sizeof(tail)))
                return image_bad_field(err, file, size - TRAILER_SIZE, "trailer", "is not that of a dmg image");
        if (mul_overflows(load_be64(tail + AT_SECTORS), 512, &ret->virtual_size))
                return image_bad_field(err, file, size - TRAILER_SIZE + AT_SECTORS, "sector count", "is too large");
        return 0;
}

const ImageDriver image_driver_dmg = {
        .name = "dmg",
        .probe_tail = dmg_probe_tail,
        .describe = dmg_describe,
};
