/*
 * img/qcow2-write.c - write, store compressed, zero and discard
 *
 * A cluster that is counted once is written in place. Otherwise data goes to
 * new clusters first, and only then does the L2 entry point there; while that
 * is under way the guest clusters stand in `landing`, so that another write to
 * them waits.
 */
#include "img/qcow2.h"

#include "base/mem.h"
#include "img/bytes.h"

#define ALL_SUBCLUSTERS 0xffffffffULL

enum { PACKED_AT_ONCE = 32 }; /* clusters that are given places and written together */

/* A write to new places: whole guest clusters, one after the other here and in the file. */
typedef struct Landing {
        uint64_t first, n; /* guest clusters */
        uint64_t host;
        bool reuse;    /* the place was ours already */
        bool fresh;    /* the place was never written: it reads as zeros */
        bool whole;    /* the old content must be carried over whole */
        bool was_zero; /* what is not written now reads as zeros anyway */
} Landing;

static uint64_t *entry_at(const Qcow2 *q, Qcow2Table *table, uint64_t guest_cluster)
{
        return &table->entries[guest_cluster % q->per_table * q->entry_words];
}

static void entry_set(const Qcow2 *q, Qcow2Table *table, uint64_t guest_cluster, uint64_t entry, uint64_t bitmap)
{
        uint64_t *words = entry_at(q, table, guest_cluster);
        uint64_t word = (uint64_t)(words - table->entries);

        store_be64(words, entry);
        qcow2_table_touch(table, word);
        if (q->entry_words == 2) {
                store_be64(words + 1, bitmap);
                qcow2_table_touch(table, word + 1);
        }
}

/* An uncompressed cluster has its place. In a data file the first one's is offset 0, which says nothing. */
static bool is_held(const Qcow2 *q, uint64_t entry)
{
        bool apart = q->h.incompatible & QCOW2_EXTERNAL_DATA;

        return !(entry & QCOW2_COMPRESSED) && (entry & QCOW2_OFFSET || (apart && entry & QCOW2_COPIED));
}

void qcow2_entry_unlink(Qcow2 *q, uint64_t entry)
{
        uint64_t offset, length, first, last;

        if (q->h.incompatible & QCOW2_EXTERNAL_DATA)
                return;
        if (entry & QCOW2_COMPRESSED) {
                qcow2_packed_extent(q, entry, &offset, &length);
                first = offset >> q->cluster_bits;
                last = (offset + length - 1) >> q->cluster_bits;
                qcow2_unlink(q, first, last - first + 1);
        } else if (entry & QCOW2_OFFSET) {
                qcow2_unlink(q, (entry & QCOW2_OFFSET) >> q->cluster_bits, 1);
        }
}

static bool is_landing(const Qcow2 *q, uint64_t first, uint64_t n)
{
        for (size_t i = 0; i < q->landing.len; i++)
                if (first < q->landing.items[i].first + q->landing.items[i].n &&
                    q->landing.items[i].first < first + n)
                        return true;
        return false;
}

static void landing_begin(Qcow2 *q, uint64_t first, uint64_t n)
{
        vec_push(&q->landing, ((Qcow2Run){ first, n }));
}

static void landing_end(Qcow2 *q, uint64_t first)
{
        for (size_t i = 0; i < q->landing.len; i++) {
                if (q->landing.items[i].first == first) {
                        vec_remove(&q->landing, i);
                        break;
                }
        }
        pthread_cond_broadcast(&q->landed);
}

