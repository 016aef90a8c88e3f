/*
 * img/qcow2-table.c - L1 and L2 tables in memory, and the order in which they reach the disk
 *
 * qcow2_commit() keeps the promise of qcow2.h: data, counts and new tables,
 * flush, then changed tables and the L1 entries, flush. What could not be
 * written, as on a full disk, stays marked and is written by the next commit. A
 * flush that failed ends all writing: nobody knows what of it is on the disk.
 */
#include "img/qcow2.h"

#include "base/mem.h"
#include "img/bytes.h"

enum {
        TABLES_BYTES = 8 << 20,  /* held in memory, at most */
        FILLING_BYTES = 2 << 20, /* the same when nobody comes back to them */
        FULL_FACTOR = 4,         /* times as much when changed ones cannot be written, so that reading goes on */
        SECTOR = 512,
};

static size_t most_tables(const Qcow2 *q)
{
        return MAX((q->filling ? FILLING_BYTES : TABLES_BYTES) >> q->cluster_bits, 4);
}

static Qcow2Table *table_free(Qcow2Table *table)
{
        if (table)
                free(table->entries);
        free(table);
        return NULL;
}

void qcow2_tables_drop(Qcow2 *q)
{
        for (uint32_t i = 0; q->tables && i < q->h.l1_size; i++)
                q->tables[i] = table_free(q->tables[i]);
        q->tables_held = 0;
}

void qcow2_table_touch(Qcow2Table *table, uint64_t word)
{
        if (!table->dirty) {
                table->dirty = true;
                table->dirty_from = (uint32_t)word;
                table->dirty_to = (uint32_t)word + 1;
                return;
        }
        table->dirty_from = MIN(table->dirty_from, (uint32_t)word);
        table->dirty_to = MAX(table->dirty_to, (uint32_t)word + 1);
}

static int table_write(Qcow2 *q, uint32_t l1_index, Error *err)
{
        Qcow2Table *table = q->tables[l1_index];
        uint64_t at = q->l1[l1_index] & QCOW2_OFFSET;
        uint64_t from = table->is_new ? 0 : round_down(8ULL * table->dirty_from, SECTOR);
        uint64_t to = table->is_new ? q->cluster : round_up(8ULL * table->dirty_to, SECTOR);

        if (image_file_write(q->file, at + from, (uint8_t *)table->entries + from, to - from, err) < 0)
                return err_prefix(err, "L2 table");
        table->dirty = false;
        return 0;
}

static int write_tables(Qcow2 *q, bool new_ones, bool *wrote, Error *err)
{
        for (uint32_t i = 0; i < q->h.l1_size; i++) {
                Qcow2Table *table = q->tables[i];

                if (!table || table->is_new != new_ones || (!table->dirty && !new_ones))
                        continue;
                if (table_write(q, i, err) < 0)
                        return -1;
                *wrote = true;
        }
        return 0;
}

static int write_l1(Qcow2 *q, Error *err)
{
        uint64_t from = round_down(8ULL * q->l1_dirty_from, SECTOR);
        uint64_t to = MIN(round_up(8ULL * q->l1_dirty_to, SECTOR), round_up(8ULL * q->h.l1_size, q->cluster));
        AUTOFREE uint64_t *disk = mem_try(to - from);

        if (!disk)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the L1 table", q->file->name);
        for (uint64_t i = from / 8; i < to / 8 && i < q->h.l1_size; i++)
                store_be64(&disk[i - from / 8], q->l1[i]);
        if (image_file_write(q->file, q->h.l1_offset + from, disk, to - from, err) < 0) {
                q->l1_torn = true;
                return err_prefix(err, "L1 table");
        }
        q->l1_dirty = q->l1_torn = false;
        for (uint32_t i = 0; i < q->h.l1_size; i++)
                if (q->tables[i])
                        q->tables[i]->is_new = false;
        return 0;
}

static bool tables_are_dirty(const Qcow2 *q)
{
        if (q->l1_dirty)
                return true;
        for (uint32_t i = 0; q->tables_held && i < q->h.l1_size; i++)
                if (q->tables[i] && q->tables[i]->dirty)
                        return true;
        return false;
}

int qcow2_sync(Qcow2 *q, Error *err)
{
        if (image_file_flush(q->file, err) < 0) {
                q->broken = true;
                return -1;
        }
        q->unsynced = false;
        return 0;
}

