/*
 * img/qcow2-check.c - find leaks and corruption, and repair them
 *
 * Everything the header leads to is walked and counted; then the counts are
 * compared with the refcounts on disk. Repair writes the counts found to new
 * refcount blocks and switches to them, so that a crash during a repair leaves
 * the image as it was.
 */
#include "img/qcow2-bitmap.h"
#include "img/qcow2-rewrite.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

#include <stdarg.h>

enum { MOST_SAID = 1000 };
#define MOST_CLUSTERS (1ULL << 31)

typedef struct Check {
        Qcow2 *q;
        ImageCheck *found;
        uint16_t *counts;
        uint8_t *single; /* one bit a cluster: counted once on disk */
        uint64_t n;      /* clusters of the file */
        uint64_t said;
        uint64_t next; /* where the next guest cluster stands when nothing is fragmented */
        bool overflow;
} Check;

static void say(Check *c, const char *fmt, ...) PRINTF(2, 3);
static void say(Check *c, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        va_list ap;

        if (!c->found->say || c->said++ > MOST_SAID)
                return;
        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        c->found->say(c->found->say_arg, c->said > MOST_SAID ? "... and more" : text);
}

/* Something uses these bytes of the file. False: they are not all in it. */
static bool use(Check *c, uint64_t offset, uint64_t bytes)
{
        uint64_t first = offset >> c->q->cluster_bits, end;

        if (bytes == 0)
                return true;
        if (add_overflows(offset, bytes, &end) || ((end - 1) >> c->q->cluster_bits) >= c->n)
                return false;
        for (uint64_t i = first; i <= (end - 1) >> c->q->cluster_bits; i++) {
                if (c->counts[i] == UINT16_MAX)
                        c->overflow = true;
                else
                        c->counts[i]++;
        }
        return true;
}

static void use_table(Check *c, const char *what, uint64_t offset, uint64_t bytes)
{
        if (use(c, offset, bytes))
                return;
        say(c, "ERROR %s at offset 0x%llx reaches over the end of the file", what, (unsigned long long)offset);
        c->found->corruptions++;
}

/* A cluster that stands as it is. */
static void count_place(Check *c, uint64_t offset)
{
        c->found->allocated_clusters++;
        if (c->next && c->next != offset)
                c->found->fragmented_clusters++;
        c->next = offset + c->q->cluster;
}

static void walk_entry(Check *c, uint64_t entry, uint64_t guest, bool active)
{
        Qcow2 *q = c->q;
        uint64_t offset = entry & QCOW2_OFFSET, length = q->cluster;

        if (!(entry & QCOW2_COMPRESSED) && (q->h.incompatible & QCOW2_EXTERNAL_DATA)) {
                if (active && entry & (QCOW2_COPIED | QCOW2_OFFSET))
                        count_place(c, offset);
                return;
        }
        if (!(entry & QCOW2_COMPRESSED) && !offset)
                return;
        if (entry & QCOW2_COMPRESSED) {
                qcow2_packed_extent(q, entry, &offset, &length);
                /* Its last sector may be cut off by the end of the file. */
                length = MIN(length, MAX(c->n << q->cluster_bits, offset + 1) - offset);
                if (entry & QCOW2_COPIED) {
                        say(c, "ERROR: the compressed cluster of guest offset 0x%llx has the copied flag",
                            (unsigned long long)guest);
                        c->found->corruptions++;
                }
        } else if (offset & (q->cluster - 1)) {
                say(c, "ERROR the data cluster of guest offset 0x%llx is at 0x%llx: not at the start of a cluster",
                    (unsigned long long)guest, (unsigned long long)offset);
                c->found->corruptions++;
                return;
        }
        if (!use(c, offset, length)) {
                say(c, "ERROR the data cluster of guest offset 0x%llx is at 0x%llx: behind the end of the file",
                    (unsigned long long)guest, (unsigned long long)offset);
                c->found->corruptions++;
                return;
        }
        if (!active)
                return;
        if (!(entry & QCOW2_COMPRESSED)) {
                count_place(c, offset);
                return;
        }
        c->found->allocated_clusters++;
        c->found->compressed_clusters++;
        c->found->fragmented_clusters++;
}

