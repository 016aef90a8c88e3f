/*
 * img/measure.c - how much room an image will take
 */
#include "img/measure.h"

#include "img/bytes.h"

enum { BITMAP_ENTRY = 24 };

/* Data of the source, in whole clusters. */
static int data_bytes(Image *from, uint64_t cluster, uint64_t *ret, Error *err)
{
        uint64_t size = image_size(from), counted_to = 0;

        *ret = 0;
        for (uint64_t at = 0; at < size;) {
                ImageExtent extent;

                if (image_map_chain(from, NULL, at, size - at, &extent, err) < 0)
                        return -1;
                if (!extent.zero && extent.present) {
                        uint64_t first = MAX(round_down(at, cluster), counted_to);

                        counted_to = round_up(at + extent.length, cluster);
                        *ret += counted_to > first ? counted_to - first : 0;
                }
                at += extent.length;
        }
        return 0;
}

static uint64_t refcount_bytes(uint64_t clusters, uint64_t cluster, unsigned bits)
{
        uint64_t per_block = cluster * 8 / bits, blocks = 0, table = 0, n = 0, last;

        do {
                last = n;
                blocks = div_up(clusters + table + blocks, per_block);
                table = div_up(blocks, cluster / 8);
                n = clusters + blocks + table;
        } while (n != last);
        return (blocks + table) * cluster;
}

static uint64_t qcow2_tables(uint64_t size, uint64_t cluster, const ImageCreate *how)
{
        uint64_t entry = how->extended_l2 ? 16 : 8, per_table = cluster / entry, bytes = cluster, entries, tables;

        entries = div_up(div_up(size, cluster), per_table) * per_table;
        bytes += entries * entry;
        tables = div_up(entries * entry / cluster, cluster / 8) * (cluster / 8);
        bytes += tables * 8;
        return bytes +
               refcount_bytes((bytes + size) / cluster, cluster, how->refcount_bits ? how->refcount_bits : 16);
}

/* What all bitmaps of the source take when every bit is set. */
static int measure_bitmaps(Image *from, uint64_t cluster, Measurement *ret, Error *err)
{
        uint64_t directory = 0;
        ImageBitmaps list;

        ret->has_bitmaps = image_has_bitmaps(from);
        if (!ret->has_bitmaps)
                return 0;
        if (image_bitmaps(from, &list, err) < 0)
                return -1;
        for (size_t i = 0; i < list.len; i++) {
                uint64_t bits = div_up(image_size(from), list.items[i].granularity);
                uint64_t clusters = div_up(div_up(bits, 8), cluster);

                ret->bitmaps += clusters * cluster + round_up(clusters * 8, cluster);
                directory += round_up(BITMAP_ENTRY + strlen(list.items[i].name), 8);
        }
        ret->bitmaps += round_up(directory, cluster);
        image_bitmaps_done(&list);
        return 0;
}

int image_measure(Image *from, ImageFormat format, const ImageCreate *how, Measurement *ret, Error *err)
{
        uint64_t cluster = how->cluster_size ? how->cluster_size : 65536, data = 0;
        uint64_t size = round_up(from ? image_size(from) : how->size, 512), whole, header = 0;
        LuksHeader luks;

        if (format == IMAGE_FORMAT_RAW) {
                *ret = (Measurement){ .required = size, .fully_allocated = size };
                return 0;
        }
        if (how->encrypt || format == IMAGE_FORMAT_LUKS) {
                if (luks_plan(&how->luks, &luks, err) < 0)
                        return -1;
                header = (uint64_t)luks.payload * CIPHER_SECTOR;
        }
        if (format == IMAGE_FORMAT_LUKS) {
                *ret = (Measurement){ .required = header + size, .fully_allocated = header + size };
                return 0;
        }
        if (format != IMAGE_FORMAT_QCOW2)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Format driver '%s' does not support measurement",
                               image_format_name(format));
        if (cluster & (cluster - 1) || cluster < 512 || cluster > 2 << 20)
                return err_set(err, ERR_INVALID_ARG, "Cluster size must be a power of two between 512 and 2048k");
        if (from && data_bytes(from, cluster, &data, err) < 0)
                return -1;
        whole = round_up(size, cluster);
        if (how->preallocation >= PREALLOCATE_FALLOC)
                data = whole;
        *ret = (Measurement){ 0 };
        if (from && how->version != 2 && measure_bitmaps(from, cluster, ret, err) < 0)
                return -1;
        ret->fully_allocated = qcow2_tables(whole, cluster, how) + round_up(header, cluster) + whole;
        ret->required = ret->fully_allocated - whole + data;
        return 0;
}
