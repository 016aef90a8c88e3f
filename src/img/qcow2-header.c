/*
 * img/qcow2-header.c - parse and format the qcow2 header
 *
 * Everything a header claims is checked here once, against the limits of the
 * format and with checked arithmetic, so that the rest of the driver can
 * compute with it. Tables are checked for place (aligned, inside 63 bits), not
 * for content.
 */
#include "img/qcow2-header.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/driver.h"

enum {
        EXT_END = 0,
        EXT_BACKING_FORMAT = 0xe2792aca,
        EXT_FEATURE_NAMES = 0x6803f857,
        EXT_BITMAPS = 0x23852875,
        EXT_CRYPTO = 0x0537be77,
        EXT_DATA_FILE = 0x44415441,
        MAX_UNKNOWN = 64 << 10,
};

/* Where the fields stand. */
enum {
        AT_VERSION = 4,
        AT_BACKING_OFFSET = 8,
        AT_BACKING_SIZE = 16,
        AT_CLUSTER_BITS = 20,
        AT_SIZE = 24,
        AT_CRYPT = 32,
        AT_L1_SIZE = 36,
        AT_L1_OFFSET = 40,
        AT_REFTABLE_OFFSET = 48,
        AT_REFTABLE_CLUSTERS = 56,
        AT_N_SNAPSHOTS = 60,
        AT_SNAPSHOTS_OFFSET = 64,
        AT_INCOMPATIBLE = 72,
        AT_COMPATIBLE = 80,
        AT_AUTOCLEAR = 88,
        AT_REFCOUNT_ORDER = 96,
        AT_HEADER_LENGTH = 100,
        AT_COMPRESSION = 104,
};

static const struct {
        uint8_t kind, bit;
        const char *name;
} feature_names[] = {
        { 0, 0, "dirty bit" },        { 0, 1, "corrupt bit" },         { 0, 2, "external data file" },
        { 0, 3, "compression type" }, { 0, 4, "extended L2 entries" }, { 1, 0, "lazy refcounts" },
        { 2, 0, "bitmaps" },          { 2, 1, "raw external data" },
};
enum { FEATURE_NAME_ROOM = 46, FEATURE_ROW = 48 };

static int check_table(const ImageFile *file, uint64_t at, const char *field, uint64_t offset, uint64_t bytes,
                       const Qcow2Header *h, Error *err)
{
        uint64_t end;

        if (offset & (qcow2_cluster_size(h) - 1))
                return image_bad_field(err, file, at, field, "is %llu: not at the start of a cluster",
                                       (unsigned long long)offset);
        if (add_overflows(offset, bytes, &end) || end > INT64_MAX)
                return image_bad_field(err, file, at, field, "is %llu: reaches over the largest file",
                                       (unsigned long long)offset);
        return 0;
}

static int check_geometry(const ImageFile *file, const Qcow2Header *h, Error *err)
{
        uint64_t cluster = qcow2_cluster_size(h);
        uint64_t per_l2, per_l1_entry, needed;

        if (h->incompatible & QCOW2_EXTENDED_L2 && h->cluster_bits < 14)
                return image_bad_field(err, file, AT_CLUSTER_BITS, "cluster_bits",
                                       "is %u: extended L2 entries need at least 14", h->cluster_bits);
        if (h->refcount_order > 6)
                return image_bad_field(err, file, AT_REFCOUNT_ORDER, "refcount_order", "is %u: at most 6 is allowed",
                                       h->refcount_order);
        if (h->l1_size > QCOW2_MAX_L1_BYTES / 8)
                return image_bad_field(err, file, AT_L1_SIZE, "l1_size", "is %u: the L1 table is too large",
                                       h->l1_size);
        per_l2 = cluster / (h->incompatible & QCOW2_EXTENDED_L2 ? 16 : 8);
        per_l1_entry = per_l2 * cluster;
        needed = div_up(h->size, per_l1_entry);
        if (h->size > INT64_MAX || needed > QCOW2_MAX_L1_BYTES / 8)
                return image_bad_field(err, file, AT_SIZE, "size", "is %llu: too large for clusters of %llu bytes",
                                       (unsigned long long)h->size, (unsigned long long)cluster);
        if (h->l1_size < needed)
                return image_bad_field(err, file, AT_L1_SIZE, "l1_size", "is %u: %llu entries are needed", h->l1_size,
                                       (unsigned long long)needed);
        if (check_table(file, AT_L1_OFFSET, "l1_table_offset", h->l1_offset, 8ULL * h->l1_size, h, err) < 0)
                return -1;
        if (h->reftable_clusters * cluster > QCOW2_MAX_REFTABLE_BYTES)
                return image_bad_field(err, file, AT_REFTABLE_CLUSTERS, "refcount_table_clusters",
                                       "is %u: the refcount table is too large", h->reftable_clusters);
        if (h->reftable_clusters == 0)
                return image_bad_field(err, file, AT_REFTABLE_CLUSTERS, "refcount_table_clusters", "is 0");
        if (check_table(file, AT_REFTABLE_OFFSET, "refcount_table_offset", h->reftable_offset,
                        h->reftable_clusters * cluster, h, err) < 0)
                return -1;
        if (h->n_snapshots > QCOW2_MAX_SNAPSHOTS)
                return image_bad_field(err, file, AT_N_SNAPSHOTS, "nb_snapshots", "is %u: at most %d are allowed",
                                       h->n_snapshots, QCOW2_MAX_SNAPSHOTS);
        return h->n_snapshots
                       ? check_table(file, AT_SNAPSHOTS_OFFSET, "snapshots_offset", h->snapshots_offset, 0, h, err)
                       : 0;
}

