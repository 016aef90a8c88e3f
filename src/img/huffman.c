/*
 * img/huffman.c - prefix codes as deflate wants them
 *
 * Lengths come from Huffman's construction with two queues: the leaves in
 * order of their counts, and the inner nodes, which are made in order. Where
 * that is too deep, leaves move down until all fit. Equal counts are told
 * apart by their symbols, so the same counts always give the same codes.
 */
#include "img/huffman.h"

#include <stdlib.h>
#include <string.h>

enum { NODES = 2 * HUFFMAN_MOST, SYMBOL_BITS = 9 };

static int ascending(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return x < y ? -1 : x > y;
}

/* The symbols in use, the rarest first, as count and symbol in one word. */
static unsigned sort_used(const uint32_t *counts, unsigned n, uint32_t *leaves)
{
        unsigned used = 0;

        for (unsigned i = 0; i < n; i++)
                if (counts[i])
                        leaves[used++] = counts[i] << SYMBOL_BITS | i;
        for (unsigned i = 0; used < 2; i++) /* readers may want two codes */
                if (!counts[i])
                        leaves[used++] = 1U << SYMBOL_BITS | i;
        qsort(leaves, used, sizeof(*leaves), ascending);
        return used;
}

/* How many of the leaves stand at each depth. */
static void count_depths(const uint32_t *leaves, unsigned used, unsigned *at_depth)
{
        uint32_t weight[NODES];
        uint16_t parent[NODES], depth[NODES];
        unsigned leaf = 0, inner = used, next = used;

        for (unsigned i = 0; i < used; i++)
                weight[i] = leaves[i] >> SYMBOL_BITS;
        for (; next < 2 * used - 1; next++) {
                weight[next] = 0;
                for (unsigned i = 0; i < 2; i++) {
                        unsigned low = leaf < used && (inner == next || weight[leaf] <= weight[inner]) ? leaf++
                                                                                                       : inner++;

                        weight[next] += weight[low];
                        parent[low] = (uint16_t)next;
                }
        }
        depth[next - 1] = 0;
        for (unsigned i = next - 1; i-- > 0;) {
                depth[i] = (uint16_t)(depth[parent[i]] + 1);
                if (i < used)
                        at_depth[depth[i]]++;
        }
}

/* None deeper than `most`: what is, is cut to it, and the room that takes is given by leaves higher up. */
static void limit_depths(unsigned *at_depth, unsigned deepest, unsigned most)
{
        uint32_t taken = 0;

        for (unsigned i = most + 1; i <= deepest; i++) {
                at_depth[most] += at_depth[i];
                at_depth[i] = 0;
        }
        for (unsigned i = 1; i <= most; i++)
                taken += at_depth[i] << (most - i);
        for (; taken > 1U << most; taken--) {
                unsigned from = most - 1;

                while (!at_depth[from])
                        from--;
                at_depth[from]--;
                at_depth[from + 1] += 2;
                at_depth[most]--;
        }
}

void huffman_number(Huffman *huffman, unsigned n)
{
        unsigned count[HUFFMAN_BITS + 1] = { 0 }, next[HUFFMAN_BITS + 2] = { 0 };

        for (unsigned i = 0; i < n; i++)
                count[huffman->lengths[i]]++;
        for (unsigned i = 1; i <= HUFFMAN_BITS; i++)
                next[i + 1] = (next[i] + count[i]) << 1;
        for (unsigned i = 0; i < n; i++) {
                unsigned length = huffman->lengths[i], code = 0;

                for (unsigned bit = 0, value = length ? next[length]++ : 0; bit < length; bit++)
                        code |= (value >> bit & 1) << (length - 1 - bit);
                huffman->codes[i] = (uint16_t)code;
        }
}

void huffman_build(Huffman *ret, const uint32_t *counts, unsigned n, unsigned most)
{
        uint32_t leaves[HUFFMAN_MOST];
        unsigned at_depth[HUFFMAN_MOST] = { 0 };
        unsigned used = sort_used(counts, n, leaves), leaf = 0;

        count_depths(leaves, used, at_depth);
        limit_depths(at_depth, used - 1, most);
        memset(ret->lengths, 0, sizeof(ret->lengths));
        for (unsigned length = most; length > 0; length--)
                for (unsigned i = 0; i < at_depth[length]; i++)
                        ret->lengths[leaves[leaf++] & ((1U << SYMBOL_BITS) - 1)] = (uint8_t)length;
        huffman_number(ret, n);
}
