/*
 * img/block-map-write.c - a table of blocks: writing
 *
 * A block that is there is written in place. A new one is written behind all
 * others and its entry kept in memory; block_map_commit() stores the entries
 * after a flush. What could not be written, as on a full disk, leaves the
 * entries as they were, and the next commit goes on with those that are not
 * stored. A flush that failed ends all writing: nobody knows what is there.
 */
#include "img/block-map.h"

#include "base/mem.h"
#include "img/bytes.h"

enum { PENDING_MOST = 1 << 16, NEW_AT_ONCE = 1024 };

void block_map_writable(BlockMap *map, uint64_t end, uint64_t align)
{
        map->end = end;
        map->align = align;
}

/* The lock is held, and no new block is half written. */
static int begin(Image *image, Error *err)
{
        BlockMap *map = block_map_of(image);

        if (map->broken)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': an earlier write failed", image_name(image));
        if (map->begun)
                return map->pending.len >= PENDING_MOST ? block_map_commit(image, err) : 0;
        if (map->ops->begin && map->ops->begin(image, err) < 0)
                return -1;
        map->begun = true;
        return 0;
}

int block_map_set(Image *image, uint64_t block, uint64_t entry, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t part = block / map->per_part, *entries;

        if (block_map_part(image, part, &entries, err) < 0)
                return -1;
        if (entries == map->nothing) {
                entries = mem_try(map->per_part * sizeof(*entries));
                if (!entries)
                        return err_set(err, ERR_NO_MEMORY, "'%s': no memory for its table of blocks",
                                       image_name(image));
                map->parts[part] = entries;
        }
        entries[block % map->per_part] = entry;
        vec_push(&map->pending, block);
        return 0;
}

static int by_number(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

/* Entries of neighbouring blocks go together. */
static int store_entries(Image *image, Error *err)
{
        BlockMap *map = block_map_of(image);
        const uint64_t *blocks = map->pending.items;
        size_t n = map->pending.len, to;

        for (size_t from = 0; from < n; from = to) {
                uint64_t part = blocks[from] / map->per_part, last = blocks[from];

                for (to = from + 1; to < n && blocks[to] <= last + 1 && blocks[to] / map->per_part == part; to++)
                        last = blocks[to];
                if (map->ops->store(image, blocks[from], last - blocks[from] + 1,
                                    map->parts[part] + blocks[from] % map->per_part, err) < 0)
                        return -1;
        }
        return 0;
}

int block_map_commit(Image *image, Error *err)
{
        BlockMap *map = block_map_of(image);

        if (map->broken)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': an earlier write failed", image_name(image));
        if (!map->pending.len)
                return 0;
        qsort(map->pending.items, map->pending.len, sizeof(uint64_t), by_number);
        if (map->ops->prepare && map->ops->prepare(image, map->pending.items, map->pending.len, err) < 0)
                return -1;
        if (image_file_flush(image->file, err) < 0) {
                map->broken = true;
                return -1;
        }
        if (store_entries(image, err) < 0)
                return -1;
        map->pending.len = 0;
        return 0;
}

int block_map_flush(Image *image, Error *err)
{
        BlockMap *map = block_map_of(image);
        int r;

        pthread_mutex_lock(&map->lock);
        r = block_map_commit(image, err);
        pthread_mutex_unlock(&map->lock);
        if (r < 0)
                return -1;
        r = image_file_flush(image->file, err);
        if (r < 0) {
                pthread_mutex_lock(&map->lock);
                map->broken = true;
                pthread_mutex_unlock(&map->lock);
        }
        return r;
}

int block_map_new_place(Image *image, uint64_t *ret, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t at;

        if (map->ops->place)
                return map->ops->place(image, ret, err);
        at = div_up(map->end, map->align) * map->align + map->before_length;
        if (at > INT64_MAX / 2 - map->block_size)
                return err_set(err, ERR_OVERFLOW, "'%s': the file is too long for another block", image_name(image));
        map->end = at + map->block_size;
        *ret = at;
        return 0;
}

/* Nothing points to the place: the next new block may have it. end: where blocks ended before. */
static void unplace(Image *image, uint64_t at, uint64_t end)
{
        BlockMap *map = block_map_of(image);

        map->end = end;
        if (map->ops->unplace)
                map->ops->unplace(image, at);
}

/* What stands in a new place before data does. whole: the caller writes all of the data. */
static int prepare_place(Image *image, uint64_t at, bool whole, Error *err)
{
        const BlockMap *map = block_map_of(image);

        if (map->before_length &&
            image_file_write(image->file, at - map->before_length, map->before, map->before_length, err) < 0)
                return -1;
        /* What stands there already is from a write that never came to its end. */
        return whole ? 0 : image_file_zero(image->file, at, map->block_size, false, err);
}

/* The part of a block that is not written now, as it was so far: from below, or from a packed block. */
static int fill_around(Image *image, uint64_t block, uint64_t was, uint64_t at, uint64_t inside, size_t n, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t start = block * map->block_size, length = MIN(map->block_size, image->size - start);
        AUTOFREE uint8_t *whole = NULL;
        int r;

        if (was == BLOCK_ZERO || (was == BLOCK_ABSENT && !image->backing) || n == length)
                return 0;
        whole = mem_try(map->block_size);
        if (!whole)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a block", image_name(image));
        if (was == BLOCK_ABSENT)
                r = image_read_below(image, start, whole, length, err);
        else
                r = block_map_unpack(image, was, whole, err);
        if (r < 0 || image_file_write(image->file, at, whole, inside, err) < 0)
                return -1;
        return image_file_write(image->file, at + inside + n, whole + inside + n, length - inside - n, err);
}

/* One block, in part, that is not there yet. data NULL: zeros. */
static int write_into_new(Image *image, uint64_t offset, const void *data, size_t n, uint64_t was, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t block = offset / map->block_size, inside = offset % map->block_size, end = map->end, at;

        if (block_map_new_place(image, &at, err) < 0)
                return -1;
        if (prepare_place(image, at, false, err) < 0 || fill_around(image, block, was, at, inside, n, err) < 0 ||
            (data && image_file_write(image->file, at + inside, data, n, err) < 0) ||
            block_map_set(image, block, at, err) < 0) {
                unplace(image, at, end);
                return -1;
        }
        return 0;
}

/* As many whole blocks as are not there yet. */
static int write_new_blocks(Image *image, uint64_t offset, const void *data, size_t n, size_t *done, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t block = offset / map->block_size, end = map->end, first, entry, at;
        size_t length = map->block_size;
        int r;

        if (block_map_new_place(image, &first, err) < 0)
                return -1;
        r = prepare_place(image, first, true, err);
        while (r == 0 && length + map->block_size <= n && length < NEW_AT_ONCE * map->block_size) {
                if (map->before_length || map->ops->place || map->end % map->align)
                        break;
                r = block_map_entry(image, block + length / map->block_size, &entry, err);
                if (r == 0 && block_is_placed(entry))
                        break;
                if (r == 0)
                        r = block_map_new_place(image, &at, err);
                length += map->block_size;
        }
        if (r < 0 || image_file_write(image->file, first, data, length, err) < 0) {
                unplace(image, first, end);
                return -1;
        }
        for (size_t i = 0; i < length; i += map->block_size)
                if (block_map_set(image, block + i / map->block_size, first + i, err) < 0)
                        return -1;
        *done = length;
        return 0;
}

/* With the lock, which is given back for the time of a write in place. */
static int write_step(Image *image, uint64_t offset, const void *data, size_t n, size_t *done, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t inside = offset % map->block_size, entry, place;
        int r;

        if (begin(image, err) < 0 || block_map_entry(image, offset / map->block_size, &entry, err) < 0)
                return -1;
        if (!block_is_placed(entry)) {
                if (inside == 0 && n >= map->block_size)
                        return write_new_blocks(image, offset, data, n, done, err);
                *done = (size_t)MIN(map->block_size - inside, (uint64_t)n);
                return write_into_new(image, offset, data, *done, entry, err);
        }
        place = entry + inside;
        *done = (size_t)MIN(map->block_size - inside, (uint64_t)n);
        while (*done < n) {
                uint64_t next;

                if (block_map_entry(image, (offset + *done) / map->block_size, &next, err) < 0)
                        return -1;
                if (next != place + *done)
                        break;
                *done = (size_t)MIN(*done + map->block_size, (uint64_t)n);
        }
        pthread_mutex_unlock(&map->lock);
        r = image_file_write(image->file, place, data, *done, err);
        pthread_mutex_lock(&map->lock);
        return r;
}

int block_map_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err)
{
        BlockMap *map = block_map_of(image);
        int r = 0;

        pthread_mutex_lock(&map->lock);
        while (n && r == 0) {
                size_t done = 0;

                r = write_step(image, offset, data, n, &done, err);
                offset += done;
                data = (const char *)data + done;
                n -= done;
        }
        pthread_mutex_unlock(&map->lock);
        return r;
}

