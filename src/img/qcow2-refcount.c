/*
 * img/qcow2-refcount.c - who uses which cluster of the file
 *
 * Refcount blocks are read when first asked for and stay in memory. Changes
 * are written by qcow2_refcounts_write(): blocks first, then, when new ones
 * came in, the table that points to them.
 */
#include "img/qcow2.h"

#include "base/mem.h"
#include "img/bytes.h"

enum {
        BLOCKS_BYTES = 4 << 20,    /* held in memory when they are clean, at most */
        FILLING_BYTES = 512 << 10, /* the same when nobody comes back to them */
};

static unsigned order_of(const Qcow2 *q)
{
        return q->h.refcount_order;
}

static uint64_t per_block(const Qcow2 *q)
{
        return 1ULL << q->block_bits;
}

static uint64_t largest_count(const Qcow2 *q)
{
        return order_of(q) == 6 ? UINT64_MAX : (1ULL << (1u << order_of(q))) - 1;
}

uint64_t qcow2_count_at(const uint8_t *counts, unsigned order, uint64_t i)
{
        switch (order) {
        case 3:
                return counts[i];
        case 4:
                return load_be16(counts + 2 * i);
        case 5:
                return load_be32(counts + 4 * i);
        case 6:
                return load_be64(counts + 8 * i);
        default: {
                unsigned bits = 1u << order, per_byte = 8 / bits;

                return (unsigned)counts[i / per_byte] >> (i % per_byte * bits) & ((1u << bits) - 1);
        }
        }
}

void qcow2_count_set(uint8_t *counts, unsigned order, uint64_t i, uint64_t value)
{
        switch (order) {
        case 3:
                counts[i] = (uint8_t)value;
                break;
        case 4:
                store_be16(counts + 2 * i, (uint16_t)value);
                break;
        case 5:
                store_be32(counts + 4 * i, (uint32_t)value);
                break;
        case 6:
                store_be64(counts + 8 * i, value);
                break;
        default: {
                unsigned bits = 1u << order, per_byte = 8 / bits, shift = (unsigned)(i % per_byte * bits);
                unsigned mask = ((1u << bits) - 1) << shift;

                counts[i / per_byte] = (uint8_t)((counts[i / per_byte] & ~mask) | ((unsigned)value << shift));
                break;
        }
        }
}

int qcow2_refcounts_load(Qcow2 *q, Error *err)
{
        uint64_t bytes = q->h.reftable_clusters * q->cluster;
        AUTOFREE uint64_t *table = NULL;

        if (q->reftable)
                return 0;
        table = mem_try(bytes);
        if (!table)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the refcount table", q->file->name);
        if (image_file_read(q->file, q->h.reftable_offset, table, bytes, err) < 0)
                return err_prefix(err, "refcount table");
        q->bad_entries = 0;
        for (uint32_t i = 0; i < bytes / 8; i++) {
                uint64_t entry = load_be64(&table[i]);
                bool bad = entry & (q->cluster - 1) || entry > INT64_MAX;

                if (bad && q->image->checking) {
                        if (!q->bad_entries++)
                                q->bad_entry_at = q->h.reftable_offset + 8ULL * i;
                        entry = 0;
                } else if (bad) {
                        return image_bad_field(err, q->file, q->h.reftable_offset + 8ULL * i, "refcount table entry",
                                               "is 0x%llx: not at the start of a cluster", (unsigned long long)entry);
                }
                table[i] = entry;
        }
        q->blocks = mem_try(bytes / 8 * sizeof(*q->blocks));
        if (!q->blocks)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the refcount table", q->file->name);
        q->reftable_entries = (uint32_t)(bytes / 8);
        q->reftable = TAKE(table);
        return 0;
}

void qcow2_refcounts_done(Qcow2 *q)
{
        for (uint32_t i = 0; q->blocks && i < q->reftable_entries; i++)
                free(q->blocks[i].counts);
        free(TAKE(q->blocks));
        free(TAKE(q->reftable));
        q->reftable_entries = 0;
        q->blocks_held = 0;
}

/* The block with this cluster's count; *ret NULL: there is none, all its counts are 0. */
static int block_get(Qcow2 *q, uint64_t index, Qcow2Block **ret, Error *err)
{
        Qcow2Block *block;

        *ret = NULL;
        if (qcow2_refcounts_load(q, err) < 0)
                return -1;
        if (index >= q->reftable_entries || !q->reftable[index])
                return 0;
        block = &q->blocks[index];
        if (!block->counts) {
                AUTOFREE uint8_t *counts = mem_try(q->cluster);

                if (!counts)
                        return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a refcount block", q->file->name);
                if (image_file_read_padded(q->file, q->reftable[index], counts, q->cluster, err) < 0)
                        return err_prefix(err, "refcount block");
                block->counts = TAKE(counts);
                q->blocks_held++;
        }
        *ret = block;
        return 0;
}

