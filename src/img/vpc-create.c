/*
 * img/vpc-create.c - a new vpc image: fixed, dynamic, or differencing on top of another one
 *
 * An image on top of another one has that one's size and geometry, and notes
 * its id and its name.
 */
#include "img/vpc.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/uuid.h"
#include "img/bytes.h"
#include "img/utf16.h"

#include <time.h>

/* The disk's size in cylinders, heads and sectors, as the format's description computes it. */
static uint64_t geometry_of(uint64_t sectors, uint8_t footer[FOOTER_SIZE])
{
        uint64_t tracks, heads, per_track;

        sectors = MIN(sectors, LARGEST_GEOMETRY);
        if (sectors > 65535ULL * 16 * 63) {
                per_track = 255;
                heads = 16;
                tracks = sectors / per_track;
        } else {
                per_track = 17;
                tracks = sectors / per_track;
                heads = MAX(4ULL, div_up(tracks, 1024));
                if (tracks >= heads * 1024 || heads > 16) {
                        per_track = 31;
                        heads = 16;
                        tracks = sectors / per_track;
                }
                if (tracks >= heads * 1024) {
                        per_track = 63;
                        heads = 16;
                        tracks = sectors / per_track;
                }
        }
        store_be16(footer + AT_CYLINDERS, (uint16_t)(tracks / heads));
        footer[AT_HEADS] = (uint8_t)heads;
        footer[AT_SECTORS] = (uint8_t)per_track;
        return tracks / heads * heads * per_track;
}

static uint64_t choose_size(uint64_t wanted, bool exact, uint8_t footer[FOOTER_SIZE])
{
        uint64_t sectors = div_up(wanted, 512), geometry = geometry_of(sectors, footer);

        if (exact) {
                geometry_of(LARGEST_GEOMETRY, footer);
                return sectors * 512;
        }
        for (uint64_t more = 1; geometry < sectors && geometry < LARGEST_GEOMETRY; more++)
                geometry = geometry_of(sectors + more, footer);
        return geometry >= LARGEST_GEOMETRY ? sectors * 512 : geometry * 512;
}

static void put_checksum(uint8_t *head, size_t n, size_t at)
{
        uint32_t sum = 0;

        store_be32(head + at, 0);
        for (size_t i = 0; i < n; i++)
                sum += head[i];
        store_be32(head + at, ~sum);
}

static void put_identity(uint8_t footer[FOOTER_SIZE], uint32_t type)
{
        Uuid uuid;

        store_be64(footer + AT_DATA_OFFSET, type == TYPE_FIXED ? UINT64_MAX : FOOTER_SIZE);
        store_be32(footer + AT_TIME, (uint32_t)(time(NULL) - SECONDS_TO_2000));
        store_be32(footer + AT_TYPE, type);
        uuid_new_random(&uuid);
        memcpy(footer + AT_UUID, uuid.bytes, sizeof(uuid.bytes));
        put_checksum(footer, FOOTER_SIZE, AT_CHECKSUM);
}

static void put_footer(uint8_t footer[FOOTER_SIZE], uint64_t size, bool fixed, bool exact)
{

        memcpy(footer, "conectix", 8);
        store_be32(footer + AT_FEATURES, 2);
        store_be32(footer + AT_VERSION, 0x00010000);
        memcpy(footer + AT_CREATOR, exact ? "qem2" : "drov", 4); /* readers know by it which size counts */
        memcpy(footer + AT_CREATOR_OS, "Wi2k", 4);
        store_be64(footer + AT_ORIGINAL_SIZE, size);
        store_be64(footer + AT_CURRENT_SIZE, size);
        put_identity(footer, fixed ? TYPE_FIXED : TYPE_DYNAMIC);
}