/* What the tables will say the data file holds, also what was carried over from below. */
static int sync_data(Qcow2 *q, Error *err)
{
        if (!q->image->data_file || image_file_flush(q->image->data_file, err) == 0)
                return 0;
        q->broken = true;
        return -1;
}

int qcow2_commit(Qcow2 *q, Error *err)
{
        bool wrote = false, tables = tables_are_dirty(q);
        int r;

        if (q->broken)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': an earlier write of its tables failed",
                               q->file->name);
        r = qcow2_refcounts_write(q, &wrote, err);
        q->unsynced |= wrote;
        if (r < 0 || !tables)
                return r;
        if (sync_data(q, err) < 0)
                return -1;
        /* After half a write of the L1 table it may show new tables already: counts come before what is in them. */
        if (q->l1_torn && q->unsynced && qcow2_sync(q, err) < 0)
                return -1;
        if (q->l1_dirty)
                r = write_tables(q, true, &wrote, err);
        q->unsynced |= wrote;
        if (r < 0 || (q->unsynced && qcow2_sync(q, err) < 0))
                return -1;
        if (write_tables(q, false, &wrote, err) < 0 || (q->l1_dirty && write_l1(q, err) < 0))
                return -1;
        return 0;
}

/* Make room for one more table: drop clean ones that were not used since the last time. */
static int tables_evict(Qcow2 *q, Error *err)
{
        bool committed = false;

        for (size_t turns = 0; q->tables_held >= most_tables(q) && turns < 3ULL * q->h.l1_size + 3; turns++) {
                Qcow2Table **slot = &q->tables[q->clock++ % q->h.l1_size];

                if (!*slot)
                        continue;
                if ((*slot)->used) {
                        (*slot)->used = false;
                        continue;
                }
                if ((*slot)->dirty || (*slot)->is_new) {
                        if (committed)
                                continue;
                        if (qcow2_commit(q, err) < 0)
                                return -1;
                        committed = true;
                }
                *slot = table_free(*slot);
                q->tables_held--;
        }
        return 0;
}

static int table_new(Qcow2 *q, Qcow2Table **ret, Error *err)
{
        AUTO(Error) full = { 0 };
        Qcow2Table *table;

        if (tables_evict(q, &full) < 0 && (q->broken || q->tables_held >= FULL_FACTOR * most_tables(q))) {
                err_move(err, &full);
                return -1;
        }
        table = mem_new(Qcow2Table);
        table->entries = mem_try(q->cluster);
        if (!table->entries) {
                table_free(table);
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for an L2 table", q->file->name);
        }
        *ret = table;
        return 0;
}

int qcow2_table_get(Qcow2 *q, uint32_t l1_index, Qcow2Table **ret, Error *err)
{
        Qcow2Table *table;
        uint64_t at;

        *ret = NULL;
        if (l1_index >= q->h.l1_size) /* it could not be read anew after a change */
                return err_set(err, ERR_OPERATION_FAILED, "'%s': its L1 table is lost", q->file->name);
        at = q->l1[l1_index] & QCOW2_OFFSET;
        table = q->tables[l1_index];
        if (table) {
                table->used = true;
                *ret = table;
                return 0;
        }
        if (!at)
                return 0;
        if (at & (q->cluster - 1))
                return image_bad_field(err, q->file, q->h.l1_offset + 8ULL * l1_index, "L1 entry",
                                       "is 0x%llx: not at the start of a cluster", (unsigned long long)at);
        if (table_new(q, &table, err) < 0)
                return -1;
        if (image_file_read(q->file, at, table->entries, q->cluster, err) < 0) {
                table_free(table);
                return err_prefix(err, "L2 table");
        }
        table->used = true;
        q->tables[l1_index] = *ret = table;
        q->tables_held++;
        return 0;
}

static void l1_set(Qcow2 *q, uint32_t l1_index, uint64_t entry)
{
        q->l1[l1_index] = entry;
        q->l1_dirty_from = q->l1_dirty ? MIN(q->l1_dirty_from, l1_index) : l1_index;
        q->l1_dirty_to = q->l1_dirty ? MAX(q->l1_dirty_to, l1_index + 1) : l1_index + 1;
        q->l1_dirty = true;
}