int qcow2_refcount_get(Qcow2 *q, uint64_t cluster, uint64_t *ret, Error *err)
{
        Qcow2Block *block;

        if (block_get(q, cluster >> q->block_bits, &block, err) < 0)
                return -1;
        *ret = block ? qcow2_count_at(block->counts, order_of(q), cluster & (per_block(q) - 1)) : 0;
        return 0;
}

static int block_write(Qcow2 *q, uint64_t index, Error *err)
{
        Qcow2Block *block = &q->blocks[index];

        if (image_file_write(q->file, q->reftable[index], block->counts, q->cluster, err) < 0)
                return err_prefix(err, "refcount block");
        block->dirty = false;
        return 0;
}

static int reftable_write(Qcow2 *q, Error *err)
{
        uint64_t bytes = q->h.reftable_clusters * q->cluster;
        AUTOFREE uint64_t *disk = mem_try(bytes);

        if (!disk)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the refcount table", q->file->name);
        for (uint32_t i = 0; i < q->reftable_entries; i++)
                store_be64(&disk[i], q->reftable[i]);
        if (image_file_write(q->file, q->h.reftable_offset, disk, bytes, err) < 0)
                return err_prefix(err, "refcount table");
        return 0;
}

/* All blocks are clean: drop them when they are many. Nobody keeps a pointer to one over a write. */
static void blocks_forget(Qcow2 *q)
{
        if (q->blocks_held << q->cluster_bits <= (q->filling ? FILLING_BYTES : BLOCKS_BYTES))
                return;
        for (uint32_t i = 0; i < q->reftable_entries; i++)
                free(TAKE(q->blocks[i].counts));
        q->blocks_held = 0;
}

/* After a header that could not be written: this one is, before anything rests on which table it names. */
static int header_settle(Qcow2 *q, Error *err)
{
        if (!q->header_unsure)
                return 0;
        if (qcow2_header_store(q, err) < 0 || qcow2_sync(q, err) < 0)
                return -1;
        q->header_unsure = false;
        return 0;
}

int qcow2_refcounts_write(Qcow2 *q, bool *wrote, Error *err)
{
        if (header_settle(q, err) < 0)
                return -1;
        for (uint32_t i = 0; i < q->reftable_entries; i++) {
                if (!q->blocks[i].dirty)
                        continue;
                if (block_write(q, i, err) < 0)
                        return -1;
                *wrote = true;
        }
        blocks_forget(q);
        if (!q->reftable_dirty)
                return 0;
        /* What the table points to must be there first. */
        if (qcow2_sync(q, err) < 0 || reftable_write(q, err) < 0)
                return -1;
        q->reftable_dirty = false;
        *wrote = true;
        return 0;
}

/* New, empty blocks for the clusters from block `index` on; the first `taken` clusters there are counted. */
static int blocks_add(Qcow2 *q, uint64_t index, uint64_t n, uint64_t taken, Error *err)
{
        uint64_t first = index << q->block_bits;

        for (uint64_t i = 0; i < n; i++) {
                uint8_t *counts = mem_try(q->cluster);

                if (!counts)
                        return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a refcount block", q->file->name);
                for (uint64_t c = 0; c < per_block(q) && i * per_block(q) + c < taken; c++)
                        qcow2_count_set(counts, order_of(q), c, 1);
                q->blocks[index + i] = (Qcow2Block){ .counts = counts, .dirty = true };
                q->blocks_held++;
                q->reftable[index + i] = (first + i) << q->cluster_bits;
        }
        q->file_end = MAX(q->file_end, (first + taken) << q->cluster_bits);
        return 0;
}

/* They were not needed after all. */
static void blocks_remove(Qcow2 *q, uint64_t index, uint64_t n)
{
        for (uint64_t i = index; i < index + n; i++) {
                q->blocks_held -= q->blocks[i].counts ? 1 : 0;
                free(q->blocks[i].counts);
                q->blocks[i] = (Qcow2Block){ 0 };
                q->reftable[i] = 0;
        }
}

static int reftable_room(Qcow2 *q, uint64_t entries, Error *err)
{
        uint64_t *table = mem_try(8 * entries);
        Qcow2Block *blocks = mem_try(entries * sizeof(*blocks));

        if (!table || !blocks) {
                free(table);
                free(blocks);
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the refcount table", q->file->name);
        }
        memcpy(table, q->reftable, 8ULL * q->reftable_entries);
        memcpy(blocks, q->blocks, q->reftable_entries * sizeof(*blocks));
        free(q->reftable);
        free(q->blocks);
        q->reftable = table;
        q->blocks = blocks;
        q->reftable_entries = (uint32_t)entries;
        return 0;
}

