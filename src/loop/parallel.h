#pragma once
/*
 * loop/parallel.h - one function over many items, on all processors
 */
#include <stddef.h>

/*
 * work(data, i) for each i below n, on several threads at once and in no order; blocks until all are done. What work()
 * touches beyond its own item nobody may change meanwhile. For the time before the loop turns: later it is a Task.
 */
void parallel_each(size_t n, void (*work)(void *data, size_t i), void *data);
