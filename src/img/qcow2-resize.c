/*
 * img/qcow2-resize.c - create, grow, shrink, take room in advance
 *
 * A new size, a new L1 table and its place change with one write of the
 * header's first sector.
 */
#include "img/qcow2.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

enum { DEFAULT_CLUSTER_BITS = 16 };

static uint64_t l1_entries_for(const Qcow2 *q, uint64_t size)
{
        return div_up(size, q->per_table << q->cluster_bits);
}

/* The L1 table with room for n entries, in a new place. The old one is unlinked once the header points away. */
static int l1_move(Qcow2 *q, uint32_t n, uint64_t new_size, Error *err)
{
        uint64_t bytes = round_up(8ULL * n, q->cluster), at;
        uint64_t old_offset = q->h.l1_offset, old_clusters = div_up(8ULL * q->h.l1_size, q->cluster);
        AUTOFREE uint64_t *disk = mem_try(bytes);
        Qcow2Table **tables = mem_try(n * sizeof(*tables));
        uint64_t *l1 = mem_try(8ULL * n);
        bool wrote = false;

        if (!disk || !tables || !l1) {
                free(tables);
                free(l1);
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for the L1 table", q->file->name);
        }
        memcpy(l1, q->l1, 8ULL * q->h.l1_size);
        memcpy(tables, q->tables, q->h.l1_size * sizeof(*tables));
        free(q->l1);
        free(q->tables);
        q->l1 = l1;
        q->tables = tables;
        for (uint32_t i = 0; i < q->h.l1_size; i++)
                store_be64(&disk[i], l1[i]);
        if (qcow2_alloc(q, bytes >> q->cluster_bits, &at, err) < 0)
                return -1;
        q->file_end = MAX(q->file_end, at + bytes);
        if (qcow2_refcounts_write(q, &wrote, err) < 0 || image_file_write(q->file, at, disk, bytes, err) < 0 ||
            image_file_flush(q->file, err) < 0)
                return -1;
        q->h.l1_offset = at;
        q->h.l1_size = n;
        q->h.size = new_size;
        if (qcow2_header_store(q, err) < 0 || image_file_flush(q->file, err) < 0)
                return -1;
        if (old_clusters)
                qcow2_unlink(q, old_offset >> q->cluster_bits, old_clusters);
        return 0;
}

/* Room in the L1 table for a disk of `size`; the header says `new_size` when the table is moved. */
static int l1_reach(Qcow2 *q, uint64_t size, uint64_t new_size, bool *moved, Error *err)
{
        uint64_t needed = l1_entries_for(q, size);

        *moved = needed > q->h.l1_size;
        if (needed > QCOW2_MAX_L1_BYTES / 8)
                return err_set(err, ERR_OVERFLOW, "'%s': %llu bytes are too many for clusters of %llu bytes",
                               q->file->name, (unsigned long long)size, (unsigned long long)q->cluster);
        return *moved ? l1_move(q, (uint32_t)needed, new_size, err) : 0;
}

static int set_size(Qcow2 *q, uint64_t size, Error *err)
{
        bool moved;

        if (l1_reach(q, size, size, &moved, err) < 0)
                return -1;
        if (moved)
                return 0;
        q->h.size = size;
        return qcow2_header_store(q, err) < 0 ? -1 : image_file_flush(q->file, err);
}

/* Clusters of the guest range get places in the file, one after the other. */
static int place_clusters(Qcow2 *q, uint64_t first, uint64_t last, uint64_t *data_end, Error *err)
{
        /* Ciphertext nobody wrote would be read as noise: these places say they hold zeros. */
        bool unwritten = q->h.crypt && q->h.version >= 3;

        for (uint64_t at = first; at < last;) {
                uint64_t table_end = MIN((at / q->per_table + 1) * q->per_table, last), host, n = table_end - at;
                Qcow2Table *table;

                if (qcow2_table_own(q, (uint32_t)(at / q->per_table), &table, err) < 0)
                        return -1;
                if (q->h.incompatible & QCOW2_EXTERNAL_DATA)
                        host = at << q->cluster_bits;
                else if (qcow2_alloc_some(q, n, &host, &n, err) < 0)
                        return -1;
                for (uint64_t i = 0; i < n; i++) {
                        uint64_t word = (at + i) % q->per_table * q->entry_words;

                        /* Version 2 kept zeros there when a disk with a backing file was cut. */
                        qcow2_entry_unlink(q, load_be64(&table->entries[word]));
                        store_be64(&table->entries[word],
                                   (host + (i << q->cluster_bits)) | QCOW2_COPIED |
                                           (unwritten && q->entry_words == 1 ? QCOW2_ZERO : 0));
                        if (q->entry_words == 2)
                                store_be64(&table->entries[word + 1],
                                           unwritten ? (uint64_t)UINT32_MAX << 32 : UINT32_MAX);
                }
                qcow2_table_touch(table, at % q->per_table * q->entry_words);
                qcow2_table_touch(table, (at + n) % q->per_table ? (at + n) % q->per_table * q->entry_words - 1
                                                                 : q->cluster / 8 - 1);
                at += n;
                *data_end = MAX(*data_end, host + (n << q->cluster_bits));
        }
        return 0;
}

