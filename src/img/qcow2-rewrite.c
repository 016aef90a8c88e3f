/*
 * img/qcow2-rewrite.c - change many tables at once, safely
 */
#include "img/qcow2-rewrite.h"

#include "base/mem.h"
#include "img/bytes.h"

#define MOST_CLUSTERS (1ULL << 31)

static int make_room(Rewrite *rw, uint64_t n, Error *err)
{
        uint64_t room = MAX(n + n / 8 + 1024, rw->room);
        uint16_t *counts;
        uint8_t *busy;

        if (n <= rw->room) {
                rw->n = MAX(rw->n, n);
                return 0;
        }
        if (n > MOST_CLUSTERS)
                return err_set(err, ERR_OVERFLOW, "'%s' is too large to be changed in this way", rw->q->file->name);
        counts = mem_try(room * sizeof(*counts));
        busy = mem_try(room / 8 + 1);
        if (!counts || !busy) {
                free(counts);
                free(busy);
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its refcounts", rw->q->file->name);
        }
        if (rw->n) {
                memcpy(counts, rw->counts, rw->n * sizeof(*counts));
                memcpy(busy, rw->busy, rw->n / 8 + 1);
        }
        free(rw->counts);
        free(rw->busy);
        rw->counts = counts;
        rw->busy = busy;
        rw->room = room;
        rw->n = n;
        return 0;
}

static void mark_busy(Rewrite *rw)
{
        for (uint64_t i = 0; i < rw->n; i++)
                if (rw->counts[i])
                        rw->busy[i / 8] |= (uint8_t)(1 << i % 8);
}

static int load_counts(Rewrite *rw, Error *err)
{
        Qcow2 *q = rw->q;
        uint64_t per_block = 1ULL << q->block_bits, size;

        if (qcow2_refcounts_load(q, err) < 0 || image_file_size(q->file, &size, err) < 0 ||
            make_room(rw, div_up(size, q->cluster), err) < 0)
                return -1;
        for (uint64_t block = 0; block < q->reftable_entries; block++) {
                if (!q->reftable[block])
                        continue;
                for (uint64_t i = 0; i < per_block; i++) {
                        uint64_t cluster = block * per_block + i, count;

                        if (qcow2_refcount_get(q, cluster, &count, err) < 0)
                                return -1;
                        if (count == 0)
                                continue;
                        if (count > UINT16_MAX)
                                return err_set(err, ERR_OVERFLOW, "'%s': a cluster is used over %d times",
                                               q->file->name, UINT16_MAX);
                        if (make_room(rw, cluster + 1, err) < 0)
                                return -1;
                        rw->counts[cluster] = (uint16_t)count;
                }
        }
        return 0;
}

int rewrite_begin(Rewrite *rw, Qcow2 *q, Error *err)
{
        *rw = (Rewrite){ .q = q };
        if (qcow2_begin_writing(q, err) < 0 || qcow2_flush_all(q, err) < 0 || load_counts(rw, err) < 0)
                return -1;
        mark_busy(rw);
        return 0;
}

int rewrite_begin_with(Rewrite *rw, Qcow2 *q, uint16_t *counts, uint64_t n, Error *err)
{
        *rw = (Rewrite){ .q = q, .counts = counts, .n = n, .room = n };
        rw->busy = mem_try(n / 8 + 1);
        if (!rw->busy)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its refcounts", q->file->name);
        mark_busy(rw);
        return 0;
}

void rewrite_done(Rewrite *rw)
{
        free(rw->counts);
        free(rw->busy);
        *rw = (Rewrite){ 0 };
}

static bool is_free(const Rewrite *rw, uint64_t cluster)
{
        return cluster >= rw->n || (!rw->counts[cluster] && !(rw->busy[cluster / 8] >> cluster % 8 & 1));
}

int rewrite_alloc(Rewrite *rw, uint64_t n, uint64_t *ret_offset, Error *err)
{
        uint64_t first = rw->hint, run = 0;

        for (uint64_t c = first; run < n; c++) {
                if (!is_free(rw, c)) {
                        run = 0;
                        continue;
                }
                if (run++ == 0)
                        first = c;
        }
        if (make_room(rw, first + n, err) < 0)
                return -1;
        for (uint64_t i = 0; i < n; i++)
                rw->counts[first + i] = 1;
        if (n == 1)
                rw->hint = first + 1;
        *ret_offset = first << rw->q->cluster_bits;
        return 0;
}

int rewrite_add(Rewrite *rw, uint64_t cluster, uint64_t n, int delta, Error *err)
{
        uint64_t bits = 1ULL << rw->q->h.refcount_order;
        uint64_t most = bits >= 16 ? UINT16_MAX : (1ULL << bits) - 1;

        for (uint64_t c = cluster; c < cluster + n; c++) {
                if (c >= rw->n || (delta < 0 && rw->counts[c] == 0))
                        return err_set(
                                err, ERR_OPERATION_FAILED,
                                "'%s': the cluster at offset %llu is used and not counted: the image is damaged, "
                                "run check",
                                rw->q->file->name, (unsigned long long)(c << rw->q->cluster_bits));
                if (delta > 0 && rw->counts[c] >= most)
                        return err_set(err, ERR_OVERFLOW,
                                       "'%s': a cluster cannot be used over %llu times with "
                                       "refcounts of %llu bits",
                                       rw->q->file->name, (unsigned long long)most, (unsigned long long)bits);
                rw->counts[c] = (uint16_t)(rw->counts[c] + delta);
        }
        return 0;
}

