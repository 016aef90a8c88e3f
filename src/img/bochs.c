/*
 * img/bochs.c - Bochs growing disk images (read only, CON-17)
 */
#include "img/driver.h"

#include "img/bytes.h"

enum {
        HEADER_SIZE = 96,
        AT_VERSION = 64,
        AT_HEADER = 68,
        AT_CATALOG = 72,
        AT_BITMAP = 76,
        AT_EXTENT = 80,
        AT_DISK_V1 = 84,
        AT_DISK_V2 = 88,
        VERSION_1 = 0x00010000,
        VERSION_2 = 0x00020000,
};

static bool bochs_probe(const uint8_t *head, size_t n)
{
        return n >= HEADER_SIZE && strncmp((const char *)head, "Bochs Virtual HD Image", 32) == 0 &&
               strncmp((const char *)head + 32, "Redolog", 16) == 0 &&
               strncmp((const char *)head + 48, "Growing", 16) == 0 &&
               (load_le32(head + AT_VERSION) == VERSION_1 || load_le32(head + AT_VERSION) == VERSION_2);
}

static int bochs_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[HEADER_SIZE];
        bool v1;
        uint32_t extent;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        if (!bochs_probe(head, sizeof(head)))
                return image_bad_field(err, file, 0, "magic", "is not that of a growing bochs image");
        v1 = load_le32(head + AT_VERSION) == VERSION_1;
        extent = load_le32(head + AT_EXTENT);
        if (extent < 512 || extent > 8 << 20 || (extent & (extent - 1)))
                return image_bad_field(err, file, AT_EXTENT, "extent size", "is %u", extent);
        ret->version = v1 ? 1 : 2;
        ret->virtual_size = load_le64(head + (v1 ? AT_DISK_V1 : AT_DISK_V2)) & ~511ULL;
        ret->cluster_size = extent;
        if (load_le32(head + AT_CATALOG) < div_up(ret->virtual_size, extent))
                return image_bad_field(err, file, AT_CATALOG, "catalog size", "is %u: too small for the disk",
                                       load_le32(head + AT_CATALOG));
        return 0;
}

const ImageDriver image_driver_bochs = {
        .name = "bochs",
        .probe = bochs_probe,
        .describe = bochs_describe,
};
