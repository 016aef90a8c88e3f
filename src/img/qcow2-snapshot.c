/*
 * img/qcow2-snapshot.c - internal snapshots
 *
 * A snapshot is an L1 table of its own. The active tables are never shared
 * with one: taking a snapshot hands it the tables there are and gives the
 * active image copies, applying one copies its tables. Each change is one
 * rewrite: before or after a crash, never between.
 */
#include "img/qcow2-rewrite.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

enum { FIXED_SIZE = 40, EXTRA_SIZE = 24, MAX_EXTRA = 1024, LONGEST_NAME = 255 /* what QEMU shows of it */ };

static int check_snapshot(const Qcow2 *q, const ImageSnapshot *s, uint64_t at, Error *err)
{
        if (s->l1_offset & (q->cluster - 1) || s->l1_offset > INT64_MAX / 2)
                return image_bad_field(err, q->file, at, "snapshot's l1_table_offset", "is 0x%llx",
                                       (unsigned long long)s->l1_offset);
        if (s->l1_size > QCOW2_MAX_L1_BYTES / 8)
                return image_bad_field(err, q->file, at + 8, "snapshot's l1_size", "is %u", s->l1_size);
        return 0;
}

/* One row of the table; returns its length through used. */
static int read_row(Qcow2 *q, uint64_t at, ImageSnapshot *ret, uint64_t *used, Error *err)
{
        uint8_t head[FIXED_SIZE], extra[EXTRA_SIZE] = { 0 };
        uint32_t extra_size, id_size, name_size;

        if (image_file_read(q->file, at, head, sizeof(head), err) < 0)
                return -1;
        id_size = load_be16(head + 12);
        name_size = load_be16(head + 14);
        extra_size = load_be32(head + 36);
        if (extra_size > MAX_EXTRA)
                return image_bad_field(err, q->file, at + 36, "snapshot's extra_data_size", "is %u", extra_size);
        if (image_file_read(q->file, at + FIXED_SIZE, extra, MIN(extra_size, (uint32_t)EXTRA_SIZE), err) < 0)
                return -1;
        *ret = (ImageSnapshot){
                .l1_offset = load_be64(head),
                .l1_size = load_be32(head + 8),
                .date_sec = load_be32(head + 16),
                .date_nsec = load_be32(head + 20),
                .vm_clock_nsec = load_be64(head + 24),
                .vm_state_size = extra_size >= 8 ? load_be64(extra) : load_be32(head + 32),
                .disk_size = extra_size >= 16 ? load_be64(extra + 8) : q->h.size,
                .icount = extra_size >= 24 ? load_be64(extra + 16) : UINT64_MAX,
        };
        if (check_snapshot(q, ret, at, err) < 0)
                return -1;
        at += FIXED_SIZE + extra_size;
        ret->id = image_read_name(q->file, at, id_size, "snapshot id", err);
        ret->name = ret->id ? image_read_name(q->file, at + id_size, name_size, "snapshot name", err) : NULL;
        if (!ret->name) {
                free(ret->id);
                return -1;
        }
        *used = round_up(FIXED_SIZE + (uint64_t)extra_size + id_size + name_size, 8);
        return 0;
}

int qcow2_snapshots_read(Qcow2 *q, ImageSnapshots *ret, Error *err)
{
        uint64_t at = q->h.snapshots_offset;
        ImageSnapshots list = { 0 };

        for (uint32_t i = 0; i < q->h.n_snapshots; i++) {
                ImageSnapshot snapshot;
                uint64_t used;

                if (read_row(q, at, &snapshot, &used, err) < 0) {
                        image_snapshots_done(&list);
                        return -1;
                }
                vec_push(&list, snapshot);
                at += used;
        }
        *ret = list;
        return 0;
}