/* The name of the image below, for those that look in the header, and behind the table for those that do not. */
static int put_parent(ImageFile *file, const ImageCreate *how, uint8_t *head, uint64_t at, Error *err)
{
        AUTOFREE char *name = str_dup(how->backing_file);
        const char *slash = strrchr(how->backing_file, '/');
        uint8_t units[LOCATOR_NAME_MAX] = { 0 }, *locator = head + AT_LOCATORS;
        const VpcDescription *parent = how->vpc_parent;
        size_t n;

        if (strchr(name, '\\'))
                return err_set(err, ERR_INVALID_ARG, "vpc images cannot name '%s': it has a backslash", name);
        for (char *c = name; *c; c++)
                if (*c == '/')
                        *c = '\\';
        n = utf16_from_text(name, false, units, sizeof(units) / 2);
        if (n == 0)
                return err_set(err, ERR_INVALID_ARG, "vpc images cannot name '%s': too long, or not UTF-8",
                               how->backing_file);
        memcpy(head + AT_PARENT_ID, parent->footer + AT_UUID, sizeof(Uuid));
        memcpy(head + AT_PARENT_TIME, parent->footer + AT_TIME, 4);
        utf16_from_text(slash ? slash + 1 : how->backing_file, true, head + AT_PARENT_NAME, PARENT_NAME_UNITS);
        memcpy(locator, "W2ru", 4);
        store_be32(locator + 4, LOCATOR_ROOM);
        store_be32(locator + 8, (uint32_t)(2 * n));
        store_be64(locator + 16, at);
        return image_file_write(file, at, units, sizeof(units), err);
}

static int create_growing(ImageFile *file, const ImageCreate *how, const uint8_t *footer, uint64_t size, Error *err)
{
        uint64_t blocks = div_up(size, USUAL_BLOCK), table = round_up(4 * blocks, 512), end = USUAL_TABLE + table;
        uint8_t head[DYNAMIC_SIZE] = { 0 };
        AUTOFREE uint8_t *empty = mem_try(table);

        if (!empty)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks", file->name);
        memset(empty, 0xff, table);
        memcpy(head, "cxsparse", 8);
        store_be64(head + AT_NEXT, UINT64_MAX);
        store_be64(head + AT_TABLE, USUAL_TABLE);
        store_be32(head + AT_HEADER_VERSION, 0x00010000);
        store_be32(head + AT_TABLE_ENTRIES, (uint32_t)blocks);
        store_be32(head + AT_BLOCK_SIZE, USUAL_BLOCK);
        if (how->backing_file) {
                if (put_parent(file, how, head, end, err) < 0)
                        return -1;
                end += LOCATOR_NAME_MAX;
        }
        put_checksum(head, sizeof(head), AT_HEADER_CHECKSUM);
        if (image_file_write(file, USUAL_TABLE, empty, table, err) < 0 ||
            image_file_write(file, FOOTER_SIZE, head, sizeof(head), err) < 0 ||
            image_file_write(file, end, footer, FOOTER_SIZE, err) < 0)
                return -1;
        return image_file_write(file, 0, footer, FOOTER_SIZE, err);
}

/* The footer of the image below, with an identity of its own. */
static int create_on_top(ImageFile *file, const ImageCreate *how, Error *err)
{
        uint8_t footer[FOOTER_SIZE];
        uint64_t size;

        if (!how->vpc_parent || str_eq(how->subformat, "fixed"))
                return err_set(err, ERR_INVALID_ARG, "a vpc image lies on top of a vpc image, and is not fixed");
        memcpy(footer, how->vpc_parent->footer, sizeof(footer));
        size = vpc_size_of(footer);
        if (how->size != size)
                return err_set(err, ERR_INVALID_ARG,
                               "a vpc image is as long as the one it lies on: %llu bytes, not %llu",
                               (unsigned long long)size, (unsigned long long)how->size);
        put_identity(footer, TYPE_DIFFERENCING);
        return create_growing(file, how, footer, size, err);
}

int vpc_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        bool fixed = str_eq(how->subformat, "fixed");
        uint8_t footer[FOOTER_SIZE] = { 0 };
        uint64_t size;

        if (how->subformat && !fixed && !str_eq(how->subformat, "dynamic"))
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s'", how->subformat);
        if (how->backing_file)
                return create_on_top(file, how, err);
        size = choose_size(how->size, how->force_size, footer);
        if (size > LARGEST_DISK)
                return err_set(err, ERR_INVALID_ARG, "Image size too big for VHD: at most 2040 GiB");
        put_footer(footer, size, fixed, how->force_size);
        if (!fixed)
                return create_growing(file, how, footer, size, err);
        return image_file_truncate(file, size, err) < 0 ? -1 : image_file_write(file, size, footer, FOOTER_SIZE, err);
}