static int preallocate(Qcow2 *q, uint64_t from, uint64_t to, ImagePreallocation room, Error *err)
{
        uint64_t first = div_up(from, q->cluster), last = div_up(to, q->cluster);
        uint64_t begin = q->file_end, end = 0;
        bool external = q->h.incompatible & QCOW2_EXTERNAL_DATA;
        ImageFile *file = qcow2_data_file(q);

        if (place_clusters(q, first, last, &end, err) < 0)
                return -1;
        if (external)
                begin = round_down(from, q->cluster);
        else
                q->file_end = MAX(q->file_end, end);
        if (end <= begin)
                return 0;
        if (room == PREALLOCATE_FULL)
                return image_file_write_zeros(file, begin, end - begin, err);
        if (room == PREALLOCATE_FALLOC)
                return image_file_reserve(file, begin, end - begin, err);
        return external ? 0 : image_file_truncate(file, end, err);
}

/* Nothing behind `size` may come back when the image grows again. */
static int cut_off(Image *image, uint64_t size, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        uint64_t keep = l1_entries_for(q, size);

        if (qcow2_zero(image, size, image->size - size, IMAGE_ZERO_UNMAP, err) < 0)
                return -1;
        pthread_mutex_lock(&q->lock);
        for (uint64_t i = keep; i < q->h.l1_size; i++)
                qcow2_table_forget(q, (uint32_t)i);
        pthread_mutex_unlock(&q->lock);
        return qcow2_flush_all(q, err);
}

/* The grown part reads as zeros, also where a longer backing image would show through. */
static int hide_backing(Image *image, uint64_t from, uint64_t to, Error *err)
{
        uint64_t below = image->backing ? image->backing->size : 0;

        if (below <= from)
                return 0;
        return qcow2_zero(image, from, MIN(below, to) - from, IMAGE_ZERO_UNMAP, err);
}

static int make_hidden_room(Image *image, uint64_t size, ImagePreallocation room, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        uint64_t old = image->size;
        bool moved;
        int r;

        pthread_mutex_lock(&q->lock);
        r = qcow2_commit(q, err);
        if (r == 0)
                r = qcow2_bitmaps_resize(q, old, size, err);
        if (r == 0)
                r = l1_reach(q, size, old, &moved, err);
        qcow2_bitmaps_resized(q, r == 0);
        if (r == 0)
                image->size = size;
        if (r == 0 && room != PREALLOCATE_OFF)
                r = preallocate(q, old, size, room, err);
        pthread_mutex_unlock(&q->lock);
        /* Clusters that were placed hide it; the one that the old end is in is not among them. */
        if (r == 0)
                r = hide_backing(image, old, room == PREALLOCATE_OFF ? size : MIN(size, round_up(old, q->cluster)),
                                 err);
        return r < 0 ? -1 : qcow2_flush_all(q, err);
}

/* The backing image goes on behind the old end: what hides it is on the disk before the new size is. */
static int grow_over_backing(Image *image, uint64_t size, ImagePreallocation room, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        uint64_t old = image->size;
        int r = make_hidden_room(image, size, room, err);

        if (r == 0) {
                pthread_mutex_lock(&q->lock);
                r = set_size(q, size, err);
                q->broken |= r < 0; /* nobody knows which size is on disk */
                pthread_mutex_unlock(&q->lock);
        }
        if (r < 0)
                image->size = q->h.size = old;
        return r;
}

int qcow2_resize(Image *image, uint64_t size, ImagePreallocation room, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        uint64_t old = image->size;
        int r;

        if (size % 512)
                return err_set(err, ERR_INVALID_ARG, "The new size must be a multiple of 512");
        if (qcow2_begin_writing(q, err) < 0)
                return -1;
        if (size < old && cut_off(image, size, err) < 0)
                return -1;
        if (size > old && image->backing && image->backing->size > old)
                return grow_over_backing(image, size, room, err);
        pthread_mutex_lock(&q->lock);
        r = qcow2_commit(q, err);
        if (r == 0)
                r = qcow2_bitmaps_resize(q, old, size, err);
        if (r == 0)
                r = set_size(q, size, err);
        qcow2_bitmaps_resized(q, q->h.size == size);
        if (r == 0)
                image->size = size;
        if (r == 0 && size > old && room != PREALLOCATE_OFF)
                r = preallocate(q, old, size, room, err);
        pthread_mutex_unlock(&q->lock);
        return r < 0 ? -1 : qcow2_flush_all(q, err);
}

