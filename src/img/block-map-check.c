/*
 * img/block-map-check.c - a table of blocks: checking and repairing
 *
 * Everything the file holds is a range: tables, which the driver names, and
 * blocks. Ranges that overlap are corruption, as are blocks behind the end of
 * the file; room that is in no range is leaked.
 */
#include "img/block-map.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

#include <stdarg.h>

#define NO_BLOCK UINT64_MAX

typedef struct Checking {
        Image *image;
        BlockMap *map;
        ImageRepair repair;
        ImageCheck *found;
        BlockRanges ranges;
        uint64_t file_size;
} Checking;

static void say(const ImageCheck *found, const char *fmt, ...) PRINTF(2, 3);
static void say(const ImageCheck *found, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        va_list ap;

        if (!found->say)
                return;
        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        found->say(found->say_arg, text);
}

static int by_start(const void *a, const void *b)
{
        const BlockRange *x = a, *y = b;

        if (x->start != y->start)
                return x->start < y->start ? -1 : 1;
        return x->block < y->block ? -1 : x->block > y->block;
}

/* What precedes the data of a block goes with it. */
static int copy_before(Checking *c, uint64_t from, uint64_t to, Error *err)
{
        uint64_t n = c->map->before_length;
        AUTOFREE uint8_t *before = n ? mem_try(n) : NULL;

        if (n == 0)
                return 0;
        if (!before)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a block", image_name(c->image));
        if (image_file_read_padded(c->image->file, from - MIN(from, n), before, n, err) < 0)
                return -1;
        return image_file_write(c->image->file, to - n, before, n, err);
}

/* The entry of a block is dropped, or given a copy of its data in a new place. */
static int repair_block(Checking *c, uint64_t block, bool copy, Error *err)
{
        AUTOFREE uint8_t *whole = NULL;
        uint64_t entry, at = BLOCK_ABSENT;

        if (block_map_entry(c->image, block, &entry, err) < 0)
                return -1;
        if (copy) {
                whole = mem_try(c->map->block_size);
                if (!whole)
                        return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a block", image_name(c->image));
                if (block_is_packed(entry)
                            ? block_map_unpack(c->image, entry, whole, err) < 0
                            : image_file_read_padded(c->image->file, entry, whole, c->map->block_size, err) < 0)
                        return -1;
                if (block_map_new_place(c->image, &at, err) < 0 || copy_before(c, entry, at, err) < 0 ||
                    image_file_write(c->image->file, at, whole, c->map->block_size, err) < 0)
                        return -1;
        }
        if (block_map_set(c->image, block, at, err) < 0)
                return -1;
        c->found->corruptions_fixed++;
        return 0;
}

static int corrupt(Checking *c, const BlockRange *range, bool copy, Error *err)
{
        if (c->repair == REPAIR_ALL && range->block != NO_BLOCK)
                return repair_block(c, range->block, copy, err);
        c->found->corruptions++;
        return 0;
}

static int gather(Checking *c, Error *err)
{
        const BlockMap *map = c->map;
        uint64_t previous = 0;

        for (uint64_t block = 0; block < map->n; block++) {
                BlockRange range = { .block = block };
                uint64_t entry, *entries, length;

                if (block_map_part(c->image, block / map->per_part, &entries, err) < 0)
                        return -1;
                if (entries == map->nothing) {
                        block += map->per_part - 1 - block % map->per_part;
                        continue;
                }
                entry = entries[block % map->per_part];
                if (entry <= BLOCK_ZERO)
                        continue;
                c->found->allocated_clusters++;
                if (block_is_packed(entry)) {
                        range.start = block_packed_offset(entry);
                        length = block_packed_length(entry);
                        if (!length && map->ops->packed_length &&
                            map->ops->packed_length(c->image, &range.start, &length, err) < 0)
                                return -1;
                        range.end = range.start + length;
                        c->found->compressed_clusters++;
                } else {
                        range.start = entry - MIN(entry, map->before_length);
                        range.end = entry + map->block_size;
                        c->found->fragmented_clusters += previous &&
                                                         entry != previous + map->block_size + map->before_length;
                        previous = entry;
                }
                vec_push(&c->ranges, range);
        }
        return 0;
}

static void leak(Checking *c, uint64_t from, uint64_t to)
{
        uint64_t unit = c->map->before_length + c->map->block_size;

        if (to < from + unit)
                return;
        say(c->found, "Leaked %llu bytes at offset %llu", (unsigned long long)(to - from), (unsigned long long)from);
        c->found->leaks += (to - from) / unit;
}

static int walk(Checking *c, Error *err)
{
        bool behind_table = false;
        uint64_t end = 0;

        qsort(c->ranges.items, c->ranges.len, sizeof(BlockRange), by_start);
        for (size_t i = 0; i < c->ranges.len; i++) {
                const BlockRange *r = &c->ranges.items[i];

                if (r->start >= c->file_size && r->block != NO_BLOCK) {
                        say(c->found, "ERROR block %llu is at offset %llu, behind the end of the file",
                            (unsigned long long)r->block, (unsigned long long)r->start);
                        if (corrupt(c, r, false, err) < 0)
                                return -1;
                        continue;
                }
                if (r->start < end) {
                        say(c->found, "ERROR %s %lld at offset %llu overlaps what stands before it",
                            r->block == NO_BLOCK ? "table" : "block", (long long)r->block,
                            (unsigned long long)r->start);
                        if (corrupt(c, r, true, err) < 0)
                                return -1;
                } else if (!c->map->loose_start || !behind_table || r->block == NO_BLOCK) {
                        leak(c, end, r->start);
                }
                behind_table = r->block == NO_BLOCK;
                end = MAX(end, r->end);
        }
        c->found->image_end_offset = end;
        if (end < c->file_size)
                leak(c, end, c->file_size);
        return 0;
}

static int repair_tail(Checking *c, uint64_t leaks_before, Error *err)
{
        uint64_t end = c->found->image_end_offset, unit = c->map->before_length + c->map->block_size;

        /* Only leaks at the end can be given back; when a repair wrote there, there are none. */
        if (c->repair == REPAIR_NONE || c->map->pending.len || c->file_size < end + unit)
                return 0;
        if (image_file_truncate(c->image->file, end, err) < 0)
                return -1;
        c->found->leaks -= MIN(c->found->leaks - leaks_before, (c->file_size - end) / unit);
        c->found->leaks_fixed += (c->file_size - end) / unit;
        c->map->end = end;
        return 0;
}

int block_map_check(Image *image, ImageRepair repair, ImageCheck *ret, Error *err)
{
        Checking c = { .image = image, .map = block_map_of(image), .repair = repair, .found = ret };
        uint64_t leaks_before = ret->leaks;
        int r = 0;

        if (repair != REPAIR_NONE && !image->writable)
                return err_set(err, ERR_OPERATION_DENIED, "'%s' is open for reading only", image_name(image));
        pthread_mutex_lock(&c.map->lock);
        ret->total_clusters = c.map->n;
        if (image_file_size(image->file, &c.file_size, err) < 0 || gather(&c, err) < 0 ||
            (c.map->ops->tables && c.map->ops->tables(image, &c.ranges, err) < 0) || walk(&c, err) < 0 ||
            repair_tail(&c, leaks_before, err) < 0)
                r = -1;
        if (r == 0 && c.map->pending.len)
                r = block_map_commit(image, err);
        pthread_mutex_unlock(&c.map->lock);
        vec_done(&c.ranges);
        return r < 0 || repair == REPAIR_NONE ? r : image_file_flush(image->file, err);
}