int rewrite_add_entry(Rewrite *rw, uint64_t entry, int delta, Error *err)
{
        Qcow2 *q = rw->q;
        uint64_t offset, length, first;

        if (q->h.incompatible & QCOW2_EXTERNAL_DATA)
                return 0;
        if (entry & QCOW2_COMPRESSED) {
                qcow2_packed_extent(q, entry, &offset, &length);
                first = offset >> q->cluster_bits;
                return rewrite_add(rw, first, ((offset + length - 1) >> q->cluster_bits) - first + 1, delta, err);
        }
        return entry & QCOW2_OFFSET ? rewrite_add(rw, (entry & QCOW2_OFFSET) >> q->cluster_bits, 1, delta, err) : 0;
}

/* The old refcount table and blocks are used no more. */
static int drop_old_counts(Rewrite *rw, Error *err)
{
        Qcow2 *q = rw->q;

        for (uint32_t i = 0; i < q->reftable_entries; i++)
                /* In a damaged image a block may stand where nothing can be counted. */
                if (q->reftable[i] && q->reftable[i] >> q->cluster_bits < rw->n &&
                    rewrite_add(rw, q->reftable[i] >> q->cluster_bits, 1, -1, err) < 0)
                        return -1;
        return rewrite_add(rw, q->h.reftable_offset >> q->cluster_bits, q->h.reftable_clusters, -1, err);
}

/* Counts of that width in a refcount block, as a power of two. */
static unsigned block_bits_of(const Qcow2 *q, unsigned order)
{
        return q->cluster_bits + 3 - order;
}

/* Write the counts to `blocks` clusters from `at` on and the table that points to them behind. */
static int write_counts(Rewrite *rw, unsigned order, uint64_t at, uint64_t blocks, uint64_t table_clusters,
                        Error *err)
{
        Qcow2 *q = rw->q;
        uint64_t per_block = 1ULL << block_bits_of(q, order);
        AUTOFREE uint8_t *block = mem_try(q->cluster);
        AUTOFREE uint64_t *table = mem_try(table_clusters * q->cluster);

        if (!block || !table)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a refcount block", q->file->name);
        for (uint64_t b = 0; b < blocks; b++) {
                memset(block, 0, q->cluster);
                for (uint64_t i = 0; i < per_block && b * per_block + i < rw->n; i++)
                        qcow2_count_set(block, order, i, rw->counts[b * per_block + i]);
                if (image_file_write(q->file, at + (b << q->cluster_bits), block, q->cluster, err) < 0)
                        return err_prefix(err, "refcount block");
                store_be64(&table[b], at + (b << q->cluster_bits));
        }
        if (image_file_write(q->file, at + (blocks << q->cluster_bits), table, table_clusters * q->cluster, err) < 0)
                return err_prefix(err, "refcount table");
        return 0;
}

static int place_counts(Rewrite *rw, Qcow2Header *h, Error *err)
{
        Qcow2 *q = rw->q;
        uint64_t per_block = 1ULL << block_bits_of(q, h->refcount_order), blocks = 1, table = 1, before, at;

        do { /* the counts count themselves */
                before = blocks + table;
                blocks = div_up(rw->n + blocks + table, per_block);
                table = div_up(8 * blocks, q->cluster);
        } while (blocks + table != before);
        if (table * q->cluster > QCOW2_MAX_REFTABLE_BYTES)
                return err_set(err, ERR_OVERFLOW, "'%s' has reached the largest size its refcount table allows",
                               q->file->name);
        if (rewrite_alloc(rw, blocks + table, &at, err) < 0 ||
            write_counts(rw, h->refcount_order, at, blocks, table, err) < 0)
                return -1;
        h->reftable_offset = at + (blocks << q->cluster_bits);
        h->reftable_clusters = (uint32_t)table;
        return 0;
}

/* Take up the image as it is on disk now. */
static int reload(Qcow2 *q, Error *err)
{
        uint64_t size;
        uint64_t *l1;
        Qcow2Table **tables = mem_try(q->h.l1_size * sizeof(*tables));

        if (!tables)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the L1 table", q->file->name);
        if (image_file_size(q->file, &size, err) < 0 ||
            qcow2_l1_load(q, q->h.l1_offset, q->h.l1_size, &l1, err) < 0) {
                free(tables);
                return -1;
        }
        free(q->tables);
        free(q->l1);
        q->tables = tables;
        q->l1 = l1;
        q->l1_dirty = false;
        q->free_hint = q->pack_at = 0;
        q->file_end = round_up(size, q->cluster);
        q->unlinked.len = 0;
        return qcow2_refcounts_load(q, err);
}

/* Clusters that the old image used and the new one does not. */
static int punch_freed(const Rewrite *rw, Error *err)
{
        for (uint64_t c = 0; c < rw->n;) {
                uint64_t first = c;

                while (c < rw->n && !rw->counts[c] && rw->busy[c / 8] >> c % 8 & 1)
                        c++;
                if (c == first) {
                        c++;
                        continue;
                }
                if (image_file_zero(rw->q->file, first << rw->q->cluster_bits, (c - first) << rw->q->cluster_bits,
                                    false, err) < 0)
                        return -1;
        }
        return 0;
}

int rewrite_finish(Rewrite *rw, Qcow2Header *header, bool old_counts_listed, Error *err)
{
        Qcow2 *q = rw->q;

        if (old_counts_listed && drop_old_counts(rw, err) < 0)
                return -1;
        if (place_counts(rw, header, err) < 0 || image_file_flush(q->file, err) < 0)
                return -1;
        qcow2_tables_drop(q);
        qcow2_refcounts_done(q);
        q->h = *header;
        q->block_bits = block_bits_of(q, header->refcount_order);
        if (qcow2_header_store(q, err) < 0 || image_file_flush(q->file, err) < 0 || reload(q, err) < 0) {
                q->broken = true;
                q->h.l1_size = 0; /* what is in memory belongs to the old header */
                return -1;
        }
        return punch_freed(rw, err);
}
