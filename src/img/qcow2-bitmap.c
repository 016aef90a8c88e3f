/*
 * img/qcow2-bitmap.c - the directory of dirty bitmaps
 *
 * Bitmaps that record writes are QEMU's to keep while a guest runs. When we
 * change an image ourselves they would miss it; they are marked "in use"
 * before the first change, which every reader takes for "do not trust".
 */
#include "img/qcow2-bitmap.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

enum { FIXED_SIZE = 24 };

static int parse_entry(const Qcow2 *q, const uint8_t *at, uint64_t left, Qcow2Bitmap *ret, uint64_t *used, Error *err)
{
        uint64_t base = q->h.bitmaps.directory_offset + q->h.bitmaps.directory_size - left;
        uint32_t name_size, extra, length;

        if (left < FIXED_SIZE)
                return image_bad_field(err, q->file, base, "bitmap directory", "ends too early");
        name_size = load_be16(at + 18);
        extra = load_be32(at + 20);
        length = FIXED_SIZE + name_size;
        if (extra > left - FIXED_SIZE || length > left - extra || name_size == 0 || name_size > IMAGE_NAME_MAX)
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
        ret->name = str_dup_n((const char *)at + FIXED_SIZE + extra, name_size);
        *used = MIN(round_up((uint64_t)length + extra, 8), left);
        return 0;
}

void qcow2_bitmaps_done(Qcow2Bitmaps *bitmaps)
{
        for (size_t i = 0; i < bitmaps->len; i++)
                free(bitmaps->items[i].name);
        vec_done(bitmaps);
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

int qcow2_bitmaps_outdate(Qcow2 *q, Error *err)
{
        Qcow2Bitmaps bitmaps;
        bool wrote = false;
        int r = 0;

        if (qcow2_bitmaps_read(q, &bitmaps, err) < 0)
                return -1;
        for (size_t i = 0; i < bitmaps.len && r == 0; i++) {
                uint8_t flags[4];

                if (!(bitmaps.items[i].flags & QCOW2_BITMAP_AUTO) || bitmaps.items[i].flags & QCOW2_BITMAP_IN_USE)
                        continue;
                store_be32(flags, bitmaps.items[i].flags | QCOW2_BITMAP_IN_USE);
                r = image_file_write(q->file, bitmaps.items[i].entry_offset + 12, flags, sizeof(flags), err);
                wrote = true;
        }
        qcow2_bitmaps_done(&bitmaps);
        return r == 0 && wrote ? image_file_flush(q->file, err) : r;
}
