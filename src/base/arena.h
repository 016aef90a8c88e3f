#pragma once
/*
 * base/arena.h - memory that is released all at once
 *
 * One arena per call and one per definition: what is allocated from it lives as
 * long as the arena and is never freed singly. Memory is zeroed, and wiped when the arena goes.
 */
#include "base/auto.h"

#include <stdint.h>

typedef struct Arena Arena;

Arena *arena_new(void);
Arena *arena_new_sized(size_t n); /* for about n bytes: the first block has just that room */
Arena *arena_free(Arena *arena);  /* returns NULL */
void *arena_alloc(Arena *arena, size_t n);
/* n elements; NULL when n * size overflows or is over 64 MiB: for counts that came from outside. */
void *arena_try_array(Arena *arena, size_t n, size_t size);
char *arena_dup(Arena *arena, const char *s);             /* NULL gives NULL */
char *arena_dup_n(Arena *arena, const void *s, size_t n); /* a NUL is put behind */
char *arena_format(Arena *arena, const char *fmt, ...) PRINTF(2, 3);
size_t arena_size(const Arena *arena);  /* bytes held */
size_t arena_taken(const Arena *arena); /* bytes given out of them, with alignment */

#define arena_new_array(arena, T, n) ((T *)arena_alloc((arena), (n) * sizeof(T)))
#define arena_new_one(arena, T)      ((T *)arena_alloc((arena), sizeof(T)))

DEFINE_AUTO(Arena, arena_free)