/* The new blocks and the new table, then the header. A table that could not be written is not the image's. */
static int reftable_switch(Qcow2 *q, uint64_t index, uint64_t n_blocks, uint64_t clusters, Error *err)
{
        for (uint64_t i = 0; i < n_blocks; i++)
                if (block_write(q, index + i, err) < 0)
                        return -1;
        q->h.reftable_offset = ((index << q->block_bits) + n_blocks) << q->cluster_bits;
        q->h.reftable_clusters = (uint32_t)clusters;
        if (reftable_write(q, err) < 0 || qcow2_sync(q, err) < 0)
                return -1;
        if (qcow2_header_store(q, err) < 0) {
                q->header_unsure = true; /* both tables are on the disk and good as long as neither is changed */
                return -1;
        }
        return qcow2_sync(q, err);
}

/*
 * A larger refcount table that reaches block `index`: it stands, with the blocks that count it, where nothing was
 * counted before. All is on disk before the header is switched to it.
 */
static int reftable_grow(Qcow2 *q, uint64_t index, Error *err)
{
        uint64_t per_cluster = q->cluster / 8, n_blocks = 1, clusters;
        uint64_t old_offset = q->h.reftable_offset;
        uint32_t old_clusters = q->h.reftable_clusters, old_entries = q->reftable_entries;
        bool wrote = false;

        do {
                clusters = div_up((index + n_blocks) * 5 / 4, per_cluster);
                n_blocks = div_up(n_blocks + clusters, per_block(q));
                clusters = MAX(clusters, div_up(index + n_blocks, per_cluster));
        } while (n_blocks * per_block(q) < n_blocks + clusters);
        if (clusters * q->cluster > QCOW2_MAX_REFTABLE_BYTES)
                return err_set(err, ERR_OVERFLOW, "'%s' has reached the largest size its refcount table allows",
                               q->file->name);
        if (qcow2_refcounts_write(q, &wrote, err) < 0 || reftable_room(q, clusters * per_cluster, err) < 0)
                return -1;
        if (blocks_add(q, index, n_blocks, n_blocks + clusters, err) < 0 ||
            reftable_switch(q, index, n_blocks, clusters, err) < 0) {
                blocks_remove(q, index, n_blocks);
                q->reftable_entries = old_entries;
                q->h.reftable_offset = old_offset;
                q->h.reftable_clusters = old_clusters;
                return -1;
        }
        qcow2_unlink(q, old_offset >> q->cluster_bits, old_clusters);
        return 0;
}

/* The block for a cluster that is to be counted, made when there is none. */
static int block_own(Qcow2 *q, uint64_t index, Qcow2Block **ret, Error *err)
{
        if (block_get(q, index, ret, err) < 0)
                return -1;
        if (*ret)
                return 0;
        if (index == 0)
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s': the first refcount block is missing: the image is damaged, run check",
                               q->file->name);
        if (index >= q->reftable_entries) {
                if (reftable_grow(q, index, err) < 0)
                        return -1;
        } else {
                if (blocks_add(q, index, 1, 1, err) < 0)
                        return -1;
                q->reftable_dirty = true;
        }
        *ret = &q->blocks[index];
        return 0;
}

int qcow2_refcount_add(Qcow2 *q, uint64_t cluster, uint64_t n, int64_t delta, Error *err)
{
        for (uint64_t c = cluster; c < cluster + n; c++) {
                Qcow2Block *block;
                uint64_t at = c & (per_block(q) - 1), count;

                if (block_own(q, c >> q->block_bits, &block, err) < 0)
                        return -1;
                count = qcow2_count_at(block->counts, order_of(q), at);
                if (delta < 0 ? count < (uint64_t)-delta : count > largest_count(q) - (uint64_t)delta)
                        return err_set(
                                err, ERR_OPERATION_FAILED,
                                "'%s': the refcount of the cluster at offset %llu is %llu and cannot change by "
                                "%lld: the image is damaged, run check",
                                q->file->name, (unsigned long long)(c << q->cluster_bits), (unsigned long long)count,
                                (long long)delta);
                count += (uint64_t)delta;
                qcow2_count_set(block->counts, order_of(q), at, count);
                block->dirty = true;
                if (count == 0) {
                        q->free_hint = MIN(q->free_hint, c);
                        if (q->pack_at >> q->cluster_bits == c)
                                q->pack_at = 0; /* whoever gets this cluster next gets all of it */
                }
        }
        return 0;
}

