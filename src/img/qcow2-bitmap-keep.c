/*
 * img/qcow2-bitmap-keep.c - bitmaps that follow what is written
 *
 * Before the first change of what an image shows its bitmaps are loaded, and
 * those that follow are marked "in use" on disk, which every reader takes for
 * "do not trust": so they stay when the writer dies. A writer that closes the
 * image writes bits, tables and directory to new clusters and switches to them
 * with one write of the header's first sector. Who changes bitmaps only needs no
 * marks: until that write the old ones are true.
 */
#include "img/qcow2-bitmap.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/zero.h"

static bool follows(const Qcow2Bitmap *bitmap)
{
        return bitmap->flags & QCOW2_BITMAP_AUTO && !(bitmap->flags & QCOW2_BITMAP_IN_USE);
}

/* On disk only: in memory it is known to be good. */
static int mark_in_use(Qcow2 *q, const Qcow2Bitmap *bitmap, Error *err)
{
        uint8_t flags[4];

        store_be32(flags, bitmap->flags | QCOW2_BITMAP_IN_USE);
        return image_file_write(q->file, bitmap->entry_offset + 12, flags, sizeof(flags), err);
}

int qcow2_bitmaps_begin(Qcow2 *q, Error *err)
{
        Qcow2Bitmaps *list = mem_new(Qcow2Bitmaps);

        if (qcow2_bitmaps_read(q, list, err) < 0) {
                qcow2_bitmaps_done(list);
                free(list);
                return -1;
        }
        q->bitmaps = list;
        return 0;
}

/* As they are on disk: one that was switched off or removed since would be trusted there when the writer dies. */
static int mark_all(Qcow2 *q, Error *err)
{
        Qcow2Bitmaps list = { 0 };
        bool wrote = false;
        int r = qcow2_bitmaps_read(q, &list, err);

        for (size_t i = 0; i < list.len && r == 0; i++) {
                if (!follows(&list.items[i]))
                        continue;
                r = mark_in_use(q, &list.items[i], err);
                wrote = true;
        }
        if (r == 0 && wrote)
                r = image_file_flush(q->file, err);
        qcow2_bitmaps_done(&list);
        return r;
}

int qcow2_bitmaps_follow(Qcow2 *q, Error *err)
{
        if (q->following)
                return 0;
        if (mark_all(q, err) < 0)
                return -1;
        for (size_t i = 0; i < q->bitmaps->len; i++) {
                Qcow2Bitmap *bitmap = &q->bitmaps->items[i];

                if (!follows(bitmap))
                        continue;
                /* What cannot be read stays marked; a repair goes on, others stop before they change anything. */
                if (qcow2_bitmap_load(q, bitmap, q->h.size, q->image->checking ? NULL : err) < 0) {
                        if (!q->image->checking)
                                return -1;
                        bitmap->flags |= QCOW2_BITMAP_IN_USE;
                }
                if (bitmap->bits)
                        bitmap->changed = true;
        }
        q->following = true;
        return 0;
}

void qcow2_bitmaps_drop(Qcow2 *q)
{
        if (q->bitmaps)
                qcow2_bitmaps_done(q->bitmaps);
        free(TAKE(q->bitmaps));
}

void qcow2_bitmaps_touch(Qcow2 *q, uint64_t offset, uint64_t length)
{
        if (!q->bitmaps->len || !length)
                return;
        pthread_mutex_lock(&q->dirtying);
        for (size_t i = 0; i < q->bitmaps->len; i++) {
                Qcow2Bitmap *bitmap = &q->bitmaps->items[i];

                if (follows(bitmap))
                        qcow2_bits_set(bitmap->bits, offset >> bitmap->granularity_bits,
                                       ((offset + length - 1) >> bitmap->granularity_bits) + 1);
        }
        pthread_mutex_unlock(&q->dirtying);
}