static int read_fixed(ImageFile *file, Qcow2Header *h, Error *err)
{
        uint8_t head[AT_COMPRESSION + 8] = { 0 };
        size_t n;

        if (file->ops->read(file, 0, head, sizeof(head), &n, err) < 0)
                return -1;
        if (n < QCOW2_V2_HEADER || load_be32(head) != QCOW2_MAGIC)
                return image_bad_field(err, file, 0, "magic", "is not that of a qcow2 image");
        h->version = load_be32(head + AT_VERSION);
        if (h->version != 2 && h->version != 3)
                return image_bad_field(err, file, AT_VERSION, "version", "is %u: 2 and 3 are known", h->version);
        h->cluster_bits = load_be32(head + AT_CLUSTER_BITS);
        if (h->cluster_bits < QCOW2_MIN_CLUSTER_BITS || h->cluster_bits > QCOW2_MAX_CLUSTER_BITS)
                return image_bad_field(err, file, AT_CLUSTER_BITS, "cluster_bits", "is %u: must be %d to %d",
                                       h->cluster_bits, QCOW2_MIN_CLUSTER_BITS, QCOW2_MAX_CLUSTER_BITS);
        h->size = load_be64(head + AT_SIZE);
        h->crypt = load_be32(head + AT_CRYPT);
        if (h->crypt > 2)
                return image_bad_field(err, file, AT_CRYPT, "crypt_method", "is %u: 0, 1 and 2 are known", h->crypt);
        h->l1_size = load_be32(head + AT_L1_SIZE);
        h->l1_offset = load_be64(head + AT_L1_OFFSET);
        h->reftable_offset = load_be64(head + AT_REFTABLE_OFFSET);
        h->reftable_clusters = load_be32(head + AT_REFTABLE_CLUSTERS);
        h->n_snapshots = load_be32(head + AT_N_SNAPSHOTS);
        h->snapshots_offset = load_be64(head + AT_SNAPSHOTS_OFFSET);
        h->refcount_order = 4;
        h->header_length = QCOW2_V2_HEADER;
        if (h->version == 2)
                return 0;
        if (n < QCOW2_V3_HEADER)
                return image_bad_field(err, file, n, "header", "ends too early");
        h->incompatible = load_be64(head + AT_INCOMPATIBLE);
        h->compatible = load_be64(head + AT_COMPATIBLE);
        h->autoclear = load_be64(head + AT_AUTOCLEAR);
        h->refcount_order = load_be32(head + AT_REFCOUNT_ORDER);
        h->header_length = load_be32(head + AT_HEADER_LENGTH);
        if (h->header_length < QCOW2_V3_HEADER || h->header_length > qcow2_cluster_size(h) ||
            h->header_length > QCOW2_HEADER_MAX || h->header_length % 8)
                return image_bad_field(err, file, AT_HEADER_LENGTH, "header_length", "is %u", h->header_length);
        if (h->incompatible & ~(uint64_t)QCOW2_KNOWN_INCOMPATIBLE)
                return image_bad_field(err, file, AT_INCOMPATIBLE, "incompatible_features",
                                       "is 0x%llx: holds features that are not known here",
                                       (unsigned long long)h->incompatible);
        if (h->header_length > AT_COMPRESSION && n > AT_COMPRESSION)
                h->compression = head[AT_COMPRESSION];
        if (h->compression > QCOW2_ZSTD)
                return image_bad_field(err, file, AT_COMPRESSION, "compression_type",
                                       "is %u: 0 (zlib) and 1 (zstd) "
                                       "are known",
                                       (unsigned)h->compression);
        if ((h->compression != QCOW2_ZLIB) != !!(h->incompatible & QCOW2_COMPRESSION_TYPE))
                return image_bad_field(err, file, AT_COMPRESSION, "compression_type",
                                       "does not agree with the feature bit for it");
        return 0;
}

