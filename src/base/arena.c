/*
 * base/arena.c - memory that is released all at once
 *
 * Blocks are chained; the newest is filled first. The first block is small,
 * because most calls need a few hundred bytes and there are many definitions.
 * Things are taken from a block's front, aligned; texts from its back, packed.
 * What was given out is wiped in the end: calls and definitions may hold passwords and keys.
 */
#include "base/arena.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdarg.h>
#include <string.h>

enum {
        FIRST_BLOCK = 512,
        LARGEST_BLOCK = 64 * 1024,
        LARGEST_ARRAY = 64 * 1024 * 1024,
};

typedef struct Block {
        struct Block *next;
        size_t used, room, size; /* room is size less the texts at the back */
        _Alignas(max_align_t) char data[];
} Block;

struct Arena {
        Block *newest;
        size_t held, taken, next_room;
};

Arena *arena_new(void)
{
        return mem_new(Arena);
}

Arena *arena_new_sized(size_t n)
{
        Arena *arena = arena_new();

        arena->next_room = n;
        return arena;
}

Arena *arena_free(Arena *arena)
{
        if (!arena)
                return NULL;
        for (Block *b = arena->newest, *next; b; b = next) {
                next = b->next;
                explicit_bzero(b->data, b->used);
                explicit_bzero(b->data + b->room, b->size - b->room);
                free(b);
        }
        free(arena);
        return NULL;
}

static Block *add_block(Arena *arena, size_t n)
{
        size_t room = arena->next_room ? arena->next_room : (size_t)FIRST_BLOCK;
        Block *b;

        /* What did not fit a block of the wanted size is little. */
        arena->next_room = arena->newest || !arena->next_room ? MIN(room * 2, (size_t)LARGEST_BLOCK) : FIRST_BLOCK;
        room = MAX(room, n);
        b = mem_alloc(sizeof(Block) + room);
        b->room = b->size = room;
        b->next = arena->newest;
        arena->newest = b;
        arena->held += sizeof(Block) + room;
        return b;
}

void *arena_alloc(Arena *arena, size_t n)
{
        const size_t align = _Alignof(max_align_t);
        Block *b = arena->newest;
        void *p;

        n = (MAX(n, (size_t)1) + align - 1) / align * align;
        if (!b || b->room - b->used < n)
                b = add_block(arena, n);
        p = b->data + b->used;
        b->used += n;
        arena->taken += n;
        return p;
}

void *arena_try_array(Arena *arena, size_t n, size_t size)
{
        if (size && n > LARGEST_ARRAY / size)
                return NULL;
        return arena_alloc(arena, n * size);
}

char *arena_dup_n(Arena *arena, const void *s, size_t n)
{
        Block *b = arena->newest;
        char *copy;

        if (!b || b->room - b->used < n + 1)
                b = add_block(arena, n + 1);
        b->room -= n + 1;
        arena->taken += n + 1;
        copy = b->data + b->room;
        if (n)
                memcpy(copy, s, n);
        copy[n] = '\0';
        return copy;
}

char *arena_dup(Arena *arena, const char *s)
{
        return s ? arena_dup_n(arena, s, strlen(s)) : NULL;
}

char *arena_format(Arena *arena, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        return arena_dup(arena, text);
}

size_t arena_taken(const Arena *arena)
{
        return arena->taken;
}

size_t arena_size(const Arena *arena)
{
        return sizeof(*arena) + arena->held;
}