static uint64_t rows_format(const ImageSnapshots *list, Buf *out)
{
        for (size_t i = 0; i < list->len; i++) {
                const ImageSnapshot *s = &list->items[i];
                size_t id_size = strlen(s->id), name_size = strlen(s->name);
                uint8_t head[FIXED_SIZE + EXTRA_SIZE] = { 0 };
                size_t extra = s->icount == UINT64_MAX ? 16 : 24;

                store_be64(head, s->l1_offset);
                store_be32(head + 8, s->l1_size);
                store_be16(head + 12, (uint16_t)id_size);
                store_be16(head + 14, (uint16_t)name_size);
                store_be32(head + 16, s->date_sec);
                store_be32(head + 20, s->date_nsec);
                store_be64(head + 24, s->vm_clock_nsec);
                store_be32(head + 32, (uint32_t)MIN(s->vm_state_size, UINT32_MAX));
                store_be32(head + 36, (uint32_t)extra);
                store_be64(head + 40, s->vm_state_size);
                store_be64(head + 48, s->disk_size);
                store_be64(head + 56, s->icount);
                buf_put(out, head, FIXED_SIZE + extra);
                buf_put(out, s->id, id_size);
                buf_put(out, s->name, name_size);
                buf_put(out, (uint8_t[8]){ 0 }, round_up(out->len, 8) - out->len);
        }
        return out->len;
}

/* The snapshot table in a new place, the old one given up. */
static int table_rewrite(Rewrite *rw, const ImageSnapshots *list, uint64_t old_length, Qcow2Header *h, Error *err)
{
        Qcow2 *q = rw->q;
        AUTO(Buf) table = { 0 };
        uint64_t length = rows_format(list, &table), padded = round_up(length, q->cluster), at = 0;

        if (list->len > QCOW2_MAX_SNAPSHOTS || length > QCOW2_MAX_SNAPSHOT_TABLE)
                return err_set(err, ERR_OPERATION_INVALID, "'%s' has the most snapshots it can have", q->file->name);
        if (old_length &&
            rewrite_add(rw, q->h.snapshots_offset >> q->cluster_bits, div_up(old_length, q->cluster), -1, err) < 0)
                return -1;
        if (length) {
                if (rewrite_alloc(rw, padded >> q->cluster_bits, &at, err) < 0)
                        return -1;
                memset(buf_reserve(&table, padded - length), 0, padded - length);
                if (image_file_write(q->file, at, table.data, padded, err) < 0)
                        return err_prefix(err, "snapshot table");
        }
        h->snapshots_offset = at;
        h->n_snapshots = (uint32_t)list->len;
        return 0;
}

/* The bytes the table takes now, as it was read. */
int qcow2_snapshots_length(Qcow2 *q, uint64_t *ret, Error *err)
{
        uint64_t at = q->h.snapshots_offset, used;

        for (uint32_t i = 0; i < q->h.n_snapshots; i++) {
                ImageSnapshot row;

                if (read_row(q, at, &row, &used, err) < 0)
                        return -1;
                free(row.id);
                free(row.name);
                at += used;
        }
        *ret = at - q->h.snapshots_offset;
        return 0;
}

static int read_table(Qcow2 *q, uint64_t l1_entry, uint64_t *entries, Error *err)
{
        uint64_t at = l1_entry & QCOW2_OFFSET;

        if (at & (q->cluster - 1))
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s': an L1 entry is 0x%llx: not at the start of a cluster", q->file->name,
                               (unsigned long long)l1_entry);
        return image_file_read(q->file, at, entries, q->cluster, err) < 0 ? err_prefix(err, "L2 table") : 0;
}

/* Count what an L1 table reaches, up or down: the tables themselves (when told) and all they point to. */
static int count_tree(Rewrite *rw, const uint64_t *l1, uint32_t n, bool tables, int delta, Error *err)
{
        Qcow2 *q = rw->q;
        AUTOFREE uint64_t *entries = mem_try(q->cluster);

        if (!entries)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for an L2 table", q->file->name);
        for (uint32_t i = 0; i < n; i++) {
                if (!(l1[i] & QCOW2_OFFSET))
                        continue;
                if (read_table(q, l1[i], entries, err) < 0)
                        return -1;
                for (uint64_t e = 0; e < q->per_table; e++)
                        if (rewrite_add_entry(rw, load_be64(&entries[e * q->entry_words]), delta, err) < 0)
                                return -1;
                if (tables && rewrite_add(rw, (l1[i] & QCOW2_OFFSET) >> q->cluster_bits, 1, delta, err) < 0)
                        return -1;
        }
        return 0;
}

