/*
 * img/vhdx-parent.c - Hyper-V disks on top of others: who the parent is, whose a sector is
 *
 * The parent locator, an item of the metadata, is a list of names and values
 * in UTF-16. A block of which only a part is the image's own has a bit for
 * each sector, in a bitmap for the chunk of blocks that it belongs to.
 */
#include "img/vhdx.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/utf16.h"

#include <ctype.h>

enum { LOCATOR_MAX = 64 << 10, LOCATOR_HEAD = 20, LOCATOR_ROW = 12, GUID_DIGITS = 32 };

const uint8_t vhdx_parent_locator[16] = { 0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                                          0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c };

typedef struct Locator {
        ImageFile *file;
        uint64_t at;
        uint32_t length;
        const uint8_t *bytes;
} Locator;

/* "{8-4-4-4-12}", the first three numbers little-endian in a file. */
static bool guid_parse(const char *text, uint8_t ret[16])
{
        static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
        size_t n = 0;

        memset(ret, 0, 16);
        for (; *text; text++) {
                int c = tolower((unsigned char)*text);

                if (c == '{' || c == '}' || c == '-')
                        continue;
                if (!isxdigit(c) || n == GUID_DIGITS)
                        return false;
                ret[order[n / 2]] |= (uint8_t)((isdigit(c) ? c - '0' : c - 'a' + 10) << (n % 2 ? 0 : 4));
                n++;
        }
        return n == GUID_DIGITS;
}

static char *text_at(const Locator *l, uint32_t offset, uint16_t n, Error *err)
{
        if (offset > l->length || n > l->length - offset || n % 2) {
                image_bad_field(err, l->file, l->at + offset, "parent locator entry",
                                "is %u bytes in a locator of %u", n, l->length);
                return NULL;
        }
        return utf16_to_text(l->bytes + offset, n / 2, false, l->file, l->at + offset, "parent locator entry", err);
}

/* The value of this name. Owned; NULL without an error: there is none. */
static char *value_of(const Locator *l, const char *name, Error *err)
{
        uint16_t rows = load_le16(l->bytes + 18);

        if (rows > (l->length - LOCATOR_HEAD) / LOCATOR_ROW) {
                image_bad_field(err, l->file, l->at, "parent locator", "has %u entries in %u bytes", rows, l->length);
                return NULL;
        }
        for (uint16_t i = 0; i < rows; i++) {
                const uint8_t *row = l->bytes + LOCATOR_HEAD + (size_t)i * LOCATOR_ROW;
                AUTOFREE char *key = text_at(l, load_le32(row), load_le16(row + 8), err);

                if (!key)
                        return NULL;
                if (str_eq(key, name))
                        return text_at(l, load_le32(row + 4), load_le16(row + 10), err);
        }
        return NULL;
}

/* What the locator says: the name in the host's spelling, relative to the image where there is such a one. */
static int take_locator(const Locator *l, ImageDescription *ret, Error *err)
{
        static const char *const names[] = { "relative_path", "absolute_win32_path", "volume_path" };
        static const char *const linkages[] = { "parent_linkage", "parent_linkage2" };
        AUTO(Error) why = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(names) && !ret->backing_file && !err_is_set(&why); i++)
                ret->backing_file = value_of(l, names[i], &why);
        for (size_t i = 0; i < ARRAY_LEN(linkages) && !err_is_set(&why); i++) {
                AUTOFREE char *id = value_of(l, linkages[i], &why);

                if (id && !guid_parse(id, ret->vhdx->parent_id[i]))
                        return image_bad_field(err, l->file, l->at, linkages[i], "is '%s', which is no GUID", id);
        }
        if (err_is_set(&why))
                return err_move(err, &why);
        if (!ret->backing_file || !*ret->backing_file)
                return image_bad_field(err, l->file, l->at, "parent locator", "names no parent");
        for (char *c = ret->backing_file; *c; c++)
                if (*c == '\\')
                        *c = '/';
        ret->backing_format = str_dup("vhdx");
        return 0;
}

int vhdx_parent_describe(ImageFile *file, uint64_t metadata, ImageDescription *ret, Error *err)
{
        Locator l = { .file = file };
        AUTOFREE uint8_t *bytes = NULL;

        if (vhdx_item_find(file, metadata, vhdx_parent_locator, &l.at, &l.length, err) < 0)
                return -1;
        if (l.length < LOCATOR_HEAD || l.length > LOCATOR_MAX)
                return image_bad_field(err, file, l.at, "parent locator", "is %u bytes long, %d to %d are allowed",
                                       l.length, LOCATOR_HEAD, LOCATOR_MAX);
        bytes = mem_try(l.length);
        if (!bytes)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its parent's name", file->name);
        if (image_file_read(file, l.at, bytes, l.length, err) < 0)
                return -1;
        l.bytes = bytes;
        return take_locator(&l, ret, err);
}

int vhdx_parent_narrow(ImageFile *file, const VhdxLog *log, const VhdxChunk *chunk, ImageExtent *extent, Error *err)
{
        uint64_t first = extent->start % chunk->size / chunk->sector;
        uint64_t sectors = div_up(extent->start % chunk->sector + extent->length, chunk->sector);
        uint64_t from = first / 8, to = (first + sectors + 7) / 8, n;
        AUTOFREE uint8_t *bits = mem_try(to - from);
        bool own;

        if (!bits)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a bitmap of sectors", file->name);
        if (image_file_read(file, chunk->bitmap_at + from, bits, to - from, err) < 0)
                return -1;
        vhdx_log_apply(log, chunk->bitmap_at + from, bits, to - from);
        own = bits[0] >> first % 8 & 1;
        for (n = 1; n < sectors; n++)
                if ((bits[(first + n) / 8 - from] >> (first + n) % 8 & 1) != own)
                        break;
        if (n < sectors)
                extent->length = n * chunk->sector - extent->start % chunk->sector;
        extent->present = extent->data = extent->has_offset = own;
        return 0;
}
