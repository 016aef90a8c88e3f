#pragma once
/*
 * loop/worker.h - pure functions on other threads
 *
 * A task gets data of its own, works on it without touching anything the loop
 * owns, and its done function runs on the loop thread. Workers do CPU work and
 * I/O on drover's own state directory; a path that a user named belongs in a
 * child process, because a worker that hangs cannot be abandoned.
 */
#include "loop/loop.h"

typedef struct WorkerPool WorkerPool;
typedef struct Task Task;

/* At most so many threads, each made when it is needed first. */
WorkerPool *worker_pool_new(Loop *loop, unsigned most, Error *err);
/* All tasks are done first, and those that their done() makes: these by the caller's thread. Returns NULL. */
WorkerPool *worker_pool_free(WorkerPool *pool);

/* work(data) on a worker, then done(data) on the loop. data must live until done() or task_free(). */
Task *task_new(WorkerPool *pool, void (*work)(void *data), void (*done)(void *data), void *data);
/*
 * The owner calls this once, in done() or later. Called earlier it cancels: done() will not come, and
 * drop(data) (may be NULL) is called when no worker uses data any more. Returns NULL.
 */
Task *task_free(Task *task, void (*drop)(void *data));

DEFINE_AUTO(WorkerPool, worker_pool_free)