/* Set the "counted once" flags of a table as the new counts have it; whether anything changed. */
static bool flags_renew(const Rewrite *rw, uint64_t *entries)
{
        Qcow2 *q = rw->q;
        bool changed = false;

        for (uint64_t e = 0; e < q->per_table; e++) {
                uint64_t entry = load_be64(&entries[e * q->entry_words]), renewed = entry & ~QCOW2_COPIED;
                uint64_t cluster = (entry & QCOW2_OFFSET) >> q->cluster_bits;

                if (q->h.incompatible & QCOW2_EXTERNAL_DATA) {
                        renewed = entry;
                } else if (!(entry & QCOW2_COMPRESSED) && cluster && cluster < rw->n && rw->counts[cluster] == 1) {
                        renewed |= QCOW2_COPIED;
                }
                if (renewed != entry) {
                        store_be64(&entries[e * q->entry_words], renewed);
                        changed = true;
                }
        }
        return changed;
}

/*
 * Make the active image's tables from an L1 table: every L2 table that `copy_all` or its flags ask for goes to a new
 * place, and so does the L1 table. Counts of what the tables point to are the caller's business.
 */
static int active_build(Rewrite *rw, const uint64_t *l1, uint32_t n, bool copy_all, Qcow2Header *h, Error *err)
{
        Qcow2 *q = rw->q;
        uint64_t bytes = round_up(8ULL * n, q->cluster), at;
        AUTOFREE uint64_t *entries = mem_try(q->cluster), *disk = mem_try(bytes);

        if (!entries || !disk)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for an L2 table", q->file->name);
        for (uint32_t i = 0; i < n; i++) {
                uint64_t old = (l1[i] & QCOW2_OFFSET) >> q->cluster_bits;

                if (!old)
                        continue;
                if (read_table(q, l1[i], entries, err) < 0)
                        return -1;
                if (!flags_renew(rw, entries) && !copy_all) {
                        store_be64(&disk[i], (l1[i] & QCOW2_OFFSET) | (rw->counts[old] == 1 ? QCOW2_COPIED : 0));
                        continue;
                }
                if (!copy_all && rewrite_add(rw, old, 1, -1, err) < 0)
                        return -1;
                if (rewrite_alloc(rw, 1, &at, err) < 0)
                        return -1;
                if (image_file_write(q->file, at, entries, q->cluster, err) < 0)
                        return err_prefix(err, "L2 table");
                store_be64(&disk[i], at | QCOW2_COPIED);
        }
        h->l1_size = n;
        h->l1_offset = 0;
        if (n == 0)
                return 0;
        if (rewrite_alloc(rw, bytes >> q->cluster_bits, &h->l1_offset, err) < 0)
                return -1;
        return image_file_write(q->file, h->l1_offset, disk, bytes, err) < 0 ? err_prefix(err, "L1 table") : 0;
}

static void choose_id(const ImageSnapshots *list, ImageSnapshot *s)
{
        uint64_t highest = 0, id;

        for (size_t i = 0; i < list->len; i++)
                if (str_to_u64(list->items[i].id, &id) == 0)
                        highest = MAX(highest, id);
        s->id = str_format("%llu", (unsigned long long)(highest + 1));
}

static ImageSnapshot *find_by_name(const ImageSnapshots *list, const char *name)
{
        for (size_t i = 0; i < list->len; i++)
                if (str_eq(list->items[i].name, name))
                        return &list->items[i];
        return NULL;
}

/* Ids go first, as they do for QEMU. */
static ImageSnapshot *find(const ImageSnapshots *list, const char *id_or_name)
{
        for (size_t i = 0; i < list->len; i++)
                if (str_eq(list->items[i].id, id_or_name))
                        return &list->items[i];
        return find_by_name(list, id_or_name);
}

