/*
 * img/bochs.c - Bochs growing disk images (read only, CON-17)
 *
 * A catalog says where each extent of the disk is, counted in extents; each
 * begins with a bitmap of the sectors that were written.
 */
#include "img/driver.h"

#include "base/mem.h"
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
        SECTOR = 512,
        FREE = -1,
        MOST_CATALOG = 1 << 20,
        MOST_BITMAP = 1 << 20,
};

typedef struct Bochs {
        uint64_t data_at;
        uint32_t bitmap; /* bytes before the data of an extent, whole sectors */
        uint32_t n;
        uint32_t catalog[];
} Bochs;

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
        if (load_le32(head + AT_CATALOG) > MOST_CATALOG)
                return image_bad_field(err, file, AT_CATALOG, "catalog size", "is %u: at most %d is read here",
                                       load_le32(head + AT_CATALOG), MOST_CATALOG);
        if (load_le32(head + AT_BITMAP) > MOST_BITMAP || load_le32(head + AT_BITMAP) < div_up(extent / SECTOR, 8))
                return image_bad_field(err, file, AT_BITMAP, "bitmap size", "is %u for extents of %u bytes",
                                       load_le32(head + AT_BITMAP), extent);
        return 0;
}

static int bochs_open(Image *image, Error *err)
{
        AUTOFREE uint8_t *table = NULL;
        uint8_t head[HEADER_SIZE];
        uint32_t n;
        Bochs *b;

        if (image_file_read(image->file, 0, head, sizeof(head), err) < 0)
                return -1;
        n = load_le32(head + AT_CATALOG);
        table = mem_try(4ULL * n);
        b = mem_try(sizeof(*b) + 4ULL * n);
        if (!table || !b || image_file_read(image->file, load_le32(head + AT_HEADER), table, 4ULL * n, err) < 0) {
                free(b);
                return table && b ? -1
                                  : err_set(err, ERR_NO_MEMORY, "'%s': no memory for its catalog", image_name(image));
        }
        for (uint32_t i = 0; i < n; i++)
                b->catalog[i] = load_le32(table + 4ULL * i);
        b->n = n;
        b->data_at = load_le32(head + AT_HEADER) + 4ULL * n;
        b->bitmap = (uint32_t)round_up(load_le32(head + AT_BITMAP), SECTOR);
        image->state = b;
        return 0;
}

static int bochs_close(Image *image, Error *err)
{
        (void)err;
        free(image->state);
        return 0;
}

/* Within one extent: sectors in a row that were all written, or all not. */
static int bochs_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        const Bochs *b = image->state;
        uint64_t extent = image->about.cluster_size, inside = offset % extent, sector = inside / SECTOR, run = 1, at;
        uint32_t place = b->catalog[offset / extent];
        AUTOFREE uint8_t *bitmap = NULL;
        bool own;

        length = MIN(length, extent - inside);
        *ret = (ImageExtent){ .start = offset, .length = length };
        if (place == (uint32_t)FREE)
                return 0;
        at = b->data_at + place * (b->bitmap + extent);
        bitmap = mem_alloc(b->bitmap);
        if (image_file_read(image->file, at, bitmap, b->bitmap, err) < 0)
                return -1;
        own = bitmap[sector / 8] >> sector % 8 & 1;
        while ((sector + run) * SECTOR < inside + length &&
               (bitmap[(sector + run) / 8] >> (sector + run) % 8 & 1) == own)
                run++;
        ret->length = MIN((sector + run) * SECTOR - inside, length);
        ret->present = ret->data = ret->has_offset = own;
        ret->offset = own ? at + b->bitmap + inside : 0;
        return 0;
}

const ImageDriver image_driver_bochs = {
        .name = "bochs",
        .probe = bochs_probe,
        .describe = bochs_describe,
        .open = bochs_open,
        .close = bochs_close,
        .map = bochs_map,
        .read = image_read_by_map,
};