/* How many clusters from `first` on, at most `most`, need a new place in the same way as the first one. */
static int landing_plan(Qcow2 *q, uint64_t first, uint64_t most, Landing *ret, Error *err)
{
        Landing plan = { .first = first };
        Qcow2Table *table;

        if (qcow2_table_get(q, (uint32_t)(first / q->per_table), &table, err) < 0)
                return -1;
        while (plan.n < most) {
                uint64_t entry = table ? load_be64(entry_at(q, table, first + plan.n)) : 0;
                bool packed = entry & QCOW2_COMPRESSED;
                bool held = is_held(q, entry);
                bool reuse = held && entry & QCOW2_COPIED;
                bool whole = packed || (held && !reuse);
                bool zero = !whole && q->entry_words == 1 && entry & QCOW2_ZERO && q->h.version >= 3;

                if (plan.n == 0) {
                        plan.reuse = reuse;
                        plan.whole = whole;
                        plan.was_zero = zero || (!whole && !reuse && !q->image->backing);
                        plan.host = entry & QCOW2_OFFSET;
                } else if (reuse || plan.reuse || whole != plan.whole) {
                        break;
                }
                plan.n++;
        }
        *ret = plan;
        return 0;
}

static int landing_alloc(Qcow2 *q, Landing *plan, Error *err)
{
        if (q->h.incompatible & QCOW2_EXTERNAL_DATA) {
                plan->host = plan->first << q->cluster_bits;
                return 0;
        }
        if (plan->reuse)
                return 0;
        if (qcow2_alloc_some(q, plan->n, &plan->host, &plan->n, err) < 0)
                return -1;
        plan->fresh = plan->host >= q->file_end;
        q->file_end = MAX(q->file_end, plan->host + (plan->n << q->cluster_bits));
        return 0;
}

/* Point the guest clusters at their new place; granules [from, to) of the first hold data now. */
static int landing_link(Qcow2 *q, const Landing *plan, uint64_t from, uint64_t to, Error *err)
{
        Qcow2Table *table;

        if (qcow2_table_own(q, (uint32_t)(plan->first / q->per_table), &table, err) < 0)
                return -1;
        for (uint64_t i = 0; i < plan->n; i++) {
                uint64_t *words = entry_at(q, table, plan->first + i);
                uint64_t old = load_be64(words), bitmap = 0;

                if (q->entry_words == 2) {
                        uint64_t low = from / q->granule, high = to / q->granule;
                        uint64_t mask = plan->whole || plan->n > 1 ? ALL_SUBCLUSTERS
                                                                   : ((1ULL << high) - 1) & ~((1ULL << low) - 1);

                        bitmap = old & QCOW2_COMPRESSED ? 0 : load_be64(words + 1);
                        bitmap = (bitmap | mask) & ~(mask << 32);
                }
                if (!plan->reuse)
                        qcow2_entry_unlink(q, old);
                entry_set(q, table, plan->first + i, (plan->host + (i << q->cluster_bits)) | QCOW2_COPIED, bitmap);
        }
        return 0;
}

/* Write n bytes, `inside` bytes into the new place, and around them what must be carried over. */
static int landing_write(Qcow2 *q, const Landing *plan, uint64_t inside, const void *data, size_t n, uint64_t *from,
                         uint64_t *to, Error *err)
{
        uint64_t unit = plan->whole ? q->cluster : q->granule;
        uint64_t guest = plan->first << q->cluster_bits, visible;
        AUTOFREE uint8_t *bounce = NULL;

        *from = round_down(inside, unit);
        *to = round_up(inside + n, unit);
        /* Where nothing was written yet zeros stand already, unless that is to be decrypted. */
        if ((*from == inside && *to == inside + n) || (plan->fresh && plan->was_zero && !q->h.crypt))
                return qcow2_data_write(q, plan->host + inside, guest + inside, data, n, err);
        bounce = mem_try(*to - *from);
        if (!bounce)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a cluster", q->file->name);
        visible = MIN(guest + *to, q->image->size) - (guest + *from);
        if (!plan->was_zero && qcow2_read_held(q, guest + *from, bounce, (size_t)visible, err) < 0)
                return -1;
        memcpy(bounce + (inside - *from), data, n);
        return qcow2_data_write(q, plan->host + *from, guest + *from, bounce, *to - *from, err);
}