static int keep_unknown(Qcow2Header *h, ImageFile *file, uint64_t at, uint32_t n, Error *err)
{
        size_t padded = round_up(n, 8) + 8;

        if (h->unknown_len + padded > MAX_UNKNOWN)
                return image_bad_field(err, file, at, "header extensions", "take too much room");
        h->unknown = mem_resize(h->unknown, h->unknown_len + padded);
        if (image_file_read_padded(file, at, h->unknown + h->unknown_len, padded, err) < 0)
                return -1;
        h->unknown_len += padded;
        return 0;
}

static int read_bitmaps_extension(ImageFile *file, Qcow2Header *h, uint64_t at, uint32_t n, Error *err)
{
        uint8_t ext[24];

        if (!(h->autoclear & QCOW2_BITMAPS))
                return 0; /* somebody who does not know bitmaps wrote here: they are out of date */
        if (n != sizeof(ext))
                return image_bad_field(err, file, at, "bitmaps extension", "is %u bytes long, not 24", n);
        if (image_file_read(file, at, ext, sizeof(ext), err) < 0)
                return -1;
        h->bitmaps.n = load_be32(ext);
        h->bitmaps.directory_size = load_be64(ext + 8);
        h->bitmaps.directory_offset = load_be64(ext + 16);
        if (h->bitmaps.n == 0 || h->bitmaps.n > QCOW2_MAX_BITMAPS)
                return image_bad_field(err, file, at, "nb_bitmaps", "is %u", h->bitmaps.n);
        if (h->bitmaps.directory_size > QCOW2_MAX_BITMAP_DIRECTORY || h->bitmaps.directory_size == 0)
                return image_bad_field(err, file, at + 8, "bitmap_directory_size", "is %llu",
                                       (unsigned long long)h->bitmaps.directory_size);
        return check_table(file, at + 16, "bitmap_directory_offset", h->bitmaps.directory_offset,
                           h->bitmaps.directory_size, h, err);
}

static int read_extension(ImageFile *file, Qcow2Header *h, uint32_t type, uint64_t at, uint32_t n, Error *err)
{
        uint8_t place[16];

        switch (type) {
        case EXT_BACKING_FORMAT:
                free(h->backing_format);
                h->backing_format = image_read_name(file, at, n, "backing format", err);
                return h->backing_format ? 0 : -1;
        case EXT_DATA_FILE:
                free(h->data_file);
                h->data_file = image_read_name(file, at, n, "data file name", err);
                return h->data_file ? 0 : -1;
        case EXT_BITMAPS:
                return read_bitmaps_extension(file, h, at, n, err);
        case EXT_CRYPTO:
                if (n != sizeof(place))
                        return image_bad_field(err, file, at, "encryption extension", "is %u bytes long, not 16", n);
                if (image_file_read(file, at, place, sizeof(place), err) < 0)
                        return -1;
                h->crypto_offset = load_be64(place);
                h->crypto_length = load_be64(place + 8);
                if (h->crypto_length > QCOW2_MAX_CRYPTO)
                        return image_bad_field(err, file, at + 8, "length of the encryption header", "is %llu",
                                               (unsigned long long)h->crypto_length);
                return check_table(file, at, "place of the encryption header", h->crypto_offset, h->crypto_length, h,
                                   err);
        case EXT_FEATURE_NAMES:
                return 0; /* written anew */
        default:
                return keep_unknown(h, file, at - 8, n, err);
        }
}

