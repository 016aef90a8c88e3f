/*
 * base/map.c - a hash map with open addressing and linear probing
 *
 * A removed slot is refilled by shifting its successors back, so there are no
 * tombstones and a probe ends at the first empty slot.
 */
#include "base/map.h"

#include "base/mem.h"

#include <string.h>
#include <sys/random.h>

typedef struct Slot {
        void *value; /* NULL: empty */
        char *key;
        size_t len;
        uint64_t hash;
} Slot;

struct Map {
        Slot *slots;
        size_t room; /* a power of two, or 0 */
        size_t len;
        uint64_t seed;
};

static uint64_t hash_bytes(uint64_t seed, const void *key, size_t len)
{
        const unsigned char *p = key;
        uint64_t h = seed ^ (len * 0x9e3779b97f4a7c15ULL);

        while (len) {
                uint64_t word = 0;
                size_t n = MIN(len, sizeof(word));

                memcpy(&word, p, n);
                h = (h ^ word) * 0xff51afd7ed558ccdULL;
                h ^= h >> 32;
                p += n;
                len -= n;
        }
        h *= 0xc4ceb9fe1a85ec53ULL;
        return h ^ h >> 29;
}

Map *map_new(void)
{
        Map *map = mem_new(Map);

        if (getrandom(&map->seed, sizeof(map->seed), GRND_NONBLOCK) != sizeof(map->seed))
                map->seed = (uintptr_t)map;
        return map;
}

Map *map_free(Map *map)
{
        if (!map)
                return NULL;
        for (size_t i = 0; i < map->room; i++)
                free(map->slots[i].key);
        free(map->slots);
        free(map);
        return NULL;
}

/* The slot that holds the key, or the empty one where it belongs. Needs room. */
static Slot *find_slot(const Map *map, const void *key, size_t len, uint64_t hash)
{
        for (size_t i = hash & (map->room - 1);; i = (i + 1) & (map->room - 1)) {
                Slot *s = &map->slots[i];

                if (!s->value || (s->hash == hash && s->len == len && memcmp(s->key, key, len) == 0))
                        return s;
        }
}

void *map_find(const Map *map, const void *key, size_t len)
{
        if (!map->len)
                return NULL;
        return find_slot(map, key, len, hash_bytes(map->seed, key, len))->value;
}

static void grow(Map *map)
{
        Slot *old = map->slots;
        size_t old_room = map->room;

        map->room = old_room ? old_room * 2 : 16;
        map->slots = mem_new_array(Slot, map->room);
        for (size_t i = 0; i < old_room; i++) {
                if (old[i].value)
                        *find_slot(map, old[i].key, old[i].len, old[i].hash) = old[i];
        }
        free(old);
}

void *map_put(Map *map, const void *key, size_t len, void *value)
{
        uint64_t hash = hash_bytes(map->seed, key, len);
        Slot *s;
        void *before;

        if (map->len * 4 >= map->room * 3)
                grow(map);
        s = find_slot(map, key, len, hash);
        before = s->value;
        if (!before) {
                *s = (Slot){ .key = mem_dup(key, len), .len = len, .hash = hash };
                map->len++;
        }
        s->value = value;
        return before;
}

void *map_remove(Map *map, const void *key, size_t len)
{
        size_t mask = map->room - 1, hole;
        void *value;
        Slot *s;

        if (!map->len)
                return NULL;
        s = find_slot(map, key, len, hash_bytes(map->seed, key, len));
        value = s->value;
        if (!value)
                return NULL;
        free(s->key);
        *s = (Slot){ 0 };
        map->len--;

        hole = (size_t)(s - map->slots);
        for (size_t i = (hole + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
                size_t home = map->slots[i].hash & mask;

                /* may it move back over the hole? only if its home is not between the two */
                if (((i - home) & mask) >= ((i - hole) & mask)) {
                        map->slots[hole] = map->slots[i];
                        map->slots[i] = (Slot){ 0 };
                        hole = i;
                }
        }
        return value;
}

size_t map_len(const Map *map)
{
        return map->len;
}

void *map_next(const Map *map, size_t *at)
{
        while (*at < map->room) {
                void *value = map->slots[(*at)++].value;

                if (value)
                        return value;
        }
        return NULL;
}
