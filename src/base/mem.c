/*
 * base/mem.c - heap memory that ends the process when it runs out
 */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t n)
{
        fprintf(stderr, "out of memory: %zu bytes could not be allocated\n", n);
        abort();
}

void *mem_try(size_t n)
{
        return calloc(1, n ? n : 1);
}

void *mem_alloc(size_t n)
{
        void *p = mem_try(n);

        if (!p)
                out_of_memory(n);
        return p;
}

void *mem_alloc_array(size_t n, size_t size)
{
        if (size && n > SIZE_MAX / size)
                out_of_memory(SIZE_MAX);
        return mem_alloc(n * size);
}

void *mem_resize(void *p, size_t n)
{
        void *q = realloc(p, n ? n : 1);

        if (!q)
                out_of_memory(n);
        return q;
}

void *mem_dup(const void *p, size_t n)
{
        void *q = mem_alloc(n);

        if (n)
                memcpy(q, p, n);
        return q;
}
