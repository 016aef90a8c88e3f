/*
 * img/deflate-block.c - what deflate has found, as bits
 *
 * A block is written with codes made for it, which are described before it,
 * with the fixed ones, or stored: whatever takes the fewest bits, which are
 * counted first, so that writing needs no checks of its own.
 */
#include "img/deflate-block.h"

#include "base/auto.h"
#include "img/bytes.h"
#include "img/huffman.h"

enum {
        STORED_MOST = 65535,
        SLACK = 16, /* bits are stored eight bytes at a time */
        N_LENGTHS = 19,
        END_OF_BLOCK = 256,
        FIRST_LENGTH = 257,
        LONGEST_SYMBOL = 285,
        LENGTH_MASK = 511,
        DISTANCE_SHIFT = 9,
        DISTANCE_MASK = 8191,
};

/* A token is a literal, or MATCH | distance << DISTANCE_SHIFT | length. */
#define MATCH (1U << 31)

/* Symbol of a match length, and the bits that follow it. */
static unsigned length_symbol(unsigned length, unsigned *extra)
{
        unsigned x = length - DEFLATE_SHORTEST, top;

        *extra = 0;
        if (length == DEFLATE_LONGEST)
                return LONGEST_SYMBOL;
        if (x < 8)
                return FIRST_LENGTH + x;
        top = deflate_top_bit(x);
        *extra = top - 2;
        return FIRST_LENGTH + 4 * (top - 1) + (x >> (top - 2) & 3);
}

static unsigned distance_symbol(unsigned distance, unsigned *extra)
{
        unsigned x = distance - 1, top;

        *extra = 0;
        if (x < 4)
                return x;
        top = deflate_top_bit(x);
        *extra = top - 1;
        return 2 * top + (x >> (top - 1) & 1);
}

static void put_bits(DeflateBlock *d, uint64_t bits, unsigned n)
{
        d->bits |= bits << d->n_bits;
        d->n_bits += n;
}

/* Leaves under 8 bits waiting. There is room: deflate_block_write() has looked. */
static void store_bits(DeflateBlock *d)
{
        uint64_t bits = load_le64(&d->bits);

        memcpy(d->out, &bits, sizeof(bits));
        d->out += d->n_bits / 8;
        d->bits >>= d->n_bits / 8 * 8;
        d->n_bits %= 8;
}

/* Bits that follow a symbol of a length or distance. */
static unsigned literal_extra(unsigned symbol)
{
        return symbol < 265 || symbol == LONGEST_SYMBOL ? 0 : (symbol - 261) / 4;
}

static unsigned distance_extra(unsigned symbol)
{
        return symbol < 4 ? 0 : symbol / 2 - 1;
}

static uint64_t cost_of_tokens(const DeflateBlock *d, const Huffman *literal, const Huffman *distance)
{
        uint64_t bits = 0;

        for (unsigned i = 0; i < DEFLATE_LITERALS; i++)
                bits += (uint64_t)d->literals[i] * (literal->lengths[i] + literal_extra(i));
        for (unsigned i = 0; i < DEFLATE_DISTANCES; i++)
                bits += (uint64_t)d->distances[i] * (distance->lengths[i] + distance_extra(i));
        return bits;
}

/* The two lists of code lengths with their runs shortened, and the code they are written in. */
typedef struct Header {
        uint8_t symbols[DEFLATE_LITERALS + DEFLATE_DISTANCES], extra[DEFLATE_LITERALS + DEFLATE_DISTANCES];
        unsigned n, n_literals, n_distances, n_lengths;
        Huffman code;
} Header;

static const uint8_t length_order[N_LENGTHS] = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15 };

static unsigned header_extra(unsigned symbol)
{
        return symbol == 16 ? 2 : symbol == 17 ? 3 : symbol == 18 ? 7 : 0;
}

static void header_add(Header *h, uint32_t *counts, unsigned symbol, unsigned extra)
{
        h->symbols[h->n] = (uint8_t)symbol;
        h->extra[h->n++] = (uint8_t)extra;
        counts[symbol]++;
}

static void header_add_run(Header *h, uint32_t *counts, unsigned length, unsigned run)
{
        if (length)
                header_add(h, counts, length, 0), run--;
        while (run) {
                unsigned most = length ? 6 : 138, n = MIN(run, most);

                if (n < 3) {
                        n = 1;
                        header_add(h, counts, length, 0);
                } else if (length) {
                        header_add(h, counts, 16, n - 3);
                } else {
                        header_add(h, counts, n < 11 ? 17 : 18, n < 11 ? n - 3 : n - 11);
                }
                run -= n;
        }
}

static unsigned used_lengths(const Huffman *huffman, unsigned n, unsigned least)
{
        while (n > least && !huffman->lengths[n - 1])
                n--;
        return n;
}

/* Returns the bits it takes. */
static uint64_t header_make(Header *h, const Huffman *literal, const Huffman *distance)
{
        uint8_t lengths[DEFLATE_LITERALS + DEFLATE_DISTANCES];
        uint32_t counts[N_LENGTHS] = { 0 };
        unsigned n, run;
        uint64_t bits;

        h->n = 0;
        h->n_literals = used_lengths(literal, DEFLATE_LITERALS, 257);
        h->n_distances = used_lengths(distance, DEFLATE_DISTANCES, 1);
        n = h->n_literals + h->n_distances;
        memcpy(lengths, literal->lengths, h->n_literals);
        memcpy(lengths + h->n_literals, distance->lengths, h->n_distances);
        for (unsigned i = 0; i < n; i += run) {
                for (run = 1; i + run < n && lengths[i + run] == lengths[i]; run++)
                        ;
                header_add_run(h, counts, lengths[i], run);
        }
        huffman_build(&h->code, counts, N_LENGTHS, 7);
        for (h->n_lengths = N_LENGTHS; h->n_lengths > 4; h->n_lengths--)
                if (h->code.lengths[length_order[h->n_lengths - 1]])
                        break;
        bits = 5 + 5 + 4 + 3 * h->n_lengths;
        for (unsigned i = 0; i < N_LENGTHS; i++)
                bits += (uint64_t)counts[i] * (h->code.lengths[i] + header_extra(i));
        return bits;
}

