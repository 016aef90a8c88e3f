/*
 * img/block-map.c - a table of blocks: reading
 */
#include "img/block-map.h"

#include "base/mem.h"
#include "img/bytes.h"

enum { LENGTH_SHIFT = 40, LENGTH_MAX = (1 << 23) - 1, MOST_PARTS = 1 << 23, MOST_PER_PART = 1 << 22 };
#define OFFSET_MASK ((1ULL << LENGTH_SHIFT) - 1)

BlockMap *block_map_new(Image *image, const BlockMapOps *ops, uint64_t block_size, uint64_t per_part, void *more,
                        Error *err)
{
        AUTOFREE void *owned = more;
        uint64_t n = div_up(image->size, block_size);
        BlockMap *map;

        if (per_part > MOST_PER_PART || div_up(n, per_part) > MOST_PARTS) {
                err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': a disk of %llu blocks is larger than is read here",
                        image_name(image), (unsigned long long)n);
                return NULL;
        }
        map = mem_new(BlockMap);
        *map = (BlockMap){ .ops = ops, .block_size = block_size, .n = n, .per_part = per_part, .more = TAKE(owned) };
        map->parts = mem_try(sizeof(*map->parts) * div_up(n, per_part));
        map->nothing = mem_try(sizeof(uint64_t) * per_part);
        pthread_mutex_init(&map->lock, NULL);
        pthread_mutex_init(&map->codec_lock, NULL);
        image->state = map;
        if (!map->parts || !map->nothing) {
                block_map_close(image, NULL);
                err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks", image_name(image));
                return NULL;
        }
        return map;
}

static void block_map_free(BlockMap *map)
{
        for (uint64_t i = 0; map->parts && i < div_up(map->n, map->per_part); i++)
                if (map->parts[i] != map->nothing)
                        free(map->parts[i]);
        for (size_t i = 0; i < map->n_codecs; i++)
                codec_free(map->codecs[i]);
        free(map->codecs);
        free(map->parts);
        free(map->nothing);
        free(map->more);
        vec_done(&map->pending);
        pthread_mutex_destroy(&map->lock);
        pthread_mutex_destroy(&map->codec_lock);
        free(map);
}

int block_map_close(Image *image, Error *err)
{
        BlockMap *map = block_map_of(image);
        int r = 0;

        if (!map)
                return 0;
        if (map->begun)
                r = block_map_flush(image, err);
        block_map_free(map);
        image->state = NULL;
        return r;
}

uint8_t *block_map_read_table(Image *image, uint64_t offset, uint64_t n, unsigned width, Error *err)
{
        AUTOFREE uint8_t *table = NULL;

        if (n > MOST_PER_PART || offset > INT64_MAX / 2) {
                image_bad_field(err, image->file, offset, "table of blocks", "has %llu entries",
                                (unsigned long long)n);
                return NULL;
        }
        table = mem_try(n * width);
        if (!table) {
                err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks", image_name(image));
                return NULL;
        }
        if (image_file_read(image->file, offset, table, n * width, err) < 0)
                return NULL;
        return TAKE(table);
}

uint64_t block_map_part_length(const BlockMap *map, uint64_t part)
{
        return MIN(map->per_part, map->n - part * map->per_part);
}

int block_map_placed(Image *image, uint64_t offset, uint64_t entry_at, uint64_t *ret, Error *err)
{
        if (offset <= BLOCK_ZERO || offset > INT64_MAX / 2)
                return image_bad_field(err, image->file, entry_at, "block entry", "points to offset %llu",
                                       (unsigned long long)offset);
        *ret = offset;
        return 0;
}

int block_map_packed(Image *image, uint64_t offset, uint64_t length, uint64_t entry_at, uint64_t *ret, Error *err)
{
        if (offset > OFFSET_MASK || length > LENGTH_MAX)
                return image_bad_field(err, image->file, entry_at, "entry of a compressed block",
                                       "says %llu bytes at offset %llu", (unsigned long long)length,
                                       (unsigned long long)offset);
        *ret = BLOCK_PACKED | length << LENGTH_SHIFT | offset;
        return 0;
}

bool block_is_placed(uint64_t entry)
{
        return entry > BLOCK_ZERO && !(entry & BLOCK_PACKED);
}

bool block_is_packed(uint64_t entry)
{
        return entry & BLOCK_PACKED;
}

uint64_t block_packed_offset(uint64_t entry)
{
        return entry & OFFSET_MASK;
}

uint64_t block_packed_length(uint64_t entry)
{
        return (entry & ~BLOCK_PACKED) >> LENGTH_SHIFT;
}

int block_map_part(Image *image, uint64_t part, uint64_t **ret, Error *err)
{
        BlockMap *map = block_map_of(image);
        AUTOFREE uint64_t *entries = NULL;
        int r;

        if (!map->parts[part]) {
                entries = mem_try(map->per_part * sizeof(*entries));
                if (!entries)
                        return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks",
                                       image_name(image));
                r = map->ops->load(image, part, entries, err);
                if (r < 0)
                        return -1;
                map->parts[part] = r ? map->nothing : TAKE(entries);
        }
        *ret = map->parts[part];
        return 0;
}

int block_map_entry(Image *image, uint64_t block, uint64_t *ret, Error *err)
{
        const BlockMap *map = block_map_of(image);
        uint64_t *entries;

        if (block_map_part(image, block / map->per_part, &entries, err) < 0)
                return -1;
        *ret = entries[block % map->per_part];
        return 0;
}