static int refuse_external(const Qcow2 *q, Error *err)
{
        if (!(q->h.incompatible & QCOW2_EXTERNAL_DATA))
                return 0;
        return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': an image with an external data file has no snapshots",
                       q->file->name);
}

static int create_with(Qcow2 *q, ImageSnapshots *list, const ImageSnapshot *what, Error *err)
{
        AUTO(Rewrite) rw = { 0 };
        Qcow2Header h;
        ImageSnapshot made = *what;
        uint64_t old_length;

        if (rewrite_begin(&rw, q, err) < 0 || qcow2_snapshots_length(q, &old_length, err) < 0)
                return -1;
        h = q->h;
        made.l1_offset = q->h.l1_offset;
        made.l1_size = q->h.l1_size;
        made.disk_size = q->h.size;
        made.name = str_dup(what->name);
        choose_id(list, &made);
        vec_push(list, made);
        if (count_tree(&rw, q->l1, q->h.l1_size, false, 1, err) < 0 ||
            active_build(&rw, q->l1, q->h.l1_size, true, &h, err) < 0 ||
            table_rewrite(&rw, list, old_length, &h, err) < 0)
                return -1;
        return rewrite_finish(&rw, &h, true, err);
}

int qcow2_snapshot_create(Image *image, const ImageSnapshot *what, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        ImageSnapshots list;
        int r;

        if (strlen(what->name) > LONGEST_NAME)
                return err_set(err, ERR_INVALID_ARG, "a snapshot's name has at most %d bytes, not %zu", LONGEST_NAME,
                               strlen(what->name));
        if (refuse_external(q, err) < 0 || qcow2_snapshots_read(q, &list, err) < 0)
                return -1;
        r = create_with(q, &list, what, err);
        image_snapshots_done(&list);
        return r;
}

static int apply_with(Qcow2 *q, const ImageSnapshot *s, Error *err)
{
        AUTO(Rewrite) rw = { 0 };
        AUTOFREE uint64_t *l1 = NULL;
        uint64_t old_l1_clusters;
        Qcow2Header h;

        if (rewrite_begin(&rw, q, err) < 0 || qcow2_l1_load(q, s->l1_offset, s->l1_size, &l1, err) < 0)
                return -1;
        h = q->h;
        h.size = s->disk_size;
        old_l1_clusters = div_up(8ULL * q->h.l1_size, q->cluster);
        if (h.size > 0 && s->l1_size < div_up(h.size, q->per_table << q->cluster_bits))
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s': the L1 table of snapshot '%s' is too short for its disk", q->file->name,
                               s->name);
        if (count_tree(&rw, l1, s->l1_size, false, 1, err) < 0 ||
            count_tree(&rw, q->l1, q->h.l1_size, true, -1, err) < 0 ||
            rewrite_add(&rw, q->h.l1_offset >> q->cluster_bits, old_l1_clusters, -1, err) < 0 ||
            active_build(&rw, l1, s->l1_size, true, &h, err) < 0)
                return -1;
        return rewrite_finish(&rw, &h, true, err);
}

int qcow2_snapshot_apply(Image *image, const char *name, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        const ImageSnapshot *s;
        ImageSnapshots list;
        int r = -1;

        if (qcow2_snapshots_read(q, &list, err) < 0)
                return -1;
        s = find(&list, name);
        if (!s)
                err_set(err, ERR_NO_DOMAIN_SNAPSHOT, "Could not apply snapshot '%s': snapshot not found", name);
        else if (q->h.bitmaps.n) /* they do not know what that changes */
                err_set(err, ERR_OPERATION_INVALID, "Could not apply snapshot '%s': Device has active dirty bitmaps",
                        name);
        else
                r = apply_with(q, s, err);
        image_snapshots_done(&list);
        if (r == 0)
                image->size = image->about.virtual_size = q->h.size;
        return r;
}