int qcow2_bitmaps_resize(Qcow2 *q, uint64_t old, uint64_t size, Error *err)
{
        for (size_t i = 0; i < q->bitmaps->len; i++) {
                Qcow2Bitmap *bitmap = &q->bitmaps->items[i];
                uint64_t had = qcow2_bitmap_bytes(old, bitmap->granularity_bits);
                uint64_t needed = qcow2_bitmap_bytes(size, bitmap->granularity_bits);
                uint64_t bits = div_up(size, 1ULL << bitmap->granularity_bits);

                if (bitmap->flags & QCOW2_BITMAP_IN_USE)
                        continue;
                if (needed > QCOW2_MAX_BITMAP_BYTES)
                        return err_set(err, ERR_OVERFLOW, "the bitmap '%s' would be too large", bitmap->name);
                if (qcow2_bitmap_load(q, bitmap, old, err) < 0)
                        return -1;
                bitmap->resized = mem_try(MAX(needed, 1ULL));
                if (!bitmap->resized)
                        return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the bitmap '%s'", q->file->name,
                                       bitmap->name);
                memcpy(bitmap->resized, bitmap->bits, MIN(had, needed));
                if (size < old && bits % 8)
                        bitmap->resized[bits / 8] &= (uint8_t)((1 << bits % 8) - 1);
        }
        return 0;
}

void qcow2_bitmaps_resized(Qcow2 *q, bool done)
{
        for (size_t i = 0; i < q->bitmaps->len; i++) {
                Qcow2Bitmap *bitmap = &q->bitmaps->items[i];

                if (done && bitmap->resized) {
                        free(bitmap->bits);
                        bitmap->bits = TAKE(bitmap->resized);
                        bitmap->changed = true;
                }
                free(TAKE(bitmap->resized));
        }
}

/* The bits of one, and the table of them, to new clusters; *bitmap says where afterwards. lock held. */
static int store_bits(Qcow2 *q, Qcow2Bitmap *bitmap, Error *err)
{
        uint64_t bytes = qcow2_bitmap_bytes(q->h.size, bitmap->granularity_bits);
        uint32_t size = (uint32_t)div_up(bytes, q->cluster);
        AUTOFREE uint64_t *table = mem_try(round_up(8ULL * size, q->cluster));
        AUTOFREE uint8_t *part = mem_try(q->cluster);
        uint64_t offset;

        if (!table || !part)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a bitmap table", q->file->name);
        for (uint32_t i = 0; i < size; i++) {
                uint64_t from = (uint64_t)i << q->cluster_bits, n = MIN(q->cluster, bytes - from);

                if (bytes_are_zero(bitmap->bits + from, n))
                        continue;
                memset(part, 0, q->cluster);
                memcpy(part, bitmap->bits + from, n);
                if (qcow2_alloc(q, 1, &offset, err) < 0 ||
                    image_file_write(q->file, offset, part, q->cluster, err) < 0)
                        return -1;
                store_be64(&table[i], offset);
        }
        offset = 0;
        if (size && (qcow2_alloc(q, div_up(8ULL * size, q->cluster), &offset, err) < 0 ||
                     image_file_write(q->file, offset, table, round_up(8ULL * size, q->cluster), err) < 0))
                return -1;
        bitmap->table_offset = offset;
        bitmap->table_size = size;
        return 0;
}

static int store_directory(Qcow2 *q, Qcow2BitmapsExt *ret, Error *err)
{
        Qcow2BitmapsExt ext = { .n = (uint32_t)q->bitmaps->len };
        AUTOFREE uint8_t *bytes = NULL;
        uint64_t at = 0;

        for (size_t i = 0; i < q->bitmaps->len; i++)
                ext.directory_size += round_up(QCOW2_BITMAP_ENTRY_SIZE + strlen(q->bitmaps->items[i].name), 8);
        *ret = ext;
        if (!ext.n)
                return 0;
        if (ext.directory_size > QCOW2_MAX_BITMAP_DIRECTORY)
                return err_set(err, ERR_OVERFLOW, "'%s': the bitmap directory would be too large", q->file->name);
        bytes = mem_try(round_up(ext.directory_size, q->cluster));
        if (!bytes)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the bitmap directory", q->file->name);
        for (size_t i = 0; i < q->bitmaps->len; i++) {
                const Qcow2Bitmap *bitmap = &q->bitmaps->items[i];
                uint8_t *entry = bytes + at;

                store_be64(entry, bitmap->table_offset);
                store_be32(entry + 8, bitmap->table_size);
                store_be32(entry + 12, bitmap->flags);
                entry[16] = 1; /* dirty tracking */
                entry[17] = bitmap->granularity_bits;
                store_be16(entry + 18, (uint16_t)strlen(bitmap->name));
                memcpy(entry + QCOW2_BITMAP_ENTRY_SIZE, bitmap->name, strlen(bitmap->name));
                at += round_up(QCOW2_BITMAP_ENTRY_SIZE + strlen(bitmap->name), 8);
        }
        if (qcow2_alloc(q, div_up(ext.directory_size, q->cluster), &ext.directory_offset, err) < 0)
                return -1;
        *ret = ext;
        return image_file_write(q->file, ext.directory_offset, bytes, round_up(ext.directory_size, q->cluster), err);
}

