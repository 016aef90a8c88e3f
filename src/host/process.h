#pragma once
/*
 * host/process.h - processes that may not be our children: who they are, when they end, where they run
 *
 * A pid alone names a process only for a moment; with its start time it names it for good.
 */
#include "base/bitmap.h"
#include "base/fd.h"
#include "loop/loop.h"

typedef struct Process Process;

typedef struct ProcessStat {
        char state;           /* R, S, D, Z, ... */
        uint64_t start_ticks; /* since boot */
        uint64_t user_ns, system_ns;
        uint64_t rss_bytes;
        int cpu; /* where it ran last */
} ProcessStat;

/* One process, or with tid one thread of it. */
int process_stat(pid_t pid, pid_t tid, ProcessStat *ret, Error *err);
/* From the text of a stat file; for tests and the above. */
int process_stat_parse(const char *text, ProcessStat *ret, Error *err);

/* Watch a running process whose start time is start_ticks (0: any); ended() is called once when it is gone. */
Process *process_adopt(Loop *loop, pid_t pid, uint64_t start_ticks, void (*ended)(void *arg), void *arg, Error *err);
pid_t process_pid(const Process *process);
uint64_t process_start_ticks(const Process *process);
int process_signal(const Process *process, int signum, Error *err); /* one that has ended is fine */
Process *process_free(Process *process);                            /* stops watching; returns NULL */

/* The threads of a process, *n of them; the caller frees the array. */
int process_threads(pid_t pid, pid_t **ret, size_t *n, Error *err);
/* Refused where the process has no such thread: what tells us its number may be a QEMU that a guest has taken over. */
int process_set_affinity(pid_t pid, pid_t tid, const Bitmap *cpus, Error *err);
int process_get_affinity(pid_t tid, Bitmap *ret, Error *err);
/* Bytes of it that are swapped out (MEM-05). */
int process_swapped(pid_t pid, uint64_t *ret_bytes, Error *err);

DEFINE_AUTO(Process, process_free)