/* With the lock. */
static int zero_step(Image *image, uint64_t offset, uint64_t n, uint64_t entry, unsigned flags, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t inside = offset % map->block_size;
        int r;

        if (entry == BLOCK_ZERO || (entry == BLOCK_ABSENT && !image->backing))
                return 0;
        if (begin(image, err) < 0)
                return -1;
        if (!block_is_placed(entry)) {
                if (map->stores_zeros && inside == 0 && n == map->block_size)
                        return block_map_set(image, offset / map->block_size, BLOCK_ZERO, err);
                return write_into_new(image, offset, NULL, (size_t)n, entry, err);
        }
        pthread_mutex_unlock(&map->lock);
        r = image_file_zero(image->file, entry + inside, n, !(flags & (IMAGE_ZERO_UNMAP | IMAGE_ZERO_DROP)), err);
        pthread_mutex_lock(&map->lock);
        return r;
}

int block_map_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err)
{
        BlockMap *map = block_map_of(image);
        int r = 0;

        pthread_mutex_lock(&map->lock);
        while (length && r == 0) {
                uint64_t entry, step = MIN(length, map->block_size - offset % map->block_size);

                r = block_map_entry(image, offset / map->block_size, &entry, err);
                if (r == 0)
                        r = zero_step(image, offset, step, entry, flags, err);
                offset += step;
                length -= step;
        }
        pthread_mutex_unlock(&map->lock);
        return r;
}

/* The driver's part: the packed bytes as they shall stand, with any wrapper. */
int block_map_write_packed(Image *image, uint64_t offset, const void *packed, size_t n, Error *err)
{
        BlockMap *map = block_map_of(image);
        uint64_t entry;
        int r;

        pthread_mutex_lock(&map->lock);
        r = begin(image, err);
        if (r == 0)
                r = block_map_packed(image, map->end, map->ops->packed_length ? 0 : n, map->end, &entry, err);
        if (r == 0)
                r = image_file_write(image->file, map->end, packed, n, err);
        if (r == 0)
                r = block_map_set(image, offset / map->block_size, entry, err);
        if (r == 0)
                map->end += n;
        pthread_mutex_unlock(&map->lock);
        return r;
}