static int header_for(const ImageFile *file, const ImageCreate *how, Qcow2Header *h, Error *err)
{
        unsigned cluster = how->cluster_size ? how->cluster_size : 1u << DEFAULT_CLUSTER_BITS;
        unsigned bits = how->refcount_bits ? how->refcount_bits : 16;

        *h = (Qcow2Header){ .version = how->version ? how->version : 3 };
        if (cluster & (cluster - 1) || cluster < 1 << QCOW2_MIN_CLUSTER_BITS || cluster > 1 << QCOW2_MAX_CLUSTER_BITS)
                return err_set(err, ERR_INVALID_ARG, "Cluster size must be a power of two between 512 and 2048k");
        if (bits > 64 || bits & (bits - 1))
                return err_set(err, ERR_INVALID_ARG,
                               "Refcount width must be a power of two and may not exceed 64 bits");
        if (h->version < 3 && bits != 16)
                return err_set(err, ERR_INVALID_ARG,
                               "Different refcount widths than 16 bits require compatibility level "
                               "1.1 or above (use version=v3 or greater)");
        if (h->version < 3 && (how->zstd || how->lazy_refcounts || how->extended_l2 || how->data_file_name))
                return err_set(err, ERR_INVALID_ARG,
                               "compression_type, lazy_refcounts, extended_l2 and data_file need "
                               "compatibility level 1.1");
        if (how->extended_l2 && cluster < 16384)
                return err_set(err, ERR_INVALID_ARG,
                               "Extended L2 entries are only supported with cluster sizes of at "
                               "least 16384 bytes");
        if (how->data_file_raw && !how->data_file_name)
                return err_set(err, ERR_INVALID_ARG, "data-file-raw requires data-file");
        if (how->data_file_raw && how->backing_file)
                return err_set(err, ERR_INVALID_ARG,
                               "Backing file and data-file-raw cannot be used at the same time");
        if (how->data_file_name && !how->data_file)
                return err_set(err, ERR_INVALID_ARG, "'%s': the data file was not opened", file->name);
        h->cluster_bits = (unsigned)__builtin_ctz(cluster);
        h->refcount_order = (unsigned)__builtin_ctz(bits);
        h->compression = how->zstd ? QCOW2_ZSTD : QCOW2_ZLIB;
        h->incompatible = (how->zstd ? QCOW2_COMPRESSION_TYPE : 0) | (how->extended_l2 ? QCOW2_EXTENDED_L2 : 0) |
                          (how->data_file_name ? QCOW2_EXTERNAL_DATA : 0);
        h->compatible = how->lazy_refcounts ? QCOW2_LAZY_REFCOUNTS : 0;
        h->autoclear = how->data_file_raw ? QCOW2_RAW_EXTERNAL_DATA : 0;
        h->backing_file = str_dup(how->backing_file);
        h->backing_format = str_dup(how->backing_format);
        h->data_file = str_dup(how->data_file_name);
        h->reftable_offset = cluster;
        h->reftable_clusters = 1;
        return 0;
}

/* Header, refcount table and one refcount block that counts the three. */
static int lay_out(ImageFile *file, const Qcow2Header *h, Error *err)
{
        uint64_t cluster = qcow2_cluster_size(h);
        AUTOFREE uint8_t *rest = mem_try(2 * cluster);
        Qcow2HeaderBytes head;
        int r;

        if (!rest)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a cluster", file->name);
        if (qcow2_header_format(h, file->name, &head, err) < 0)
                return -1;
        store_be64(rest, 2 * cluster);
        for (uint64_t i = 0; i < 3; i++)
                qcow2_count_set(rest + cluster, h->refcount_order, i, 1);
        r = image_file_write(file, cluster, rest, 2 * cluster, err);
        if (r == 0)
                r = image_file_write(file, 0, head.bytes, cluster, err);
        free(head.bytes);
        return r;
}

/* An Image that borrows its file, for the time of laying it out. */
static int fill_in(ImageFile *file, const ImageCreate *how, Error *err)
{
        Image *image = image_open(file, IMAGE_FORMAT_QCOW2, IMAGE_WRITE, err);
        int r;

        if (!image)
                return -1;
        image->data_file = how->data_file;
        qcow2_of(image)->filling = true;
        if (how->encrypt && qcow2_crypt_create(image, &how->luks, err) < 0)
                r = -1;
        else if (how->data_file && image_file_truncate(how->data_file, how->size, err) < 0)
                r = -1;
        else
                r = qcow2_resize(image, round_up(how->size, 512), how->preallocation, err);
        image->file = NULL;
        image->data_file = NULL;
        return image_close(image, err) < 0 ? -1 : r;
}

int qcow2_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        AUTO(Qcow2Header) h = { 0 };

        if (header_for(file, how, &h, err) < 0 || lay_out(file, &h, err) < 0)
                return -1;
        return fill_in(file, how, err);
}
