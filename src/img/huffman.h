#pragma once
/*
 * img/huffman.h - prefix codes as deflate wants them
 */
#include <stdint.h>

enum { HUFFMAN_MOST = 288, HUFFMAN_BITS = 15 };

typedef struct Huffman {
        uint16_t codes[HUFFMAN_MOST]; /* as they are written: the first bit is the lowest */
        uint8_t lengths[HUFFMAN_MOST];
} Huffman;

/* The codes for n symbols that occur this often, none over `most` bits. At least two symbols get one. */
void huffman_build(Huffman *ret, const uint32_t *counts, unsigned n, unsigned most);
/* From the lengths that are in it already. */
void huffman_number(Huffman *huffman, unsigned n);