static int walk_tables(Check *c, const uint64_t *l1, uint32_t n, bool active, Error *err)
{
        Qcow2 *q = c->q;
        AUTOFREE uint64_t *entries = mem_try(q->cluster);

        if (!entries)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for an L2 table", q->file->name);
        for (uint32_t i = 0; i < n; i++) {
                uint64_t at = l1[i] & QCOW2_OFFSET;

                if (!at)
                        continue;
                if (at & (q->cluster - 1) || !use(c, at, q->cluster)) {
                        say(c, "ERROR L2 table %u is at 0x%llx: misplaced", i, (unsigned long long)at);
                        c->found->corruptions++;
                        continue;
                }
                if (image_file_read_padded(q->file, at, entries, q->cluster, err) < 0)
                        return err_prefix(err, "L2 table");
                for (uint64_t e = 0; e < q->per_table; e++)
                        walk_entry(c, load_be64(&entries[e * q->entry_words]),
                                   (i * q->per_table + e) << q->cluster_bits, active);
        }
        return 0;
}

static int walk_l1(Check *c, uint64_t offset, uint32_t n, bool active, Error *err)
{
        AUTOFREE uint64_t *l1 = NULL;
        AUTO(Error) why = { 0 };

        use_table(c, active ? "the L1 table" : "the L1 table of a snapshot", offset, 8ULL * n);
        if (qcow2_l1_load(c->q, offset, n, &l1, &why) < 0) {
                say(c, "ERROR the L1 table at offset 0x%llx cannot be read: %s", (unsigned long long)offset,
                    why.text);
                c->found->check_errors++;
                return 0;
        }
        return walk_tables(c, l1, n, active, err);
}

static int walk_snapshots(Check *c, Error *err)
{
        Qcow2 *q = c->q;
        AUTO(Error) why = { 0 };
        ImageSnapshots list;
        uint64_t length = 0;
        int r = 0;

        if (qcow2_snapshots_read(q, &list, &why) < 0) {
                say(c, "ERROR snapshot table: %s", why.text);
                c->found->check_errors++;
                return 0;
        }
        for (size_t i = 0; i < list.len && r == 0; i++)
                r = walk_l1(c, list.items[i].l1_offset, list.items[i].l1_size, false, err);
        image_snapshots_done(&list);
        if (r == 0 && q->h.n_snapshots && qcow2_snapshots_length(q, &length, err) == 0)
                use_table(c, "the snapshot table", q->h.snapshots_offset, length);
        return r;
}

static int walk_bitmap(Check *c, const Qcow2Bitmap *bitmap, Error *err)
{
        AUTOFREE uint64_t *table = mem_try(8ULL * bitmap->table_size);

        if (!table)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a bitmap table", c->q->file->name);
        use_table(c, "a bitmap table", bitmap->table_offset, 8ULL * bitmap->table_size);
        if (image_file_read_padded(c->q->file, bitmap->table_offset, table, 8ULL * bitmap->table_size, err) < 0)
                return -1;
        for (uint32_t i = 0; i < bitmap->table_size; i++)
                if (load_be64(&table[i]) & QCOW2_OFFSET)
                        use_table(c, "a part of a bitmap", load_be64(&table[i]) & QCOW2_OFFSET, c->q->cluster);
        return 0;
}

static int walk_bitmaps(Check *c, Error *err)
{
        Qcow2 *q = c->q;
        AUTO(Error) why = { 0 };
        Qcow2Bitmaps bitmaps;
        int r = 0;

        if (qcow2_bitmaps_read(q, &bitmaps, &why) < 0) {
                say(c, "ERROR bitmap directory: %s", why.text);
                c->found->check_errors++;
                return 0;
        }
        if (q->h.bitmaps.n)
                use_table(c, "the bitmap directory", q->h.bitmaps.directory_offset, q->h.bitmaps.directory_size);
        for (size_t i = 0; i < bitmaps.len && r == 0; i++)
                r = walk_bitmap(c, &bitmaps.items[i], err);
        qcow2_bitmaps_done(&bitmaps);
        return r;
}