static int read_extensions(ImageFile *file, Qcow2Header *h, uint64_t end, Error *err)
{
        uint64_t at = h->header_length;

        while (at + 8 <= end) {
                uint8_t head[8];
                uint32_t type, n;

                if (image_file_read_padded(file, at, head, sizeof(head), err) < 0)
                        return -1;
                type = load_be32(head);
                n = load_be32(head + 4);
                if (type == EXT_END)
                        return 0;
                if (n > end - at - 8)
                        return image_bad_field(err, file, at + 4, "header extension length",
                                               "is %u: reaches over the header", n);
                if (read_extension(file, h, type, at + 8, n, err) < 0)
                        return -1;
                at += 8 + round_up(n, 8);
        }
        return 0;
}

static int read_all(ImageFile *file, Qcow2Header *h, Error *err)
{
        uint8_t name_place[12];
        uint64_t name_offset, end;

        if (read_fixed(file, h, err) < 0 || check_geometry(file, h, err) < 0)
                return -1;
        if (image_file_read(file, AT_BACKING_OFFSET, name_place, sizeof(name_place), err) < 0)
                return -1;
        name_offset = load_be64(name_place);
        end = qcow2_cluster_size(h);
        if (name_offset) {
                if (name_offset > end)
                        return image_bad_field(err, file, AT_BACKING_OFFSET, "backing_file_offset",
                                               "is %llu: not in the first cluster", (unsigned long long)name_offset);
                h->backing_file = image_read_name(file, name_offset, load_be32(name_place + 8), "backing file name",
                                                  err);
                h->name_at = name_offset;
                if (!h->backing_file)
                        return -1;
                if (!*h->backing_file) {
                        free(TAKE(h->backing_file));
                }
                end = MAX(name_offset, (uint64_t)h->header_length);
        }
        if (read_extensions(file, h, end, err) < 0)
                return -1;
        if (h->data_file && !(h->incompatible & QCOW2_EXTERNAL_DATA))
                free(TAKE(h->data_file));
        return 0;
}

int qcow2_header_read(ImageFile *file, Qcow2Header *ret, Error *err)
{
        AUTO(Qcow2Header) h = { 0 };

        if (read_all(file, &h, err) < 0)
                return -1;
        *ret = h;
        h = (Qcow2Header){ 0 };
        return 0;
}

void qcow2_header_done(Qcow2Header *h)
{
        free(h->backing_file);
        free(h->backing_format);
        free(h->data_file);
        free(h->unknown);
        *h = (Qcow2Header){ 0 };
}

static void put_extension(Buf *out, uint32_t type, const void *data, size_t n)
{
        static const uint8_t zeros[8];
        uint8_t head[8];

        store_be32(head, type);
        store_be32(head + 4, (uint32_t)n);
        buf_put(out, head, sizeof(head));
        buf_put(out, data, n);
        buf_put(out, zeros, round_up(n, 8) - n);
}

static void put_fixed(const Qcow2Header *h, Buf *out)
{
        uint8_t head[AT_COMPRESSION + 8] = { 0 };

        store_be32(head, QCOW2_MAGIC);
        store_be32(head + AT_VERSION, h->version);
        store_be32(head + AT_CLUSTER_BITS, h->cluster_bits);
        store_be64(head + AT_SIZE, h->size);
        store_be32(head + AT_CRYPT, h->crypt);
        store_be32(head + AT_L1_SIZE, h->l1_size);
        store_be64(head + AT_L1_OFFSET, h->l1_offset);
        store_be64(head + AT_REFTABLE_OFFSET, h->reftable_offset);
        store_be32(head + AT_REFTABLE_CLUSTERS, h->reftable_clusters);
        store_be32(head + AT_N_SNAPSHOTS, h->n_snapshots);
        store_be64(head + AT_SNAPSHOTS_OFFSET, h->snapshots_offset);
        store_be64(head + AT_INCOMPATIBLE, h->incompatible);
        store_be64(head + AT_COMPATIBLE, h->compatible);
        store_be64(head + AT_AUTOCLEAR, h->autoclear);
        store_be32(head + AT_REFCOUNT_ORDER, h->refcount_order);
        store_be32(head + AT_HEADER_LENGTH, sizeof(head));
        head[AT_COMPRESSION] = (uint8_t)h->compression;
        buf_put(out, head, h->version == 2 ? QCOW2_V2_HEADER : sizeof(head));
}

