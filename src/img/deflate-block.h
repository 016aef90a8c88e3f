#pragma once
/*
 * img/deflate-block.h - what deflate has found, as bits
 *
 * Literals and matches are gathered until deflate_block_is_full(), then
 * written as one block in the shortest of the three ways there are. Nothing in
 * a block points to the caller's memory but where the bits go.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        DEFLATE_SHORTEST = 3,
        DEFLATE_LONGEST = 258,
        DEFLATE_TOKENS = 8192,
        DEFLATE_LITERALS = 286,
        DEFLATE_DISTANCES = 30,
};

typedef struct DeflateBlock {
        uint32_t tokens[DEFLATE_TOKENS];
        unsigned n_tokens;
        uint32_t literals[DEFLATE_LITERALS],
                distances[DEFLATE_DISTANCES]; /* how often each symbol is in the tokens */
        uint8_t *out, *out_end;
        uint64_t bits; /* not stored yet */
        unsigned n_bits;
} DeflateBlock;

static inline unsigned deflate_top_bit(unsigned value)
{
        return 31U - (unsigned)__builtin_clz(value);
}

/* Nothing found yet; bits go to the `room` bytes at `out`, which stay the caller's. */
void deflate_block_start(DeflateBlock *block, void *out, size_t room);
void deflate_block_literal(DeflateBlock *block, uint8_t literal);
void deflate_block_match(DeflateBlock *block, unsigned length, unsigned distance);
static inline bool deflate_block_is_full(const DeflateBlock *block)
{
        return block->n_tokens >= DEFLATE_TOKENS - 1;
}
/* What was found, which is the n bytes at data; afterwards nothing is. False: there is no room (or hardly any). */
bool deflate_block_write(DeflateBlock *block, const uint8_t *data, size_t n, bool last);
/* After the last one: the bits that do not fill a byte. Returns where the next byte would go. */
uint8_t *deflate_block_end(DeflateBlock *block);