/* With lock held, which is given back; *done bytes were written. */
static int write_to_new_place(Qcow2 *q, uint64_t offset, const void *data, size_t n, size_t *done, Error *err)
{
        uint64_t inside = offset & (q->cluster - 1), from = 0, to = 0;
        /* A cluster that is written in part goes alone. */
        uint64_t most = inside || n < q->cluster ? 1 : n >> q->cluster_bits;
        uint64_t to_table_end = q->per_table - (offset >> q->cluster_bits) % q->per_table;
        Landing plan;
        int r;

        if (landing_plan(q, offset >> q->cluster_bits, MIN(most, to_table_end), &plan, err) < 0 ||
            landing_alloc(q, &plan, err) < 0) {
                pthread_mutex_unlock(&q->lock);
                return -1;
        }
        *done = MIN(n, (size_t)((plan.n << q->cluster_bits) - inside));
        landing_begin(q, plan.first, plan.n);
        pthread_mutex_unlock(&q->lock);
        r = landing_write(q, &plan, inside, data, *done, &from, &to, err);
        pthread_mutex_lock(&q->lock);
        if (r == 0)
                r = landing_link(q, &plan, from, to, err);
        if (r < 0 && !plan.reuse && !(q->h.incompatible & QCOW2_EXTERNAL_DATA))
                qcow2_unlink(q, plan.host >> q->cluster_bits, plan.n);
        landing_end(q, plan.first);
        pthread_mutex_unlock(&q->lock);
        return r;
}

static int write_some(Qcow2 *q, uint64_t offset, const void *data, size_t n, size_t *done, Error *err)
{
        uint64_t first = offset >> q->cluster_bits;
        Qcow2Place place;

        pthread_mutex_lock(&q->lock);
        while (is_landing(q, first, ((offset + n - 1) >> q->cluster_bits) - first + 1))
                pthread_cond_wait(&q->landed, &q->lock);
        if (qcow2_place(q, offset, n, &place, err) < 0) {
                pthread_mutex_unlock(&q->lock);
                return -1;
        }
        if (place.kind != QCOW2_NORMAL || !place.ours)
                return write_to_new_place(q, offset, data, n, done, err);
        pthread_mutex_unlock(&q->lock);
        *done = (size_t)place.length;
        return qcow2_data_write(q, place.host, offset, data, *done, err);
}

int qcow2_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        int r = qcow2_begin_writing(q, err);

        pthread_rwlock_rdlock(&q->in_use);
        if (r == 0)
                qcow2_bitmaps_touch(q, offset, n);
        while (n && r == 0) {
                size_t done;

                r = write_some(q, offset, data, n, &done, err);
                if (r == 0) {
                        offset += done;
                        data = (const char *)data + done;
                        n -= done;
                }
        }
        pthread_rwlock_unlock(&q->in_use);
        return r;
}

/* With lock held, which stays held. */
static int link_packed(Qcow2 *q, uint64_t guest_cluster, uint64_t at, size_t n, Error *err)
{
        uint64_t sectors = ((at + n - 1) >> 9) - (at >> 9);
        Qcow2Table *table;

        if (qcow2_table_own(q, (uint32_t)(guest_cluster / q->per_table), &table, err) < 0)
                return -1;
        qcow2_entry_unlink(q, load_be64(entry_at(q, table, guest_cluster)));
        entry_set(q, table, guest_cluster, QCOW2_COMPRESSED | sectors << q->compressed_shift | at, 0);
        return 0;
}

/* Without lock: where bytes follow each other in the file too, they are written at once. */
static int write_places(Qcow2 *q, const uint64_t *places, const uint8_t *packed, const uint32_t *lengths,
                        size_t count, Error *err)
{
        size_t i = 0;

        while (i < count) {
                uint64_t at = places[i];
                size_t n = 0;

                do {
                        n += lengths[i++];
                } while (i < count && places[i] == at + n);
                if (image_file_write(q->file, at, packed, n, err) < 0)
                        return -1;
                packed += n;
        }
        return 0;
}

