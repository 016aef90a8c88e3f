/*
 * img/qcow2-bitmap.c - read the directory of dirty bitmaps, and their bits
 */
#include "img/qcow2-bitmap.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

static int parse_entry(const Qcow2 *q, const uint8_t *at, uint64_t left, Qcow2Bitmap *ret, uint64_t *used, Error *err)
{
        uint64_t base = q->h.bitmaps.directory_offset + q->h.bitmaps.directory_size - left;
        uint32_t name_size, extra, length;

        if (left < QCOW2_BITMAP_ENTRY_SIZE)
                return image_bad_field(err, q->file, base, "bitmap directory", "ends too early");
        name_size = load_be16(at + 18);
        extra = load_be32(at + 20);
        length = QCOW2_BITMAP_ENTRY_SIZE + name_size;
        if (extra > left - QCOW2_BITMAP_ENTRY_SIZE || length > left - extra || name_size == 0 ||
            name_size > IMAGE_NAME_MAX)
                return image_bad_field(err, q->file, base, "bitmap directory entry", "is longer than the directory");
        *ret = (Qcow2Bitmap){
                .table_offset = load_be64(at),
                .table_size = load_be32(at + 8),
                .flags = load_be32(at + 12),
                .granularity_bits = at[17],
                .entry_offset = base,
        };
        if (ret->table_offset & (q->cluster - 1) || ret->table_offset > INT64_MAX / 2)
                return image_bad_field(err, q->file, base, "bitmap_table_offset", "is 0x%llx",
                                       (unsigned long long)ret->table_offset);
        if (ret->table_size > QCOW2_MAX_BITMAP_TABLE)
                return image_bad_field(err, q->file, base + 8, "bitmap_table_size", "is %u", ret->table_size);
        if (ret->granularity_bits < 9 || ret->granularity_bits > 31)
                return image_bad_field(err, q->file, base + 17, "granularity_bits", "is %u: must be 9 to 31",
                                       ret->granularity_bits);
        if (ret->flags & ~(uint32_t)(QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO) || at[16] != 1 || extra)
                return image_bad_field(err, q->file, base + 12, "bitmap directory entry",
                                       "has flags 0x%x, type %u and %u bytes that are not known", ret->flags, at[16],
                                       extra);
        ret->name = str_dup_n((const char *)at + QCOW2_BITMAP_ENTRY_SIZE + extra, name_size);
        *used = MIN(round_up((uint64_t)length + extra, 8), left);
        return 0;
}

void qcow2_bitmap_done(Qcow2Bitmap *bitmap)
{
        free(bitmap->name);
        free(bitmap->bits);
        free(bitmap->resized);
        free(bitmap->old_table);
        *bitmap = (Qcow2Bitmap){ 0 };
}

void qcow2_bitmaps_done(Qcow2Bitmaps *bitmaps)
{
        for (size_t i = 0; i < bitmaps->len; i++)
                qcow2_bitmap_done(&bitmaps->items[i]);
        vec_done(bitmaps);
}

Qcow2Bitmap *qcow2_bitmap_find(Qcow2Bitmaps *bitmaps, const char *name)
{
        for (size_t i = 0; i < bitmaps->len; i++)
                if (str_eq(bitmaps->items[i].name, name))
                        return &bitmaps->items[i];
        return NULL;
}

int qcow2_bitmaps_read(Qcow2 *q, Qcow2Bitmaps *ret, Error *err)
{
        AUTOFREE uint8_t *directory = NULL;
        uint64_t left = q->h.bitmaps.directory_size;
        Qcow2Bitmaps bitmaps = { 0 };

        if (!q->h.bitmaps.n) {
                *ret = bitmaps;
                return 0;
        }
        directory = mem_try(left);
        if (!directory)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the bitmap directory", q->file->name);
        if (image_file_read(q->file, q->h.bitmaps.directory_offset, directory, left, err) < 0)
                return err_prefix(err, "bitmap directory");
        for (uint32_t i = 0; i < q->h.bitmaps.n; i++) {
                Qcow2Bitmap bitmap;
                uint64_t used;

                if (parse_entry(q, directory + q->h.bitmaps.directory_size - left, left, &bitmap, &used, err) < 0) {
                        qcow2_bitmaps_done(&bitmaps);
                        return -1;
                }
                vec_push(&bitmaps, bitmap);
                left -= used;
        }
        *ret = bitmaps;
        return 0;
}

void qcow2_bits_set(uint8_t *bits, uint64_t from, uint64_t to)
{
        for (; from < to && from % 8; from++)
                bits[from / 8] |= (uint8_t)(1 << from % 8);
        if (to - from >= 8) {
                memset(bits + from / 8, 0xff, (to - from) / 8);
                from += (to - from) / 8 * 8;
        }
        for (; from < to; from++)
                bits[from / 8] |= (uint8_t)(1 << from % 8);
}

static int load_part(Qcow2 *q, const Qcow2Bitmap *bitmap, uint32_t i, uint64_t entry, uint64_t bytes, Error *err)
{
        uint64_t from = (uint64_t)i << q->cluster_bits, n = MIN(q->cluster, bytes - from);
        uint64_t offset = entry & QCOW2_OFFSET;

        if (entry & ~(QCOW2_OFFSET | 1) || (offset && entry & 1) || offset & (q->cluster - 1))
                return image_bad_field(err, q->file, bitmap->table_offset + 8ULL * i, "entry of a bitmap table",
                                       "is 0x%llx", (unsigned long long)entry);
        if (offset)
                return image_file_read_padded(q->file, offset, bitmap->bits + from, n, err);
        memset(bitmap->bits + from, entry & 1 ? 0xff : 0, n);
        return 0;
}

int qcow2_bitmap_load(Qcow2 *q, Qcow2Bitmap *bitmap, uint64_t disk_size, Error *err)
{
        uint64_t bytes = qcow2_bitmap_bytes(disk_size, bitmap->granularity_bits);
        int r = 0;

        if (bitmap->bits)
                return 0;
        if (bytes > QCOW2_MAX_BITMAP_BYTES || bitmap->table_size != div_up(bytes, q->cluster))
                return image_bad_field(err, q->file, bitmap->entry_offset + 8, "bitmap_table_size",
                                       "is %u: the disk has %llu bits for it", bitmap->table_size,
                                       (unsigned long long)bytes * 8);
        bitmap->bits = mem_try(MAX(bytes, 1ULL));
        if (!bitmap->old_table)
                bitmap->old_table = mem_try(MAX(8ULL * bitmap->table_size, 1ULL));
        if (!bitmap->bits || !bitmap->old_table)
                r = err_set(err, ERR_NO_MEMORY, "'%s': no memory for the bitmap '%s'", q->file->name, bitmap->name);
        if (r == 0)
                r = image_file_read(q->file, bitmap->table_offset, bitmap->old_table, 8ULL * bitmap->table_size, err);
        for (uint32_t i = 0; i < bitmap->table_size && r == 0; i++) {
                bitmap->old_table[i] = load_be64(&bitmap->old_table[i]);
                r = load_part(q, bitmap, i, bitmap->old_table[i], bytes, err);
        }
        if (r < 0)
                free(TAKE(bitmap->bits));
        return r;
}
