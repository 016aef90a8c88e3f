#pragma once
/*
 * loop/job.h - a long operation, written as a table of steps
 *
 * A job runs its steps in order on the loop thread. A step finishes at once or
 * waits: for a QMP reply or event, a worker, a peer. If a step fails, is
 * cancelled or outlives its deadline, the undo functions of all steps begun so
 * far run in reverse - unless the job was committed.
 *
 * A step may also end as unknown: its request left us and the answer was lost.
 * Nothing is undone then; the step's ask function finds out what became of it,
 * and may itself wait. Until it knows, the job stands still.
 *
 * A job lives in memory: what a daemon must know that comes back after a crash is
 * in the guest's status file (daemon/qemu-status.c).
 */
#include "loop/loop.h"

typedef struct Job Job;

typedef enum StepResult {
        STEP_FAILED = -1, /* err says why */
        STEP_DONE,        /* go on with the next step now */
        STEP_WAIT,        /* somebody will call job_resume() */
        STEP_UNKNOWN,     /* the request left us, its answer was lost: ask() decides, never undo */
} StepResult;

typedef struct JobStep {
        const char *name;
        StepResult (*run)(void *state, Job *job, Error *err);
        StepResult (*undo)(void *state, Job *job, Error *err); /* accepts a step half done; may be NULL */
        StepResult (*ask)(void *state, Job *job, Error *err);  /* what became of it? NULL: nothing left us */
        unsigned deadline_s;                                   /* 0: none */
} JobStep;

typedef struct JobKind {
        const char *name;
        const JobStep *steps;
        size_t n_steps;
        void (*finished)(void *state, const Error *why); /* why->code is ERR_OK: it succeeded. May free the job. */
} JobKind;

Job *job_new(Loop *loop, const JobKind *kind, void *state); /* state stays the caller's */
void job_start(Job *job);
/* What the running step or undo waited for happened (NULL) or failed. */
void job_resume(Job *job, const Error *failure);
/* The waiting step's answer was lost after the request had left us. */
void job_lost(Job *job, const Error *how);
const char *job_step_name(const Job *job);
bool job_is_committed(const Job *job);
bool job_is_undoing(const Job *job);
bool job_is_finished(const Job *job);
/* Undo; finished() still comes. After a commit this is refused: -1 with the reason. */
int job_cancel(Job *job, const Error *why, Error *err);
void job_commit(Job *job); /* from now on the job only goes forward */
Job *job_free(Job *job);   /* finished or never started; returns NULL */

DEFINE_AUTO(Job, job_free)