static void put_feature_names(Buf *out)
{
        char rows[ARRAY_LEN(feature_names)][FEATURE_ROW] = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(feature_names); i++) {
                rows[i][0] = (char)feature_names[i].kind;
                rows[i][1] = (char)feature_names[i].bit;
                memcpy(rows[i] + 2, feature_names[i].name,
                       MIN(strlen(feature_names[i].name), (size_t)FEATURE_NAME_ROOM));
        }
        put_extension(out, EXT_FEATURE_NAMES, rows, sizeof(rows));
}

static void put_extensions(const Qcow2Header *h, bool with_names, Buf *out)
{
        uint8_t ext[24] = { 0 };

        if (h->backing_format)
                put_extension(out, EXT_BACKING_FORMAT, h->backing_format, strlen(h->backing_format));
        if (h->data_file)
                put_extension(out, EXT_DATA_FILE, h->data_file, strlen(h->data_file));
        if (h->crypto_offset) {
                store_be64(ext, h->crypto_offset);
                store_be64(ext + 8, h->crypto_length);
                put_extension(out, EXT_CRYPTO, ext, 16);
        }
        if (h->bitmaps.n) {
                store_be32(ext, h->bitmaps.n);
                store_be32(ext + 4, 0);
                store_be64(ext + 8, h->bitmaps.directory_size);
                store_be64(ext + 16, h->bitmaps.directory_offset);
                put_extension(out, EXT_BITMAPS, ext, sizeof(ext));
        }
        buf_put(out, h->unknown, h->unknown_len);
        if (with_names)
                put_feature_names(out);
        put_extension(out, EXT_END, NULL, 0);
}

/* Where the backing file's name goes that does not fit in the first sector: not to where the one stands that counts. */
static size_t place_name(const Qcow2Header *h, uint64_t cluster)
{
        uint64_t first = 2ULL * QCOW2_SECTOR, second = first + 2ULL * (IMAGE_NAME_MAX + 1);

        if (second + IMAGE_NAME_MAX > cluster)
                return 0;
        return (size_t)(h->name_at < first + IMAGE_NAME_MAX && h->name_at + IMAGE_NAME_MAX > first ? second : first);
}

/*
 * A sector reaches the disk whole or not at all. So what is in use stands in the first one; the names of the features,
 * which are for people, are there when they leave room.
 */
int qcow2_header_format(const Qcow2Header *h, const char *name, Qcow2HeaderBytes *ret, Error *err)
{
        AUTO(Buf) out = { 0 };
        uint64_t cluster = qcow2_cluster_size(h);
        size_t name_n = h->backing_file ? strlen(h->backing_file) : 0, name_at;

        put_fixed(h, &out);
        put_extensions(h, h->version >= 3, &out);
        if (h->version >= 3 && out.len + name_n > QCOW2_SECTOR) {
                buf_clear(&out);
                put_fixed(h, &out);
                put_extensions(h, false, &out);
        }
        name_at = out.len;
        if (out.len <= QCOW2_SECTOR && out.len + name_n > QCOW2_SECTOR && place_name(h, cluster))
                name_at = place_name(h, cluster);
        if (name_at + name_n > cluster || name_n > IMAGE_NAME_MAX)
                return err_set(err, ERR_INVALID_ARG,
                               "'%s': the header with its file names does not fit in %llu bytes", name,
                               (unsigned long long)cluster);
        *ret = (Qcow2HeaderBytes){ .bytes = mem_alloc(cluster), .end = out.len };
        memcpy(ret->bytes, out.data, out.len);
        if (h->backing_file) {
                ret->name_at = name_at;
                ret->name_n = name_n;
                memcpy(ret->bytes + name_at, h->backing_file, name_n);
                store_be64(ret->bytes + AT_BACKING_OFFSET, name_at);
                store_be32(ret->bytes + AT_BACKING_SIZE, (uint32_t)name_n);
        }
        return 0;
}