static void unlink_places(Qcow2 *q, const uint64_t *places, const uint32_t *lengths, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                uint64_t first = places[i] >> q->cluster_bits, last = (places[i] + lengths[i] - 1) >> q->cluster_bits;

                qcow2_unlink(q, first, last - first + 1);
        }
}

/* With lock held, which is given back while bytes are written. */
static int write_packed_some(Qcow2 *q, uint64_t guest, const uint8_t *packed, const uint32_t *lengths, size_t count,
                             Error *err)
{
        uint64_t places[PACKED_AT_ONCE];
        size_t placed = 0, linked = 0;
        int r = 0;

        while (is_landing(q, guest, count))
                pthread_cond_wait(&q->landed, &q->lock);
        for (; placed < count && r == 0; placed += r == 0) {
                r = qcow2_alloc_packed(q, lengths[placed], &places[placed], err);
                if (r == 0)
                        q->file_end = MAX(q->file_end, round_up(places[placed] + lengths[placed], q->cluster));
        }
        if (r == 0) {
                landing_begin(q, guest, count);
                pthread_mutex_unlock(&q->lock);
                r = write_places(q, places, packed, lengths, count, err);
                pthread_mutex_lock(&q->lock);
                for (; linked < count && r == 0; linked += r == 0)
                        r = link_packed(q, guest + linked, places[linked], lengths[linked], err);
                landing_end(q, guest);
        }
        unlink_places(q, places + linked, lengths + linked, placed - linked);
        return r;
}

int qcow2_write_packed_run(Image *image, uint64_t offset, const void *packed, const uint32_t *lengths, size_t count,
                           Error *err)
{
        Qcow2 *q = qcow2_of(image);
        uint64_t guest = offset >> q->cluster_bits;
        const uint8_t *bytes = packed;
        int r = qcow2_begin_writing(q, err);

        if (r < 0)
                return -1;
        if (q->h.incompatible & QCOW2_EXTERNAL_DATA)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "'%s': an image with an external data file cannot hold "
                               "compressed clusters",
                               q->file->name);
        pthread_rwlock_rdlock(&q->in_use);
        qcow2_bitmaps_touch(q, offset, MIN(count << q->cluster_bits, image->size - offset));
        pthread_mutex_lock(&q->lock);
        while (count && r == 0) {
                size_t n = MIN(count, (size_t)PACKED_AT_ONCE);

                r = write_packed_some(q, guest, bytes, lengths, n, err);
                for (size_t i = 0; i < n; i++)
                        bytes += lengths[i];
                guest += n;
                lengths += n;
                count -= n;
        }
        pthread_mutex_unlock(&q->lock);
        pthread_rwlock_unlock(&q->in_use);
        return r;
}

/* The entry that stands for zeros, keeping the place when it is ours and may stay. */
static void zero_entry(Qcow2 *q, Qcow2Table *table, uint64_t guest_cluster, unsigned flags)
{
        uint64_t old = load_be64(entry_at(q, table, guest_cluster));
        bool keep = q->h.version >= 3 && is_held(q, old) && old & QCOW2_COPIED &&
                    !(flags & (IMAGE_ZERO_UNMAP | IMAGE_ZERO_DROP));
        bool bare = q->h.version == 2 || (!q->image->backing && !q->h.backing_file);
        uint64_t entry = keep ? old & (QCOW2_OFFSET | QCOW2_COPIED) : 0;

        if (q->entry_words == 2) {
                entry_set(q, table, guest_cluster, entry, bare && !keep ? 0 : ALL_SUBCLUSTERS << 32);
        } else {
                entry_set(q, table, guest_cluster, bare && !keep ? 0 : entry | QCOW2_ZERO, 0);
        }
        if (!keep)
                qcow2_entry_unlink(q, old);
}