static void header_write(DeflateBlock *d, const Header *h)
{
        put_bits(d, h->n_literals - 257, 5);
        put_bits(d, h->n_distances - 1, 5);
        put_bits(d, h->n_lengths - 4, 4);
        for (unsigned i = 0; i < h->n_lengths; i++) {
                put_bits(d, h->code.lengths[length_order[i]], 3);
                store_bits(d);
        }
        for (unsigned i = 0; i < h->n; i++) {
                put_bits(d, h->code.codes[h->symbols[i]], h->code.lengths[h->symbols[i]]);
                put_bits(d, h->extra[i], header_extra(h->symbols[i]));
                store_bits(d);
        }
}

static void write_tokens(DeflateBlock *d, const Huffman *literal, const Huffman *distance)
{
        for (unsigned i = 0; i < d->n_tokens; i++) {
                uint32_t token = d->tokens[i];
                unsigned symbol, extra, length = token & LENGTH_MASK, far = token >> DISTANCE_SHIFT & DISTANCE_MASK;

                if (!(token & MATCH)) {
                        put_bits(d, literal->codes[token], literal->lengths[token]);
                        store_bits(d);
                        continue;
                }
                symbol = length_symbol(length, &extra);
                put_bits(d, literal->codes[symbol], literal->lengths[symbol]);
                put_bits(d, (length - DEFLATE_SHORTEST) & ((1U << extra) - 1), extra);
                symbol = distance_symbol(far, &extra);
                put_bits(d, distance->codes[symbol], distance->lengths[symbol]);
                put_bits(d, (far - 1) & ((1U << extra) - 1), extra);
                store_bits(d);
        }
        put_bits(d, literal->codes[END_OF_BLOCK], literal->lengths[END_OF_BLOCK]);
        store_bits(d);
}

static void write_stored(DeflateBlock *d, const uint8_t *data, size_t n)
{
        d->n_bits = (d->n_bits + 7) / 8 * 8;
        store_bits(d);
        put_bits(d, n | (uint64_t)(n ^ 0xffff) << 16, 32);
        store_bits(d);
        memcpy(d->out, data, n);
        d->out += n;
}

/* The codes that need not be described. */
static void fixed_codes(Huffman *literal, Huffman *distance)
{
        for (unsigned i = 0; i < HUFFMAN_MOST; i++)
                literal->lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        huffman_number(literal, HUFFMAN_MOST);
        memset(distance->lengths, 5, 32);
        huffman_number(distance, 32);
}

static void forget(DeflateBlock *d)
{
        d->n_tokens = 0;
        memset(d->literals, 0, sizeof(d->literals));
        memset(d->distances, 0, sizeof(d->distances));
}

bool deflate_block_write(DeflateBlock *d, const uint8_t *data, size_t n, bool last)
{
        Huffman literal, distance, fixed_literal, fixed_distance;
        uint64_t dynamic, fixed, stored, least;
        Header header;

        d->literals[END_OF_BLOCK] = 1;
        huffman_build(&literal, d->literals, DEFLATE_LITERALS, HUFFMAN_BITS);
        huffman_build(&distance, d->distances, DEFLATE_DISTANCES, HUFFMAN_BITS);
        fixed_codes(&fixed_literal, &fixed_distance);
        dynamic = header_make(&header, &literal, &distance) + cost_of_tokens(d, &literal, &distance);
        fixed = cost_of_tokens(d, &fixed_literal, &fixed_distance);
        stored = n > STORED_MOST ? UINT64_MAX : 8 * (n + 4ULL) + 7;
        least = MIN(MIN(dynamic, fixed), stored);
        if (least / 8 + SLACK > (uint64_t)(d->out_end - d->out))
                return false;
        put_bits(d, last, 1);
        put_bits(d, least == stored ? 0 : least == fixed ? 1 : 2, 2);
        if (least == stored) {
                write_stored(d, data, n);
        } else if (least == fixed) {
                write_tokens(d, &fixed_literal, &fixed_distance);
        } else {
                header_write(d, &header);
                write_tokens(d, &literal, &distance);
        }
        forget(d);
        return true;
}

void deflate_block_start(DeflateBlock *d, void *out, size_t room)
{
        forget(d);
        d->out = out;
        d->out_end = d->out + room;
        d->bits = d->n_bits = 0;
}

void deflate_block_literal(DeflateBlock *d, uint8_t literal)
{
        d->tokens[d->n_tokens++] = literal;
        d->literals[literal]++;
}

void deflate_block_match(DeflateBlock *d, unsigned length, unsigned distance)
{
        unsigned unused;

        d->tokens[d->n_tokens++] = MATCH | distance << DISTANCE_SHIFT | length;
        d->literals[length_symbol(length, &unused)]++;
        d->distances[distance_symbol(distance, &unused)]++;
}

uint8_t *deflate_block_end(DeflateBlock *d)
{
        d->n_bits = (d->n_bits + 7) / 8 * 8;
        store_bits(d);
        return d->out;
}
