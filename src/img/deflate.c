/*
 * img/deflate.c - raw deflate within a window of 4 KiB, rather small than fast
 *
 * What libdeflate and ISA-L leave open: zlib's ratio in qcow2's window, at
 * less than half of its time. Matches are found along chains of places whose
 * four bytes hash alike; one that a longer match at the next byte beats is
 * given up. What was found waits as tokens until a block is full.
 *
 * The output depends on the input alone: tables are cleared for each call.
 */
#include "img/deflate.h"

#include "base/auto.h"
#include "base/mem.h"
#include "img/bytes.h"
#include "img/deflate-block.h"

#include <stdlib.h>

enum {
        WINDOW = 4096,
        HASH4_BITS = 14,
        HASH3_BITS = 12,
        CHAIN_MOST = 32,  /* places looked at for one match */
        GOOD_LENGTH = 64, /* a match of this length is taken as it is */
};

typedef struct Match {
        unsigned length, distance; /* length 0: none */
} Match;

struct Deflater {
        int32_t head4[1 << HASH4_BITS], head3[1 << HASH3_BITS]; /* where such bytes stood last */
        int32_t before[WINDOW];                                 /* and where the same hash was seen before that */
        const uint8_t *data;
        unsigned n;
        unsigned shortest; /* match that is worth its bits */
        DeflateBlock block;
};

Deflater *deflater_new(void)
{
        return mem_new(Deflater);
}

Deflater *deflater_free(Deflater *deflater)
{
        free(deflater);
        return NULL;
}

static unsigned matching(const uint8_t *a, const uint8_t *b, unsigned from, unsigned most)
{
        while (from + 8 <= most) {
                uint64_t x = load_le64(a + from) ^ load_le64(b + from);

                if (x)
                        return from + (unsigned)__builtin_ctzll(x) / 8;
                from += 8;
        }
        while (from < most && a[from] == b[from])
                from++;
        return from;
}

static unsigned hash4(const uint8_t *p)
{
        return load_le32(p) * 0x9e3779b1U >> (32 - HASH4_BITS);
}

static unsigned hash3(const uint8_t *p)
{
        return (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16) * 0x9e3779b1U >> (32 - HASH3_BITS);
}

/* Note where the bytes at `at` stand; ret3, ret4: where such bytes stood last. */
static void remember(Deflater *d, unsigned at, int32_t *ret3, int32_t *ret4)
{
        int32_t *three = &d->head3[hash3(d->data + at)], *four = &d->head4[hash4(d->data + at)];

        *ret3 = *three;
        *ret4 = *four;
        d->before[at % WINDOW] = *four;
        *three = *four = (int32_t)at;
}

/* The longest match at `at` that is longer than `least`, along at most `chain` places; it is noted there. */
static Match find_match(Deflater *d, unsigned at, unsigned least, unsigned chain)
{
        unsigned most = MIN((unsigned)DEFLATE_LONGEST, d->n - at);
        const uint8_t *here = d->data + at;
        Match best = { .length = least };
        int32_t three, place, edge = (int32_t)at - (WINDOW - 1);

        if (most < sizeof(uint32_t))
                return (Match){ 0 };
        remember(d, at, &three, &place);
        if (least < DEFLATE_SHORTEST && three >= edge &&
            ((load_le32(d->data + three) ^ load_le32(here)) & 0xffffff) == 0)
                best = (Match){ DEFLATE_SHORTEST, at - (unsigned)three };
        best.length = MAX(best.length, (unsigned)DEFLATE_SHORTEST);
        for (; place >= edge && best.length < most && chain; chain--, place = d->before[place % WINDOW]) {
                const uint8_t *there = d->data + place;
                unsigned length;

                /* Most places fail in the bytes that would make the match longer. */
                if (load_le32(there + best.length - 3) != load_le32(here + best.length - 3) ||
                    load_le32(there) != load_le32(here))
                        continue;
                length = matching(there, here, sizeof(uint32_t), most);
                if (length > best.length) {
                        best = (Match){ length, at - (unsigned)place };
                        if (length >= GOOD_LENGTH)
                                break;
                }
        }
        return best.distance ? best : (Match){ 0 };
}

static void pass_over(Deflater *d, unsigned at, unsigned n)
{
        int32_t unused;

        for (; n && d->n - at >= sizeof(uint32_t); n--, at++)
                remember(d, at, &unused, &unused);
}

/* Where few bytes are in use a literal is cheap, and a short match is not worth its distance. */
static unsigned shortest_worth(const uint8_t *data, unsigned n)
{
        unsigned used = 0;
        bool seen[256] = { 0 };

        for (unsigned i = 0; i < n; i++) {
                used += !seen[data[i]];
                seen[data[i]] = true;
        }
        return used < 6 ? 8 : used < 12 ? 6 : used < 40 ? 5 : used < 80 ? 4 : 3;
}

/* The match at `next`, one byte on, makes up for a literal before it. */
static bool is_better(Match next, Match match)
{
        return next.length >= match.length && 4 * (int)(next.length - match.length) +
                                                              (int)deflate_top_bit(match.distance) -
                                                              (int)deflate_top_bit(next.distance) >
                                                      2;
}

/* One match, and literals before it that give way to a better one. Returns where it ends. */
static unsigned step(Deflater *d, unsigned at)
{
        Match match = find_match(d, at, DEFLATE_SHORTEST - 1, CHAIN_MOST);

        while (match.length >= d->shortest) {
                Match next = { 0 };

                if (match.length < GOOD_LENGTH && at + 1 < d->n)
                        next = find_match(d, at + 1, match.length - 1, CHAIN_MOST / 2);
                else
                        pass_over(d, at + 1, 1);
                if (!next.length || !is_better(next, match)) {
                        deflate_block_match(&d->block, match.length, match.distance);
                        pass_over(d, at + 2, match.length - 2);
                        return at + match.length;
                }
                deflate_block_literal(&d->block, d->data[at++]);
                match = next;
                if (deflate_block_is_full(&d->block))
                        break;
        }
        deflate_block_literal(&d->block, d->data[at]);
        return at + 1;
}

size_t deflater_pack(Deflater *d, const void *data, size_t n, void *packed, size_t room)
{
        unsigned at = 0, start = 0; /* start: of the block */

        memset(d->head4, 0x80, sizeof(d->head4)); /* places far before the first */
        memset(d->head3, 0x80, sizeof(d->head3));
        deflate_block_start(&d->block, packed, room);
        d->data = data;
        d->n = (unsigned)n;
        d->shortest = shortest_worth(data, d->n);
        while (at < d->n) {
                at = step(d, at);
                if (!deflate_block_is_full(&d->block) || at == d->n)
                        continue;
                if (!deflate_block_write(&d->block, d->data + start, at - start, false))
                        return 0;
                start = at;
        }
        if (!deflate_block_write(&d->block, d->data + start, at - start, true))
                return 0;
        return (size_t)(deflate_block_end(&d->block) - (uint8_t *)packed);
}
