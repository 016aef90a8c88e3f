#pragma once
/*
 * base/mem.h - heap memory
 *
 * Small allocations never fail: when the machine has no memory left for a few
 * bytes the process ends with a message, and the next start takes up its
 * state (guests outlive the daemon). A size that comes from outside is bounded
 * before it gets here; a large one goes through mem_try(), which may fail.
 */
#include <stddef.h>

void *mem_alloc(size_t n);              /* zeroed; never NULL */
void *mem_resize(void *p, size_t n);    /* never NULL; the new part is not cleared */
void *mem_try(size_t n);                /* zeroed, or NULL */
void *mem_dup(const void *p, size_t n); /* never NULL */

#define mem_new(T)          ((T *)mem_alloc(sizeof(T)))
#define mem_new_array(T, n) ((T *)mem_alloc_array((n), sizeof(T)))
void *mem_alloc_array(size_t n, size_t size); /* checks the product */