static int delete_with(Qcow2 *q, ImageSnapshots *list, size_t at, Error *err)
{
        ImageSnapshot s = list->items[at];
        AUTO(Rewrite) rw = { 0 };
        AUTOFREE uint64_t *l1 = NULL;
        uint64_t old_length, old_l1 = q->h.l1_offset, old_l1_clusters = div_up(8ULL * q->h.l1_size, q->cluster);
        Qcow2Header h;

        if (rewrite_begin(&rw, q, err) < 0 || qcow2_snapshots_length(q, &old_length, err) < 0 ||
            qcow2_l1_load(q, s.l1_offset, s.l1_size, &l1, err) < 0)
                return -1;
        h = q->h;
        if (count_tree(&rw, l1, s.l1_size, true, -1, err) < 0 ||
            rewrite_add(&rw, s.l1_offset >> q->cluster_bits, div_up(8ULL * s.l1_size, q->cluster), -1, err) < 0 ||
            rewrite_add(&rw, old_l1 >> q->cluster_bits, old_l1_clusters, -1, err) < 0 ||
            active_build(&rw, q->l1, q->h.l1_size, false, &h, err) < 0)
                return -1;
        free(s.id);
        free(s.name);
        vec_remove(list, at);
        if (table_rewrite(&rw, list, old_length, &h, err) < 0)
                return -1;
        return rewrite_finish(&rw, &h, true, err);
}

int qcow2_snapshot_delete(Image *image, const char *name, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        const ImageSnapshot *s;
        ImageSnapshots list;
        int r = -1;

        if (qcow2_snapshots_read(q, &list, err) < 0)
                return -1;
        s = find_by_name(&list, name);
        if (!s)
                err_set(err, ERR_NO_DOMAIN_SNAPSHOT, "Could not delete snapshot '%s': snapshot not found", name);
        else
                r = delete_with(q, &list, (size_t)(s - list.items), err);
        image_snapshots_done(&list);
        return r;
}

int qcow2_snapshot_show(Image *image, const char *name, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        const ImageSnapshot *s;
        ImageSnapshots list;
        uint64_t *l1 = NULL;
        int r = -1;

        if (image->writable)
                return err_set(err, ERR_OPERATION_INVALID, "'%s' is open for writing", image_name(image));
        if (qcow2_snapshots_read(q, &list, err) < 0)
                return -1;
        s = find(&list, name);
        if (!s)
                err_set(err, ERR_NO_DOMAIN_SNAPSHOT, "Failed to load snapshot: Can't find snapshot '%s'", name);
        else if (s->l1_size < div_up(s->disk_size, q->per_table << q->cluster_bits))
                err_set(err, ERR_OPERATION_FAILED, "'%s': the L1 table of snapshot '%s' is too short for its disk",
                        image_name(image), name);
        else
                r = qcow2_l1_load(q, s->l1_offset, s->l1_size, &l1, err);
        if (r == 0) {
                qcow2_tables_drop(q);
                free(q->tables);
                free(q->l1);
                q->l1 = l1;
                q->h.l1_offset = s->l1_offset;
                q->h.l1_size = s->l1_size;
                q->tables = mem_alloc_array(s->l1_size, sizeof(*q->tables));
                image->size = image->about.virtual_size = s->disk_size;
        }
        image_snapshots_done(&list);
        return r;
}

int qcow2_make_empty(Image *image, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        AUTO(Rewrite) rw = { 0 };
        AUTOFREE uint64_t *none = mem_try(8ULL * q->h.l1_size);
        Qcow2Header h;

        if (!none)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the L1 table", image_name(image));
        if (refuse_external(q, err) < 0 || rewrite_begin(&rw, q, err) < 0)
                return -1;
        h = q->h;
        if (count_tree(&rw, q->l1, q->h.l1_size, true, -1, err) < 0 ||
            rewrite_add(&rw, q->h.l1_offset >> q->cluster_bits, div_up(8ULL * q->h.l1_size, q->cluster), -1, err) <
                    0 ||
            active_build(&rw, none, q->h.l1_size, true, &h, err) < 0)
                return -1;
        return rewrite_finish(&rw, &h, true, err);
}
