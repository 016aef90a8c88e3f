/*
 * img/qcow2-map.c - where guest bytes stand, and reading them
 */
#include "img/qcow2.h"

#include "base/mem.h"
#include "img/bytes.h"

enum { SUBCLUSTERS = 32 };

/* One granule (cluster or subcluster): its kind, and the place of its cluster. */
static Qcow2Kind granule_kind(const Qcow2 *q, uint64_t entry, uint64_t bitmap, unsigned sub, bool *has_host)
{
        *has_host = entry & QCOW2_OFFSET || (q->h.incompatible & QCOW2_EXTERNAL_DATA && entry & QCOW2_COPIED);
        if (entry & QCOW2_COMPRESSED) {
                *has_host = false;
                return QCOW2_PACKED;
        }
        if (q->entry_words == 1) {
                if (q->h.version >= 3 && entry & QCOW2_ZERO)
                        return *has_host ? QCOW2_ZEROS_HELD : QCOW2_ZEROS;
                return *has_host ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
        }
        if (bitmap >> (32 + sub) & 1)
                return *has_host ? QCOW2_ZEROS_HELD : QCOW2_ZEROS;
        return bitmap >> sub & 1 ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
}

static int check_entry(const Qcow2 *q, uint64_t guest, uint64_t entry, uint64_t bitmap, Error *err)
{
        if (!(entry & QCOW2_COMPRESSED) && (entry & QCOW2_OFFSET) & (q->cluster - 1))
                return err_set(
                        err, ERR_OPERATION_FAILED,
                        "'%s': the L2 entry of the cluster at guest offset %llu is 0x%llx: not at the start of a "
                        "cluster",
                        q->file->name, (unsigned long long)guest, (unsigned long long)entry);
        if (q->entry_words == 2 && (bitmap >> 32 & bitmap) != 0)
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s': the subclusters of the cluster at guest offset %llu are both zero and "
                               "allocated (0x%llx)",
                               q->file->name, (unsigned long long)guest, (unsigned long long)bitmap);
        if (q->entry_words == 2 && !(entry & (QCOW2_COMPRESSED | QCOW2_COPIED | QCOW2_OFFSET)) &&
            (bitmap & UINT32_MAX) != 0)
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s': the cluster at guest offset %llu has subclusters and no place", q->file->name,
                               (unsigned long long)guest);
        return 0;
}

int qcow2_place(Qcow2 *q, uint64_t offset, uint64_t length, Qcow2Place *ret, Error *err)
{
        uint64_t per_l1 = q->per_table << q->cluster_bits;
        uint64_t end = MIN(offset + length, (offset / per_l1 + 1) * per_l1), at = offset;
        Qcow2Place place = { .kind = QCOW2_UNALLOCATED };
        Qcow2Table *table;

        if (qcow2_table_get(q, (uint32_t)(offset / per_l1), &table, err) < 0)
                return -1;
        if (!table) {
                *ret = (Qcow2Place){ .kind = QCOW2_UNALLOCATED, .length = end - offset };
                return 0;
        }
        while (at < end) {
                uint64_t index = at % per_l1 >> q->cluster_bits, inside = at & (q->cluster - 1);
                uint64_t entry = load_be64(&table->entries[index * q->entry_words]);
                uint64_t bitmap = q->entry_words == 2 ? load_be64(&table->entries[2 * index + 1]) : 0;
                uint64_t host = (entry & QCOW2_OFFSET) + inside;
                bool has_host, ours = entry & QCOW2_COPIED;
                Qcow2Kind kind = granule_kind(q, entry, bitmap, (unsigned)(inside / q->granule), &has_host);

                if ((at == offset || inside == 0) && check_entry(q, at, entry, bitmap, err) < 0)
                        return -1;
                if (at == offset)
                        place = (Qcow2Place){
                                .kind = kind, .host = has_host ? host : 0, .packed = entry, .ours = ours
                        };
                else if (kind != place.kind || kind == QCOW2_PACKED || ours != place.ours ||
                         (has_host && host != place.host + (at - offset)) || (!has_host && place.host))
                        break;
                at = round_down(at, q->granule) +
                     (kind == QCOW2_PACKED ? q->cluster - round_down(inside, q->granule) : q->granule);
        }
        place.length = MIN(at, end) - offset;
        *ret = place;
        return 0;
}

void qcow2_packed_extent(const Qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *length)
{
        uint64_t sectors = (entry & ~(QCOW2_COMPRESSED | QCOW2_COPIED)) >> q->compressed_shift;

        *offset = entry & ((1ULL << q->compressed_shift) - 1);
        *length = (sectors + 1) * 512 - (*offset & 511);
}