int qcow2_table_own(Qcow2 *q, uint32_t l1_index, Qcow2Table **ret, Error *err)
{
        uint64_t old, at;
        Qcow2Table *table;

        if (qcow2_table_get(q, l1_index, &table, err) < 0)
                return -1;
        old = q->l1[l1_index];
        if (!table) {
                if (table_new(q, &table, err) < 0)
                        return -1;
                table->used = true;
                q->tables[l1_index] = table;
                q->tables_held++;
        } else if (old & QCOW2_COPIED) {
                *ret = table;
                return 0;
        }
        if (qcow2_alloc(q, 1, &at, err) < 0) {
                if (!(old & QCOW2_OFFSET)) {
                        q->tables[l1_index] = table_free(table);
                        q->tables_held--;
                }
                return -1;
        }
        q->file_end = MAX(q->file_end, at + q->cluster);
        if (old & QCOW2_OFFSET)
                qcow2_unlink(q, (old & QCOW2_OFFSET) >> q->cluster_bits, 1);
        table->is_new = true;
        l1_set(q, l1_index, at | QCOW2_COPIED);
        *ret = table;
        return 0;
}

void qcow2_table_forget(Qcow2 *q, uint32_t l1_index)
{
        uint64_t old = q->l1[l1_index];

        if (!(old & QCOW2_OFFSET))
                return;
        if (q->tables[l1_index]) {
                q->tables[l1_index] = table_free(q->tables[l1_index]);
                q->tables_held--;
        }
        qcow2_unlink(q, (old & QCOW2_OFFSET) >> q->cluster_bits, 1);
        l1_set(q, l1_index, 0);
}

int qcow2_l1_load(Qcow2 *q, uint64_t offset, uint32_t n, uint64_t **ret, Error *err)
{
        uint64_t *l1 = mem_try(8ULL * n);

        if (!l1)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the L1 table", q->file->name);
        if (image_file_read(q->file, offset, l1, 8ULL * n, err) < 0) {
                free(l1);
                return err_prefix(err, "L1 table");
        }
        for (uint32_t i = 0; i < n; i++)
                l1[i] = load_be64(&l1[i]);
        *ret = l1;
        return 0;
}

int qcow2_l1_store(Qcow2 *q, Error *err)
{
        q->l1_dirty_from = 0;
        q->l1_dirty_to = q->h.l1_size;
        return write_l1(q, err);
}

int qcow2_header_store(Qcow2 *q, Error *err)
{
        Qcow2HeaderBytes head;
        bool apart, in_sector;
        int r = 0;

        if (qcow2_header_format(&q->h, q->file->name, &head, err) < 0)
                return -1;
        apart = head.name_at > head.end;
        in_sector = apart || MAX(head.end, head.name_at + head.name_n) <= QCOW2_SECTOR;
        /* A name elsewhere is there before the sector that points to it. */
        if (apart && (image_file_write(q->file, head.name_at, head.bytes + head.name_at, head.name_n, err) < 0 ||
                      image_file_flush(q->file, err) < 0))
                r = -1;
        if (r == 0)
                r = image_file_write(q->file, 0, head.bytes, in_sector ? QCOW2_SECTOR : q->cluster, err);
        if (r == 0)
                q->h.name_at = head.name_at;
        free(head.bytes);
        return r;
}

/* Without the lock, so that others can go on meanwhile. */
static int flush_unlocked(Qcow2 *q, ImageFile *file, Error *err)
{
        if (image_file_flush(file, err) == 0)
                return 0;
        pthread_mutex_lock(&q->lock);
        q->broken = true;
        pthread_mutex_unlock(&q->lock);
        return -1;
}

int qcow2_flush_all(Qcow2 *q, Error *err)
{
        bool wrote = false, to_reap;
        int r;

        /* Once more in commit, when tables changed: then it has little left to do. */
        if (q->image->data_file && flush_unlocked(q, q->image->data_file, err) < 0)
                return -1;
        pthread_mutex_lock(&q->lock);
        r = qcow2_commit(q, err);
        to_reap = q->unlinked.len;
        pthread_mutex_unlock(&q->lock);
        if (r < 0)
                return -1;
        if (flush_unlocked(q, q->file, err) < 0)
                return -1;
        if (!to_reap)
                return 0;
        /* Nothing on disk points at these any more; what is being read from them must end first. */
        pthread_rwlock_wrlock(&q->in_use);
        pthread_mutex_lock(&q->lock);
        r = qcow2_commit(q, err);
        if (r == 0)
                r = qcow2_sync(q, err);
        if (r == 0)
                r = qcow2_reap(q, err);
        if (r == 0)
                r = qcow2_refcounts_write(q, &wrote, err);
        q->unsynced |= wrote;
        pthread_mutex_unlock(&q->lock);
        pthread_rwlock_unlock(&q->in_use);
        return r;
}
