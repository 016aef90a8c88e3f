#pragma once
/*
 * base/map.h - a hash map from a byte string to a pointer
 *
 * Keys are copied, values are not owned. The hash is seeded at random, so that
 * names chosen by a peer cannot make it slow. Do not change the map while
 * going through it with map_next().
 */
#include "base/auto.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Map Map;

Map *map_new(void);
Map *map_free(Map *map); /* returns NULL; the values stay */
void *map_find(const Map *map, const void *key, size_t len);
/* Sets, and returns the value that was there before or NULL. value must not be NULL. */
void *map_put(Map *map, const void *key, size_t len, void *value);
void *map_remove(Map *map, const void *key, size_t len); /* the value, or NULL */
size_t map_len(const Map *map);

/* for (size_t at = 0; (value = map_next(map, &at));) - in no order worth relying on */
void *map_next(const Map *map, size_t *at);

static inline void *map_find_text(const Map *map, const char *key)
{
        return map_find(map, key, __builtin_strlen(key));
}
static inline void *map_put_text(Map *map, const char *key, void *value)
{
        return map_put(map, key, __builtin_strlen(key), value);
}
static inline void *map_remove_text(Map *map, const char *key)
{
        return map_remove(map, key, __builtin_strlen(key));
}

DEFINE_AUTO(Map, map_free)