static void walk_refcounts(Check *c)
{
        Qcow2 *q = c->q;

        if (q->bad_entries) {
                say(c,
                    "ERROR %u entries of the refcount table, the first at offset 0x%llx, are not at the start of a cluster",
                    q->bad_entries, (unsigned long long)q->bad_entry_at);
                c->found->corruptions += q->bad_entries;
        }

        use_table(c, "the refcount table", q->h.reftable_offset, q->h.reftable_clusters * q->cluster);
        for (uint32_t i = 0; i < q->reftable_entries; i++)
                if (q->reftable[i])
                        use_table(c, "a refcount block", q->reftable[i], q->cluster);
        /* What else stands in a block of counts is overwritten by it, even when both are counted. */
        for (uint32_t i = 0; i < q->reftable_entries; i++) {
                uint64_t cluster = q->reftable[i] >> q->cluster_bits;

                if (!cluster || cluster >= c->n || c->counts[cluster] == 1)
                        continue;
                say(c, "ERROR refcount block %u refcount=%u", i, c->counts[cluster]);
                c->found->corruptions++;
        }
}

static int walk_all(Check *c, Error *err)
{
        Qcow2 *q = c->q;

        use_table(c, "the header", 0, q->cluster);
        if (q->h.crypto_offset)
                use_table(c, "the encryption header", q->h.crypto_offset, q->h.crypto_length);
        if (walk_l1(c, q->h.l1_offset, q->h.l1_size, true, err) < 0 || walk_snapshots(c, err) < 0 ||
            walk_bitmaps(c, err) < 0)
                return -1;
        walk_refcounts(c);
        if (c->overflow)
                return err_set(err, ERR_OVERFLOW, "'%s': a cluster is used over %d times", q->file->name, UINT16_MAX);
        return 0;
}

static int compare_one(Check *c, uint64_t cluster, uint64_t stored, uint64_t used)
{
        if (stored == used)
                return 0;
        if (stored > used) {
                say(c, "Leaked cluster %llu refcount=%llu reference=%llu", (unsigned long long)cluster,
                    (unsigned long long)stored, (unsigned long long)used);
                c->found->leaks++;
        } else {
                say(c, "ERROR cluster %llu refcount=%llu reference=%llu", (unsigned long long)cluster,
                    (unsigned long long)stored, (unsigned long long)used);
                c->found->corruptions++;
        }
        return 1;
}

static int compare_counts(Check *c, Error *err)
{
        Qcow2 *q = c->q;
        uint64_t per_block = 1ULL << q->block_bits;
        AUTOFREE uint8_t *block = mem_try(q->cluster);

        if (!block)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a refcount block", q->file->name);
        for (uint64_t b = 0; b < q->reftable_entries || b * per_block < c->n; b++) {
                bool there = b < q->reftable_entries && q->reftable[b];

                if (!there && b * per_block >= c->n)
                        continue;
                if (there && image_file_read_padded(q->file, q->reftable[b], block, q->cluster, err) < 0)
                        return err_prefix(err, "refcount block");
                for (uint64_t i = 0; i < per_block; i++) {
                        uint64_t cluster = b * per_block + i;
                        uint64_t stored = there ? qcow2_count_at(block, q->h.refcount_order, i) : 0;
                        uint64_t used = cluster < c->n ? c->counts[cluster] : 0;

                        if (stored == 1 && cluster < c->n)
                                c->single[cluster / 8] |= (uint8_t)(1 << cluster % 8);
                        /* A count behind the end of the file is nobody's loss. */
                        if (cluster >= c->n || (!stored && !used))
                                continue;
                        compare_one(c, cluster, stored, used);
                        c->found->image_end_offset = MAX(c->found->image_end_offset, (cluster + 1)
                                                                                             << q->cluster_bits);
                }
        }
        return 0;
}

static uint64_t flag_wanted(const Check *c, uint64_t offset)
{
        uint64_t cluster = offset >> c->q->cluster_bits;

        return cluster < c->n && c->single[cluster / 8] >> cluster % 8 & 1 ? QCOW2_COPIED : 0;
}

