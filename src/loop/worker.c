/*
 * loop/worker.c - a few threads behind one queue
 *
 * The first thread is there from the start, the others come when a task finds
 * all of them at work, and stay. The mutex guards the two queues, the count of
 * what is in them and at work, and the stop flag, nothing else. Finished
 * tasks come back through an eventfd, so the loop drains many at one wake-up.
 */
#include "loop/worker.h"

#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct Task {
        Task *next;
        WorkerPool *pool;
        void (*work)(void *data);
        void (*done)(void *data);
        void (*drop)(void *data);
        void *data;
        bool cancelled, finished; /* loop thread only */
};

typedef struct Queue {
        Task *first, **last;
} Queue;

struct WorkerPool {
        pthread_mutex_t lock;
        pthread_cond_t more;
        Queue waiting, finished; /* under lock */
        unsigned n_busy;         /* tasks that wait or are worked on; under lock */
        bool stop;               /* under lock */
        pthread_t *threads;
        unsigned n_threads, most; /* loop thread only */
        Fd wake;
        Watch *watch;
};

static void queue_init(Queue *queue)
{
        queue->first = NULL;
        queue->last = &queue->first;
}

static void queue_put(Queue *queue, Task *task)
{
        task->next = NULL;
        *queue->last = task;
        queue->last = &task->next;
}

static Task *queue_get(Queue *queue)
{
        Task *task = queue->first;

        if (task) {
                queue->first = task->next;
                if (!queue->first)
                        queue->last = &queue->first;
        }
        return task;
}

static void *worker_main(void *arg)
{
        WorkerPool *pool = arg;
        Task *task;

        pthread_mutex_lock(&pool->lock);
        for (;;) {
                while (!(task = queue_get(&pool->waiting)) && !pool->stop)
                        pthread_cond_wait(&pool->more, &pool->lock);
                if (!task)
                        break;
                pthread_mutex_unlock(&pool->lock);
                task->work(task->data);
                pthread_mutex_lock(&pool->lock);
                pool->n_busy--;
                queue_put(&pool->finished, task);
                if (eventfd_write(pool->wake, 1) < 0)
                        abort(); /* the counter cannot overflow: it is read at every wake-up */
        }
        pthread_mutex_unlock(&pool->lock);
        return NULL;
}

static void deliver(Task *task)
{
        task->finished = true;
        if (!task->cancelled) {
                task->done(task->data); /* the owner frees the task in here or later */
                return;
        }
        if (task->drop)
                task->drop(task->data);
        free(task);
}

static void on_finished(void *arg, uint32_t revents UNUSED)
{
        WorkerPool *pool = arg;
        eventfd_t count;
        Queue done;

        if (eventfd_read(pool->wake, &count) < 0 && errno != EAGAIN)
                return;
        pthread_mutex_lock(&pool->lock);
        done.first = pool->finished.first;
        queue_init(&pool->finished);
        pthread_mutex_unlock(&pool->lock);
        for (Task *task = done.first, *next; task; task = next) {
                next = task->next;
                deliver(task);
        }
}

/* 0 or the error number. */
static int start_thread(WorkerPool *pool)
{
        sigset_t all, before;
        int r;

        /* signals are the loop's business */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&pool->threads[pool->n_threads], NULL, worker_main, pool);
        if (r == 0)
                pool->n_threads++;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return r;
}

WorkerPool *worker_pool_new(Loop *loop, unsigned most, Error *err)
{
        AUTO(WorkerPool) *pool = mem_new(WorkerPool);
        int r;

        pthread_mutex_init(&pool->lock, NULL);
        pthread_cond_init(&pool->more, NULL);
        queue_init(&pool->waiting);
        queue_init(&pool->finished);
        pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (pool->wake < 0) {
                err_errno(err, errno, "cannot make an eventfd");
                return NULL;
        }
        pool->watch = watch_new(loop, pool->wake, EPOLLIN, on_finished, pool);
        pool->most = most;
        pool->threads = mem_new_array(pthread_t, most);
        r = start_thread(pool);
        if (r) {
                err_errno(err, r, "cannot start a worker thread");
                return NULL;
        }
        return TAKE(pool);
}

WorkerPool *worker_pool_free(WorkerPool *pool)
{
        if (!pool)
                return NULL;
        pthread_mutex_lock(&pool->lock);
        pool->stop = true;
        pthread_cond_broadcast(&pool->more);
        pthread_mutex_unlock(&pool->lock);
        for (unsigned i = 0; i < pool->n_threads; i++)
                pthread_join(pool->threads[i], NULL);
        if (pool->wake >= 0 && pool->watch)
                on_finished(pool, EPOLLIN);
        /* what those set off - the next file of a queue - nobody else would do */
        for (Task *task; (task = queue_get(&pool->waiting));) {
                task->work(task->data);
                deliver(task);
        }
        watch_free(pool->watch);
        fd_close(&pool->wake);
        pthread_cond_destroy(&pool->more);
        pthread_mutex_destroy(&pool->lock);
        free(pool->threads);
        free(pool);
        return NULL;
}

Task *task_new(WorkerPool *pool, void (*work)(void *data), void (*done)(void *data), void *data)
{
        Task *task = mem_new(Task);
        bool all_busy;

        *task = (Task){ .pool = pool, .work = work, .done = done, .data = data };
        pthread_mutex_lock(&pool->lock);
        queue_put(&pool->waiting, task);
        all_busy = ++pool->n_busy > pool->n_threads && !pool->stop;
        pthread_cond_signal(&pool->more);
        pthread_mutex_unlock(&pool->lock);
        if (all_busy && pool->n_threads < pool->most)
                start_thread(pool); /* when there can be no more, those that there are do it */
        return task;
}

Task *task_free(Task *task, void (*drop)(void *data))
{
        if (!task)
                return NULL;
        if (task->finished) {
                free(task);
        } else {
                task->cancelled = true;
                task->drop = drop;
        }
        return NULL;
}