/* The first free cluster at or behind `from`, and how many follow it, at most `most`. */
static int find_free(Qcow2 *q, uint64_t from, uint64_t most, uint64_t *ret, uint64_t *ret_n, Error *err)
{
        uint64_t n = 0;

        for (uint64_t c = from; n < most; c++) {
                Qcow2Block *block;

                if (block_own(q, c >> q->block_bits, &block, err) < 0)
                        return -1;
                if (qcow2_count_at(block->counts, order_of(q), c & (per_block(q) - 1)) == 0) {
                        if (n++ == 0)
                                *ret = c;
                } else if (n) {
                        break;
                }
        }
        *ret_n = n;
        return 0;
}

int qcow2_alloc_some(Qcow2 *q, uint64_t most, uint64_t *ret_offset, uint64_t *ret_n, Error *err)
{
        uint64_t first = 0, n;

        if (find_free(q, q->free_hint, most, &first, &n, err) < 0 || qcow2_refcount_add(q, first, n, 1, err) < 0)
                return -1;
        q->free_hint = first + n;
        *ret_offset = first << q->cluster_bits;
        *ret_n = n;
        return 0;
}

int qcow2_alloc(Qcow2 *q, uint64_t n, uint64_t *ret_offset, Error *err)
{
        uint64_t first = 0, found = 0;

        for (uint64_t from = q->free_hint; found < n; from = first + found)
                if (find_free(q, from, n, &first, &found, err) < 0)
                        return -1;
        if (qcow2_refcount_add(q, first, n, 1, err) < 0)
                return -1;
        if (first == q->free_hint)
                q->free_hint = first + n;
        *ret_offset = first << q->cluster_bits;
        return 0;
}

int qcow2_alloc_packed(Qcow2 *q, size_t n, uint64_t *ret_offset, Error *err)
{
        uint64_t left = q->pack_at ? q->cluster - (q->pack_at & (q->cluster - 1)) : 0;
        uint64_t at = q->pack_at, next, last, count;

        if (n > left && left) {
                Qcow2Block *block;

                /*
                 * Over the end of the open cluster only when the one behind it is free too: a block of counts that is
                 * still to be made would take just that one for itself.
                 */
                next = (at + left) >> q->cluster_bits;
                if (block_own(q, next >> q->block_bits, &block, err) < 0)
                        return -1;
                if (qcow2_count_at(block->counts, order_of(q), next & (per_block(q) - 1)) != 0)
                        left = 0;
        }
        if (left == 0) {
                if (qcow2_alloc(q, 1, &at, err) < 0)
                        return -1;
        } else {
                if (qcow2_refcount_get(q, at >> q->cluster_bits, &count, err) < 0)
                        return -1;
                if (count == largest_count(q)) {
                        q->pack_at = 0;
                        return qcow2_alloc_packed(q, n, ret_offset, err);
                }
                last = (at + n - 1) >> q->cluster_bits;
                if (qcow2_refcount_add(q, at >> q->cluster_bits, last - (at >> q->cluster_bits) + 1, 1, err) < 0)
                        return -1;
        }
        q->pack_at = at + n;
        if ((q->pack_at & (q->cluster - 1)) == 0)
                q->pack_at = 0;
        *ret_offset = at;
        return 0;
}

void qcow2_unlink(Qcow2 *q, uint64_t cluster, uint64_t n)
{
        Qcow2Run *last = q->unlinked.len ? &q->unlinked.items[q->unlinked.len - 1] : NULL;

        if (last && last->first + last->n == cluster)
                last->n += n;
        else
                vec_push(&q->unlinked, ((Qcow2Run){ cluster, n }));
}

/* Give the room of clusters that nobody uses any more back to the file system. Nothing rests on it. */
static void punch(Qcow2 *q, uint64_t first, uint64_t n)
{
        if (n)
                image_file_zero(q->file, first << q->cluster_bits, n << q->cluster_bits, false, NULL);
}

/* One run is counted down; its clusters that then count 0 are given back. */
static int reap_run(Qcow2 *q, Qcow2Run run, Error *err)
{
        uint64_t free_from = run.first, count;

        if (qcow2_refcount_add(q, run.first, run.n, -1, err) < 0)
                return -1;
        for (uint64_t c = run.first; c < run.first + run.n; c++) {
                if (qcow2_refcount_get(q, c, &count, err) < 0)
                        return -1;
                if (count == 0)
                        continue;
                punch(q, free_from, c - free_from);
                free_from = c + 1;
        }
        punch(q, free_from, run.first + run.n - free_from);
        return 0;
}

int qcow2_reap(Qcow2 *q, Error *err)
{
        for (size_t i = 0; i < q->unlinked.len; i++) {
                if (reap_run(q, q->unlinked.items[i], err) < 0) {
                        q->broken = true; /* a part of it is counted down */
                        return -1;
                }
        }
        q->unlinked.len = 0;
        return 0;
}
