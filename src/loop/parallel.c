/*
 * loop/parallel.c - one function over many items, on all processors
 */
#include "loop/parallel.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
        MOST_THREADS = 8,
        WORTH_A_THREAD = 32, /* items; fewer are done before a thread has started */
};

typedef struct Parallel {
        void (*work)(void *data, size_t i);
        void *data;
        size_t n;
        atomic_size_t next;
} Parallel;

static void *take_items(void *arg)
{
        Parallel *p = arg;

        for (size_t i; (i = atomic_fetch_add(&p->next, 1)) < p->n;)
                p->work(p->data, i);
        return NULL;
}

/* Threads beside the caller's own. */
static unsigned count_helpers(size_t n)
{
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        size_t most = processors > MOST_THREADS ? MOST_THREADS : processors > 1 ? (size_t)processors : 1;

        return (unsigned)(n / WORTH_A_THREAD < most ? n / WORTH_A_THREAD : most - 1);
}

void parallel_each(size_t n, void (*work)(void *data, size_t i), void *data)
{
        Parallel p = { .work = work, .data = data, .n = n };
        pthread_t threads[MOST_THREADS];
        unsigned wanted = count_helpers(n), started = 0;
        sigset_t all, before;

        /* signals are the caller's business */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        while (started < wanted && pthread_create(&threads[started], NULL, take_items, &p) == 0)
                started++;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        take_items(&p); /* a thread that could not be had only makes it slower */
        for (unsigned i = 0; i < started; i++)
                pthread_join(threads[i], NULL);
}