/* The clusters of a table as it was read from the disk are given up. */
static void unlink_table(Qcow2 *q, uint64_t offset, uint32_t size, const uint64_t *table)
{
        for (uint32_t i = 0; i < size; i++)
                if (table[i] & QCOW2_OFFSET)
                        qcow2_unlink(q, (table[i] & QCOW2_OFFSET) >> q->cluster_bits, 1);
        if (size)
                qcow2_unlink(q, offset >> q->cluster_bits, div_up(8ULL * size, q->cluster));
}

/* Is the table of this bitmap, as the directory on disk has it, no more in use? */
static bool is_replaced(const Qcow2 *q, const Qcow2Bitmap *old)
{
        const Qcow2Bitmap *now = qcow2_bitmap_find(q->bitmaps, old->name);

        return !now || now->table_offset != old->table_offset;
}

static int read_table(Qcow2 *q, Qcow2Bitmap *old, Error *err)
{
        old->old_table = mem_try(MAX(8ULL * old->table_size, 1ULL));
        if (!old->old_table)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a bitmap table", q->file->name);
        if (image_file_read_padded(q->file, old->table_offset, old->old_table, 8ULL * old->table_size, err) < 0)
                return -1;
        for (uint32_t i = 0; i < old->table_size; i++)
                old->old_table[i] = load_be64(&old->old_table[i]);
        return 0;
}

static int switch_over(Qcow2 *q, const Qcow2BitmapsExt *ext, Qcow2Bitmaps *before, Error *err)
{
        Qcow2BitmapsExt old = q->h.bitmaps;

        for (size_t i = 0; i < before->len; i++)
                if (is_replaced(q, &before->items[i]) && read_table(q, &before->items[i], err) < 0)
                        return -1;
        if (qcow2_commit(q, err) < 0 || image_file_flush(q->file, err) < 0)
                return -1;
        q->h.bitmaps = *ext;
        q->h.autoclear = ext->n ? q->h.autoclear | QCOW2_BITMAPS : q->h.autoclear & ~(uint64_t)QCOW2_BITMAPS;
        if (qcow2_header_store(q, err) < 0 || image_file_flush(q->file, err) < 0) {
                q->broken = true; /* nobody knows which one is on disk */
                return -1;
        }
        for (size_t i = 0; i < before->len; i++)
                if (before->items[i].old_table)
                        unlink_table(q, before->items[i].table_offset, before->items[i].table_size,
                                     before->items[i].old_table);
        if (old.n)
                qcow2_unlink(q, old.directory_offset >> q->cluster_bits, div_up(old.directory_size, q->cluster));
        return 0;
}

int qcow2_bitmaps_store(Qcow2 *q, Error *err)
{
        Qcow2Bitmaps before = { 0 };
        Qcow2BitmapsExt ext;
        bool changed = false;
        int r;

        pthread_mutex_lock(&q->lock);
        r = q->bitmaps ? qcow2_bitmaps_read(q, &before, err) : 0;
        for (size_t i = 0; q->bitmaps && i < q->bitmaps->len && r == 0; i++) {
                Qcow2Bitmap *bitmap = &q->bitmaps->items[i];

                changed |= bitmap->changed;
                if (bitmap->changed && bitmap->bits)
                        r = store_bits(q, bitmap, err);
                bitmap->changed = false;
        }
        changed |= q->bitmaps && q->bitmaps->len != before.len;
        if (r == 0 && changed)
                r = store_directory(q, &ext, err);
        if (r == 0 && changed)
                r = switch_over(q, &ext, &before, err);
        pthread_mutex_unlock(&q->lock);
        qcow2_bitmaps_done(&before);
        return r == 0 && changed ? qcow2_flush_all(q, err) : r;
}
