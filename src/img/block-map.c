/*
 * img/block-map.c - images that are a table of blocks
 */
#include "img/block-map.h"

#include "base/mem.h"
#include "img/bytes.h"

enum { LENGTH_SHIFT = 40, LENGTH_MAX = (1 << 23) - 1 };
#define OFFSET_MASK ((1ULL << LENGTH_SHIFT) - 1)

static BlockMap *map_of(const Image *image)
{
        return image->state;
}

BlockMap *block_map_new(Image *image, uint64_t block_size, Error *err)
{
        uint64_t n = div_up(image->size, block_size);
        BlockMap *map;

        if (n > BLOCK_MOST) {
                err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': a disk of %llu blocks is larger than is read here",
                        image_name(image), (unsigned long long)n);
                return NULL;
        }
        map = mem_new(BlockMap);
        *map = (BlockMap){ .block_size = block_size, .n = n, .at = mem_try(8 * n) };
        pthread_mutex_init(&map->lock, NULL);
        image->state = map;
        if (!map->at) {
                block_map_close(image, NULL);
                err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks", image_name(image));
                return NULL;
        }
        return map;
}

int block_map_close(Image *image, Error *err)
{
        BlockMap *map = map_of(image);

        (void)err;
        if (!map)
                return 0;
        for (size_t i = 0; i < map->n_codecs; i++)
                codec_free(map->codecs[i]);
        free(map->codecs);
        free(map->at);
        pthread_mutex_destroy(&map->lock);
        free(map);
        image->state = NULL;
        return 0;
}

uint8_t *block_map_read_table(Image *image, uint64_t offset, uint64_t n, unsigned width, Error *err)
{
        AUTOFREE uint8_t *table = NULL;

        if (n > BLOCK_MOST || offset > INT64_MAX / 2) {
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

int block_map_set(Image *image, uint64_t i, uint64_t offset, uint64_t entry_at, Error *err)
{
        BlockMap *map = map_of(image);

        if (offset <= BLOCK_ZERO || offset > INT64_MAX / 2)
                return image_bad_field(err, image->file, entry_at, "block entry", "points to offset %llu",
                                       (unsigned long long)offset);
        if (i < map->n)
                map->at[i] = offset;
        return 0;
}

int block_map_set_packed(Image *image, uint64_t i, uint64_t offset, uint64_t length, Error *err)
{
        BlockMap *map = map_of(image);

        if (offset > OFFSET_MASK || length == 0 || length > LENGTH_MAX)
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s': compressed block %llu is %llu bytes long at offset %llu", image_name(image),
                               (unsigned long long)i, (unsigned long long)length, (unsigned long long)offset);
        if (i < map->n)
                map->at[i] = BLOCK_PACKED | length << LENGTH_SHIFT | offset;
        return 0;
}

int block_map_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        const BlockMap *map = map_of(image);
        uint64_t i = offset / map->block_size, at = map->at[i], end = (i + 1) * map->block_size;
        bool placed = at > BLOCK_ZERO && !(at & BLOCK_PACKED);

        (void)err;
        while (end < offset + length && !(at & BLOCK_PACKED) &&
               map->at[end / map->block_size] == (placed ? at + (end - i * map->block_size) : at))
                end += map->block_size;
        *ret = (ImageExtent){ .start = offset, .length = MIN(end - offset, length) };
        ret->present = at != BLOCK_ABSENT;
        ret->zero = at == BLOCK_ZERO;
        ret->data = at > BLOCK_ZERO;
        ret->compressed = at & BLOCK_PACKED;
        ret->has_offset = placed;
        ret->offset = placed ? at + offset % map->block_size : 0;
        return 0;
}

static Codec *codec_borrow(BlockMap *map)
{
        Codec *codec = NULL;

        pthread_mutex_lock(&map->lock);
        if (map->n_codecs)
                codec = map->codecs[--map->n_codecs];
        pthread_mutex_unlock(&map->lock);
        return codec ?: codec_new(CODEC_DEFLATE);
}

static void codec_return(BlockMap *map, Codec *codec)
{
        pthread_mutex_lock(&map->lock);
        map->codecs = mem_resize(map->codecs, (map->n_codecs + 1) * sizeof(Codec *));
        map->codecs[map->n_codecs++] = codec;
        pthread_mutex_unlock(&map->lock);
}

static int read_packed(Image *image, uint64_t at, uint64_t inside, void *data, size_t n, Error *err)
{
        BlockMap *map = map_of(image);
        uint64_t length = (at & ~BLOCK_PACKED) >> LENGTH_SHIFT, offset = at & OFFSET_MASK;
        AUTOFREE uint8_t *packed = mem_try(length), *whole = mem_try(map->block_size);
        Codec *codec;
        int r;

        if (!packed || !whole)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a compressed block", image_name(image));
        if (length <= map->skip)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': the compressed block at offset %llu is too short",
                               image_name(image), (unsigned long long)offset);
        if (image_file_read_padded(image->file, offset, packed, length, err) < 0)
                return -1;
        codec = codec_borrow(map);
        r = codec_unpack(codec, packed + map->skip, length - map->skip, whole, map->block_size, err);
        codec_return(map, codec);
        if (r < 0)
                return err_prefix(err, "'%s': block at offset %llu", image_name(image), (unsigned long long)offset);
        memcpy(data, whole + inside, n);
        return 0;
}

int block_map_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        while (n) {
                ImageExtent extent;
                size_t step;
                int r = 0;

                if (block_map_map(image, offset, n, &extent, err) < 0)
                        return -1;
                step = (size_t)extent.length;
                if (!extent.present)
                        r = image_read_below(image, offset, data, step, err);
                else if (extent.zero)
                        memset(data, 0, step);
                else if (extent.compressed)
                        r = read_packed(image, map_of(image)->at[offset / map_of(image)->block_size],
                                        offset % map_of(image)->block_size, data, step, err);
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