static Codec *codec_borrow(Qcow2 *q)
{
        Codec *codec = NULL;

        pthread_mutex_lock(&q->lock);
        if (q->idle_codecs.len)
                codec = q->idle_codecs.items[--q->idle_codecs.len];
        pthread_mutex_unlock(&q->lock);
        return codec ?: codec_new(q->h.compression == QCOW2_ZSTD ? CODEC_ZSTD : CODEC_DEFLATE);
}

static void codec_return(Qcow2 *q, Codec *codec)
{
        pthread_mutex_lock(&q->lock);
        vec_push(&q->idle_codecs, codec);
        pthread_mutex_unlock(&q->lock);
}

size_t qcow2_pack(Qcow2 *q, const void *data, void *packed)
{
        Codec *codec = codec_borrow(q);
        size_t n = codec_pack(codec, q->image->best_compression ? CODEC_BEST : CODEC_FAST, data, q->cluster, packed,
                              q->cluster);

        codec_return(q, codec);
        return n;
}

/* A part of a compressed cluster: `inside` bytes into it. */
static int read_packed(Qcow2 *q, uint64_t entry, uint64_t inside, void *data, size_t n, Error *err)
{
        AUTOFREE uint8_t *packed = NULL, *whole = NULL;
        uint64_t offset, length;
        void *to = data;
        Codec *codec;
        int r;

        qcow2_packed_extent(q, entry, &offset, &length);
        if (length > 2 * q->cluster)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': a compressed cluster at offset %llu is too long",
                               q->file->name, (unsigned long long)offset);
        packed = malloc(length);
        if (n < q->cluster)
                to = whole = malloc(q->cluster);
        if (!packed || !to)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a compressed cluster", q->file->name);
        if (image_file_read_padded(q->file, offset, packed, length, err) < 0)
                return -1;
        codec = codec_borrow(q);
        r = codec_unpack(codec, packed, length, to, q->cluster, err);
        codec_return(q, codec);
        if (r < 0)
                return err_prefix(err, "'%s': cluster at offset %llu", q->file->name, (unsigned long long)offset);
        if (to != data)
                memcpy(data, whole + inside, n);
        return 0;
}

static int read_place(Qcow2 *q, const Qcow2Place *place, uint64_t offset, void *data, size_t n, Error *err)
{
        switch (place->kind) {
        case QCOW2_UNALLOCATED:
                return image_read_below(q->image, offset, data, n, err);
        case QCOW2_ZEROS:
        case QCOW2_ZEROS_HELD:
                memset(data, 0, n);
                return 0;
        case QCOW2_PACKED:
                return read_packed(q, place->packed, offset & (q->cluster - 1), data, n, err);
        case QCOW2_NORMAL:
                break;
        }
        return qcow2_data_read(q, place->host, offset, data, n, err);
}

int qcow2_read_held(Qcow2 *q, uint64_t offset, void *data, size_t n, Error *err)
{
        while (n) {
                Qcow2Place place;
                int r;

                pthread_mutex_lock(&q->lock);
                r = qcow2_place(q, offset, n, &place, err);
                pthread_mutex_unlock(&q->lock);
                if (r < 0 || read_place(q, &place, offset, data, (size_t)place.length, err) < 0)
                        return -1;
                offset += place.length;
                data = (char *)data + place.length;
                n -= (size_t)place.length;
        }
        return 0;
}

int qcow2_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        int r;

        pthread_rwlock_rdlock(&q->in_use);
        r = qcow2_read_held(q, offset, data, n, err);
        pthread_rwlock_unlock(&q->in_use);
        return r;
}

int qcow2_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        Qcow2Place place, more;
        int r;

        pthread_mutex_lock(&q->lock);
        r = qcow2_place(q, offset, length, &place, err);
        /* Runs go on over the end of a table. */
        while (r == 0 && place.length < length && place.kind != QCOW2_PACKED) {
                if (qcow2_place(q, offset + place.length, length - place.length, &more, err) < 0) {
                        r = -1;
                        break;
                }
                if (more.kind != place.kind || (place.host && more.host != place.host + place.length) ||
                    (!place.host && more.host))
                        break;
                place.length += more.length;
        }
        pthread_mutex_unlock(&q->lock);
        if (r < 0)
                return -1;
        *ret = (ImageExtent){ .start = offset, .length = place.length };
        ret->present = place.kind != QCOW2_UNALLOCATED;
        ret->zero = place.kind == QCOW2_ZEROS || place.kind == QCOW2_ZEROS_HELD;
        ret->data = place.kind == QCOW2_NORMAL || place.kind == QCOW2_PACKED;
        ret->compressed = place.kind == QCOW2_PACKED;
        /* A part of a cluster may be absent where another part of it stands. */
        ret->has_offset = (place.host || place.kind == QCOW2_NORMAL || place.kind == QCOW2_ZEROS_HELD) &&
                          place.kind != QCOW2_PACKED && !q->h.crypt;
        ret->offset = place.host;
        ret->file = ret->has_offset ? image->data_file : NULL;
        return 0;
}