/* One L2 table's "counted once" flags: counted as corruption, or set right. */
static int check_flags_in(Check *c, uint64_t at, bool fix, uint64_t *wrong, Error *err)
{
        Qcow2 *q = c->q;
        AUTOFREE uint64_t *entries = mem_try(q->cluster);
        bool changed = false;

        if (!entries)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for an L2 table", q->file->name);
        if (image_file_read_padded(q->file, at, entries, q->cluster, err) < 0)
                return err_prefix(err, "L2 table");
        for (uint64_t e = 0; e < q->per_table; e++) {
                uint64_t entry = load_be64(&entries[e * q->entry_words]), offset = entry & QCOW2_OFFSET;
                bool packed = entry & QCOW2_COMPRESSED;
                uint64_t wanted = packed ? 0 : flag_wanted(c, offset);

                /* That of a compressed cluster was told of where that is counted. */
                if (packed ? !fix : !offset)
                        continue;
                if ((entry & QCOW2_COPIED) == wanted)
                        continue;
                say(c, "%s OFLAG_COPIED data cluster: l2_entry=%llx", fix ? "Repairing" : "ERROR",
                    (unsigned long long)entry);
                (*wrong)++;
                store_be64(&entries[e * q->entry_words], (entry & ~QCOW2_COPIED) | wanted);
                changed = true;
        }
        return fix && changed ? image_file_write(q->file, at, entries, q->cluster, err) : 0;
}

static int check_flags(Check *c, bool fix, uint64_t *wrong, Error *err)
{
        Qcow2 *q = c->q;
        bool changed = false;

        if (q->h.incompatible & QCOW2_EXTERNAL_DATA)
                return 0;
        for (uint32_t i = 0; i < q->h.l1_size; i++) {
                uint64_t at = q->l1[i] & QCOW2_OFFSET;

                if (!at || at & (q->cluster - 1))
                        continue;
                if ((q->l1[i] & QCOW2_COPIED) != flag_wanted(c, at)) {
                        say(c, "%s OFLAG_COPIED L2 cluster: l1_index=%u l1_entry=%llx", fix ? "Repairing" : "ERROR",
                            i, (unsigned long long)q->l1[i]);
                        (*wrong)++;
                        q->l1[i] = at | flag_wanted(c, at);
                        changed = true;
                }
                if (check_flags_in(c, at, fix, wrong, err) < 0)
                        return -1;
        }
        return fix && changed ? qcow2_l1_store(q, err) : 0;
}

/* Entries that point outside the file, or between clusters, are replaced by "reads as zeros". */
static int drop_bad_entries(Check *c, Error *err)
{
        Qcow2 *q = c->q;
        AUTOFREE uint64_t *entries = mem_try(q->cluster);
        uint64_t end = c->n << q->cluster_bits;
        bool l1_changed = false;

        if (!entries)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for an L2 table", q->file->name);
        if (q->h.incompatible & QCOW2_EXTERNAL_DATA)
                return 0;
        for (uint32_t i = 0; i < q->h.l1_size; i++) {
                uint64_t at = q->l1[i] & QCOW2_OFFSET;
                bool changed = false;

                if (!at)
                        continue;
                if (at & (q->cluster - 1) || at >= end) {
                        q->l1[i] = 0;
                        l1_changed = true;
                        continue;
                }
                if (image_file_read_padded(q->file, at, entries, q->cluster, err) < 0)
                        return -1;
                for (uint64_t e = 0; e < q->per_table; e++) {
                        uint64_t entry = load_be64(&entries[e * q->entry_words]), offset = entry & QCOW2_OFFSET;
                        bool packed = entry & QCOW2_COMPRESSED;
                        uint64_t length;

                        if (packed)
                                qcow2_packed_extent(q, entry, &offset, &length);
                        if (!offset || ((packed || !(offset & (q->cluster - 1))) && offset < end))
                                continue;
                        store_be64(&entries[e * q->entry_words],
                                   q->entry_words == 1 && q->h.version >= 3 ? QCOW2_ZERO : 0);
                        if (q->entry_words == 2)
                                store_be64(&entries[2 * e + 1], (uint64_t)UINT32_MAX << 32);
                        changed = true;
                }
                if (changed && image_file_write(q->file, at, entries, q->cluster, err) < 0)
                        return -1;
        }
        return l1_changed ? qcow2_l1_store(q, err) : 0;
}