/* How many blocks from `block` on stand behind one another as the first one does; at most `most`. */
static int run_length(Image *image, uint64_t block, uint64_t entry, uint64_t most, uint64_t *ret, Error *err)
{
        const BlockMap *map = block_map_of(image);
        uint64_t n = 1, *entries;

        while (n < most) {
                uint64_t inside = (block + n) % map->per_part;
                uint64_t expected = block_is_placed(entry) ? entry + n * map->block_size : entry;

                if (block_map_part(image, (block + n) / map->per_part, &entries, err) < 0)
                        return -1;
                if (entries == map->nothing && entry == BLOCK_ABSENT) {
                        n = MIN(most, n + map->per_part - inside);
                        continue;
                }
                if (entries[inside] != expected)
                        break;
                n++;
        }
        *ret = n;
        return 0;
}

static int map_locked(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, uint64_t *entry, Error *err)
{
        const BlockMap *map = block_map_of(image);
        uint64_t block = offset / map->block_size, n = 1, inside = offset % map->block_size;

        if (block_map_entry(image, block, entry, err) < 0)
                return -1;
        if (!block_is_packed(*entry) &&
            run_length(image, block, *entry, div_up(inside + length, map->block_size), &n, err) < 0)
                return -1;
        *ret = (ImageExtent){ .start = offset, .length = MIN(n * map->block_size - inside, length) };
        ret->present = *entry != BLOCK_ABSENT || map->no_backing;
        ret->zero = *entry == BLOCK_ZERO || (*entry == BLOCK_ABSENT && map->no_backing);
        ret->data = *entry > BLOCK_ZERO;
        ret->compressed = block_is_packed(*entry);
        ret->has_offset = block_is_placed(*entry);
        ret->offset = ret->has_offset ? *entry + inside : 0;
        return 0;
}

static int map_with_entry(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, uint64_t *entry,
                          Error *err)
{
        BlockMap *map = block_map_of(image);
        int r;

        pthread_mutex_lock(&map->lock);
        r = map_locked(image, offset, length, ret, entry, err);
        pthread_mutex_unlock(&map->lock);
        return r;
}

int block_map_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        uint64_t entry;

        return map_with_entry(image, offset, length, ret, &entry, err);
}

Codec *block_map_borrow_codec(BlockMap *map)
{
        Codec *codec = NULL;

        pthread_mutex_lock(&map->codec_lock);
        if (map->n_codecs)
                codec = map->codecs[--map->n_codecs];
        pthread_mutex_unlock(&map->codec_lock);
        return codec ?: codec_new(CODEC_DEFLATE);
}

void block_map_return_codec(BlockMap *map, Codec *codec)
{
        pthread_mutex_lock(&map->codec_lock);
        map->codecs = mem_resize(map->codecs, (map->n_codecs + 1) * sizeof(Codec *));
        map->codecs[map->n_codecs++] = codec;
        pthread_mutex_unlock(&map->codec_lock);
}

/* whole: room for a block. */
int block_map_unpack(Image *image, uint64_t entry, void *whole, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t length = block_packed_length(entry), offset = block_packed_offset(entry);
        AUTOFREE uint8_t *packed = NULL;
        Codec *codec;
        int r;

        if (length == 0 && map->ops->packed_length && map->ops->packed_length(image, &offset, &length, err) < 0)
                return -1;
        if (length <= map->skip || length > LENGTH_MAX)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': the compressed block at offset %llu is %llu bytes",
                               image_name(image), (unsigned long long)offset, (unsigned long long)length);
        packed = mem_try(length);
        if (!packed)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a compressed block", image_name(image));
        if (image_file_read_padded(image->file, offset, packed, length, err) < 0)
                return -1;
        codec = block_map_borrow_codec(map);
        r = codec_unpack(codec, packed + map->skip, length - map->skip, whole, map->block_size, err);
        block_map_return_codec(map, codec);
        return r < 0 ? err_prefix(err, "'%s': block at offset %llu", image_name(image), (unsigned long long)offset)
                     : 0;
}

static int read_packed(Image *image, uint64_t entry, uint64_t inside, void *data, size_t n, Error *err)
{
        AUTOFREE uint8_t *whole = NULL;

        if (inside == 0 && n == block_map_of(image)->block_size)
                return block_map_unpack(image, entry, data, err);
        whole = mem_try(block_map_of(image)->block_size);
        if (!whole)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a compressed block", image_name(image));
        if (block_map_unpack(image, entry, whole, err) < 0)
                return -1;
        memcpy(data, whole + inside, n);
        return 0;
}

int block_map_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        while (n) {
                ImageExtent extent;
                uint64_t entry;
                size_t step;
                int r = 0;

                if (map_with_entry(image, offset, n, &extent, &entry, err) < 0)
                        return -1;
                step = (size_t)extent.length;
                if (!extent.present)
                        r = image_read_below(image, offset, data, step, err);
                else if (extent.zero)
                        memset(data, 0, step);
                else if (extent.compressed)
                        r = read_packed(image, entry, offset % block_map_of(image)->block_size, data, step, err);
                else
                        r = image_file_read_padded(image->file, extent.offset, data, step, err);
                if (r < 0)
                        return -1;
                offset += step;
                data = (char *)data + step;
                n -= step;
        }
        return 0;
}
