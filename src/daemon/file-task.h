#pragma once
/*
 * daemon/file-task.h - durable changes in droverd's own directories, off the loop
 *
 * One change at a time and in the order asked for, so that two writes to one
 * file never overtake each other. A write that nobody waits for (no done) takes
 * the place of one of the same file that nobody waits for either and that has
 * not begun: a guest whose state changes all the time has two in the queue.
 */
#include "base/buf.h"
#include "base/err.h"
#include "loop/worker.h"

typedef struct FileQueue FileQueue;

/* With no change under way when it is freed: those that wait are still made. */
FileQueue *file_queue_new(WorkerPool *pool);
FileQueue *file_queue_free(FileQueue *queue); /* returns NULL */
/* The workers are gone: what is asked for from now on is made by the caller, and done() does not come. */
void file_queue_end(FileQueue *queue);

/*
 * done (may be NULL) comes on the loop when the file is there, synced if durable, or could not be written. content is
 * taken over, and wiped from memory afterwards.
 */
void file_queue_write(FileQueue *queue, const char *path, Buf *content, mode_t mode, bool durable,
                      void (*done)(void *arg, const Error *failure), void *arg);
/* Behind what the file holds, in one piece; not synced. One that is not there is not made. */
void file_queue_append(FileQueue *queue, const char *path, Buf *content,
                       void (*done)(void *arg, const Error *failure), void *arg);
/*
 * Remove each path; those that are not there are fine. One that ends with "/" is a directory, which goes with the files in
 * it. paths ends with NULL.
 */
void file_queue_remove(FileQueue *queue, const char *const *paths, void (*done)(void *arg, const Error *failure),
                       void *arg);
/* A symbolic link to target, synced, in place of what was there. */
void file_queue_link(FileQueue *queue, const char *path, const char *target,
                     void (*done)(void *arg, const Error *failure), void *arg);

DEFINE_AUTO(FileQueue, file_queue_free)