static int count_anew(Check *c, Error *err)
{
        uint64_t size;

        free(c->counts);
        free(c->single);
        c->counts = NULL;
        c->single = NULL;
        if (image_file_size(c->q->file, &size, err) < 0)
                return -1;
        c->n = div_up(size, c->q->cluster);
        if (c->n <= MOST_CLUSTERS)
                c->counts = mem_try(c->n * sizeof(*c->counts));
        c->single = c->counts ? mem_try(c->n / 8 + 1) : NULL;
        if (!c->single)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory to count %llu clusters", c->q->file->name,
                               (unsigned long long)c->n);
        c->found->image_end_offset = c->found->allocated_clusters = c->found->compressed_clusters = 0;
        c->found->fragmented_clusters = 0;
        c->next = 0;
        return walk_all(c, err);
}

/* Replace the counts on disk by what was counted; flags follow. */
static int repair(Check *c, Error *err)
{
        Qcow2 *q = c->q;
        ImageCheck before = *c->found;
        AUTO(Rewrite) rw = { 0 };
        Qcow2Header h = q->h;
        uint64_t wrong = 0;

        /* What is said and counted from here on is not news. */
        c->said = MOST_SAID + 1;
        if (before.corruptions && (drop_bad_entries(c, err) < 0 || count_anew(c, err) < 0))
                return -1;
        if (rewrite_begin_with(&rw, q, TAKE(c->counts), c->n, err) < 0)
                return -1;
        h.incompatible &= ~(uint64_t)(QCOW2_DIRTY | QCOW2_CORRUPT);
        if (rewrite_finish(&rw, &h, true, err) < 0)
                return -1;
        q->bad_entries = 0;
        if (count_anew(c, err) < 0 || compare_counts(c, err) < 0 || check_flags(c, true, &wrong, err) < 0)
                return -1;
        before.image_end_offset = c->found->image_end_offset;
        before.corruptions_fixed = before.corruptions;
        before.leaks_fixed = before.leaks;
        before.corruptions = before.leaks = 0;
        *c->found = before;
        /* And look again: what is wrong now could not be repaired. */
        if (count_anew(c, err) < 0 || compare_counts(c, err) < 0)
                return -1;
        qcow2_tables_drop(q);
        return image_file_flush(q->file, err);
}

static int check_held(Check *c, ImageRepair how, Error *err)
{
        Qcow2 *q = c->q;
        uint64_t wrong = 0;
        bool dirty = q->h.incompatible & (QCOW2_DIRTY | QCOW2_CORRUPT);

        if (qcow2_refcounts_load(q, err) < 0 || count_anew(c, err) < 0 || compare_counts(c, err) < 0)
                return -1;
        /* A repair of the counts sets flags right too. */
        if ((how == REPAIR_NONE || c->found->corruptions == 0) && check_flags(c, false, &wrong, err) < 0)
                return -1;
        c->found->total_clusters = div_up(q->image->size, q->cluster);
        c->found->corruptions += wrong;
        if (c->found->check_errors || how == REPAIR_NONE)
                return 0;
        /* Flags that only a leak made wrong go with it. */
        if (how == REPAIR_LEAKS && (c->found->corruptions > wrong || c->found->leaks == 0))
                return 0;
        if (c->found->corruptions || c->found->leaks || dirty)
                return repair(c, err);
        return 0;
}

int qcow2_check(Image *image, ImageRepair how, ImageCheck *ret, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        Check c = { .q = q, .found = ret };
        int r;

        if (how != REPAIR_NONE && !image->writable)
                return err_set(err, ERR_OPERATION_DENIED, "'%s' is open for reading only", image_name(image));
        if (q->begun && qcow2_flush_all(q, err) < 0)
                return -1;
        pthread_mutex_lock(&q->lock);
        r = check_held(&c, how, err);
        pthread_mutex_unlock(&q->lock);
        free(c.counts);
        free(c.single);
        return r;
}

int qcow2_repair_after_crash(Image *image, Error *err)
{
        ImageCheck found = { 0 };

        if (qcow2_check(image, REPAIR_ALL, &found, err) < 0)
                return -1;
        if (found.check_errors || found.corruptions)
                return err_set(err, ERR_OPERATION_FAILED, "'%s' was not closed cleanly and could not be repaired",
                               image_name(image));
        image->about.dirty = false;
        return 0;
}