static int zero_clusters(Qcow2 *q, uint64_t first, uint64_t n, unsigned flags, Error *err)
{
        int r = 0;

        pthread_mutex_lock(&q->lock);
        while (is_landing(q, first, n))
                pthread_cond_wait(&q->landed, &q->lock);
        for (uint64_t i = first; i < first + n && r == 0;) {
                uint32_t l1_index = (uint32_t)(i / q->per_table);
                uint64_t table_end = MIN((l1_index + 1ULL) * q->per_table, first + n);
                Qcow2Table *table;

                r = qcow2_table_get(q, l1_index, &table, err);
                if (r == 0 && !table && !q->image->backing && !q->h.backing_file) {
                        i = table_end; /* zeros already */
                        continue;
                }
                if (r == 0)
                        r = qcow2_table_own(q, l1_index, &table, err);
                for (; i < table_end && r == 0; i++)
                        zero_entry(q, table, i, flags);
        }
        pthread_mutex_unlock(&q->lock);
        return r;
}

/* Zeros that do not fill a cluster, or that version 2 has no entry for: written, unless they stand there already. */
static int zero_by_writing(Qcow2 *q, uint64_t offset, uint64_t length, Error *err)
{
        size_t step = (size_t)MIN(length, MAX(q->cluster, 1ULL << 20));
        AUTOFREE uint8_t *zeros = mem_try(step);
        int r = 0;

        if (!zeros)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for zeros", q->file->name);
        while (length && r == 0) {
                uint64_t n = MIN(length, (uint64_t)step);
                Qcow2Place place;
                size_t done;

                pthread_mutex_lock(&q->lock);
                r = qcow2_place(q, offset, n, &place, err);
                pthread_mutex_unlock(&q->lock);
                if (r < 0)
                        break;
                done = (size_t)place.length;
                if (place.kind == QCOW2_NORMAL || place.kind == QCOW2_PACKED ||
                    (place.kind == QCOW2_UNALLOCATED && q->image->backing))
                        r = write_some(q, offset, zeros, (size_t)place.length, &done, err);
                offset += done;
                length -= done;
        }
        return r;
}

static int zero_held(Qcow2 *q, uint64_t offset, uint64_t length, unsigned flags, Error *err)
{
        uint64_t end = offset + length;
        uint64_t first = div_up(offset, q->cluster);
        /* The last cluster counts as whole when the image ends inside it. */
        uint64_t last = end == q->image->size ? div_up(end, q->cluster) : end >> q->cluster_bits;
        bool drop = flags & IMAGE_ZERO_DROP;
        bool by_entry = q->h.version >= 3 || !q->h.backing_file;

        if (first >= last)
                return drop ? 0 : zero_by_writing(q, offset, length, err);
        if (!drop && (first << q->cluster_bits) > offset &&
            zero_by_writing(q, offset, (first << q->cluster_bits) - offset, err) < 0)
                return -1;
        if (!drop && (last << q->cluster_bits) < end &&
            zero_by_writing(q, last << q->cluster_bits, end - (last << q->cluster_bits), err) < 0)
                return -1;
        if (by_entry)
                return zero_clusters(q, first, last - first, flags, err);
        if (drop)
                return 0; /* version 2 has no entry that hides the backing image */
        return zero_by_writing(q, first << q->cluster_bits,
                               MIN(last << q->cluster_bits, end) - (first << q->cluster_bits), err);
}

int qcow2_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        int r = qcow2_begin_writing(q, err);

        if (r < 0)
                return -1;
        pthread_rwlock_rdlock(&q->in_use);
        qcow2_bitmaps_touch(q, offset, length);
        r = zero_held(q, offset, length, flags, err);
        if (r == 0 && q->image->data_file)
                r = image_file_zero(q->image->data_file, offset, length, !(flags & IMAGE_ZERO_UNMAP), err);
        pthread_rwlock_unlock(&q->in_use);
        return r;
}
