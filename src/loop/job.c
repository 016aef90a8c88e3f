/*
 * loop/job.c - run, undo and ask the steps of a long operation
 *
 * One function advances: it calls what is due until something waits. Callbacks
 * that come while it runs only leave their news behind, so a step may answer
 * itself at once without growing the stack.
 */
#include "loop/job.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

typedef enum Mode {
        MODE_NEW,
        MODE_RUNNING,
        MODE_ASKING,
        MODE_UNDOING,
        MODE_FINISHED,
} Mode;

struct Job {
        Loop *loop;
        const JobKind *kind;
        void *state;
        size_t at; /* the step that runs, is asked about or is undone */
        Mode mode;
        bool committed;
        bool advancing; /* advance() is on the stack */
        bool answered;  /* an answer came meanwhile */
        bool pausing;   /* between two questions */
        StepResult answer;
        Error answer_err;
        Error why; /* the first failure: what finished() reports */
        Timer *deadline;
        uint64_t asked; /* how often the current step was asked about, for the pause between */
};

enum {
        ASK_AGAIN_MS = 1000,
        UNDO_DEADLINE_S = 60,
};

typedef enum Next {
        NEXT_WAIT,
        NEXT_CALL,
        NEXT_FINISH,
} Next;

static void advance(Job *job, Next next);

Job *job_new(Loop *loop, const JobKind *kind, void *state)
{
        Job *job = mem_new(Job);

        *job = (Job){ .loop = loop, .kind = kind, .state = state };
        return job;
}

Job *job_free(Job *job)
{
        if (!job)
                return NULL;
        timer_free(job->deadline);
        err_done(&job->answer_err);
        err_done(&job->why);
        free(job);
        return NULL;
}

const char *job_step_name(const Job *job)
{
        return job->at < job->kind->n_steps ? job->kind->steps[job->at].name : "end";
}

bool job_is_committed(const Job *job)
{
        return job->committed;
}

bool job_is_undoing(const Job *job)
{
        return job->mode == MODE_UNDOING;
}

bool job_is_finished(const Job *job)
{
        return job->mode == MODE_FINISHED;
}

static void on_deadline(void *arg)
{
        Job *job = arg;
        const JobStep *step = &job->kind->steps[job->at];
        AUTO(Error) err = { 0 };

        if (job->pausing) {
                job->pausing = false;
                advance(job, NEXT_CALL);
                return;
        }
        if (job->mode == MODE_ASKING) {
                job_lost(job, NULL);
                return;
        }
        err_set(&err, ERR_OPERATION_TIMEOUT, "%s: step '%s' did not end within %u s", job->kind->name, step->name,
                job->mode == MODE_UNDOING ? (unsigned)UNDO_DEADLINE_S : step->deadline_s);
        if (job->mode == MODE_RUNNING && step->ask)
                job_lost(job, &err);
        else
                job_resume(job, &err);
}

static void set_deadline(Job *job, unsigned ms)
{
        if (!job->deadline)
                job->deadline = timer_new(job->loop, ms, on_deadline, job);
        else
                timer_set(job->deadline, ms);
}

static void finish(Job *job)
{
        Error why = job->why;

        job->why = (Error){ 0 };
        job->mode = MODE_FINISHED;
        job->deadline = timer_free(job->deadline);
        job->kind->finished(job->state, &why); /* may free the job */
        err_done(&why);
}

/* Call what is due now: the step itself, its ask or its undo. */
static StepResult call_current(Job *job, Error *err)
{
        const JobStep *step = &job->kind->steps[job->at];
        StepResult result;

        switch (job->mode) {
        case MODE_RUNNING:
                result = step->run(job->state, job, err);
                if (result == STEP_WAIT && step->deadline_s)
                        set_deadline(job, step->deadline_s * 1000);
                return result;
        case MODE_ASKING:
                result = step->ask(job->state, job, err);
                if (result == STEP_WAIT)
                        set_deadline(job, ASK_AGAIN_MS * 10);
                return result;
        case MODE_UNDOING:
                if (!step->undo)
                        return STEP_DONE;
                result = step->undo(job->state, job, err);
                if (result == STEP_WAIT)
                        set_deadline(job, UNDO_DEADLINE_S * 1000);
                return result;
        default:
                return STEP_WAIT;
        }
}

static void keep_first_failure(Job *job, const Error *failure)
{
        if (!err_is_set(&job->why)) {
                if (err_is_set(failure))
                        err_copy(&job->why, failure);
                else
                        err_set(&job->why, ERR_INTERNAL, "%s: step '%s' failed", job->kind->name, job_step_name(job));
        }
}

static Next ask_later(Job *job)
{
        /* nothing answers: the job stands still and asks again after a pause that grows to ten seconds */
        job->asked++;
        job->pausing = true;
        set_deadline(job, ASK_AGAIN_MS * (unsigned)MIN(job->asked, (uint64_t)10));
        return NEXT_WAIT;
}

static Next settle_undo(Job *job, StepResult result, const Error *failure)
{
        if (result == STEP_FAILED)
                keep_first_failure(job, failure);
        if (job->at == 0)
                return NEXT_FINISH;
        job->at--;
        return NEXT_CALL;
}

static Next settle_done(Job *job)
{
        job->mode = MODE_RUNNING;
        job->at++;
        return job->at == job->kind->n_steps ? NEXT_FINISH : NEXT_CALL;
}

static Next settle_failed(Job *job, const Error *failure)
{
        keep_first_failure(job, failure);
        if (!job->committed) {
                job->mode = MODE_UNDOING;
                return NEXT_CALL;
        }
        /* past the commit there is no way back: what failed is reported, the rest still runs */
        job->mode = MODE_RUNNING;
        job->at++;
        return job->at == job->kind->n_steps ? NEXT_FINISH : NEXT_CALL;
}

/* Take the result of the function that was called last and say what is due next. */
static Next settle(Job *job, StepResult result, const Error *failure)
{
        const JobStep *step = &job->kind->steps[job->at];

        if (result == STEP_WAIT)
                return NEXT_WAIT;
        if (job->deadline)
                timer_stop(job->deadline);
        if (job->mode == MODE_UNDOING)
                return settle_undo(job, result, failure);
        if (result == STEP_UNKNOWN && step->ask) {
                if (job->mode == MODE_ASKING)
                        return ask_later(job);
                job->mode = MODE_ASKING;
                job->asked = 0;
                return NEXT_CALL;
        }
        return result == STEP_DONE ? settle_done(job) : settle_failed(job, failure);
}

static void advance(Job *job, Next next)
{
        AUTO(Error) err = { 0 };

        job->advancing = true;
        while (next == NEXT_CALL) {
                StepResult result;

                err_done(&err);
                job->answered = false;
                result = call_current(job, &err);
                if (result == STEP_WAIT && job->answered) {
                        result = job->answer;
                        err_move(&err, &job->answer_err);
                }
                next = settle(job, result, &err);
        }
        job->advancing = false;
        if (next == NEXT_FINISH)
                finish(job);
}

void job_start(Job *job)
{
        job->mode = MODE_RUNNING;
        advance(job, NEXT_CALL);
}

static void answer(Job *job, StepResult result, const Error *failure)
{
        if (job->mode == MODE_FINISHED || job->mode == MODE_NEW || job->pausing)
                return;
        if (!job->advancing) {
                advance(job, settle(job, result, failure));
                return;
        }
        job->answered = true;
        job->answer = result;
        err_done(&job->answer_err);
        if (failure)
                err_copy(&job->answer_err, failure);
}

void job_resume(Job *job, const Error *failure)
{
        answer(job, failure ? STEP_FAILED : STEP_DONE, failure);
}

void job_lost(Job *job, const Error *how)
{
        answer(job, STEP_UNKNOWN, how);
}

int job_cancel(Job *job, const Error *why, Error *err)
{
        if (job->committed)
                return err_set(err, ERR_OPERATION_INVALID, "%s has passed the point of no return (step '%s')",
                               job->kind->name, job_step_name(job));
        if (job->mode == MODE_ASKING)
                return err_set(err, ERR_OPERATION_INVALID, "%s: the outcome of step '%s' is not known yet",
                               job->kind->name, job_step_name(job));
        if (job->mode == MODE_RUNNING)
                answer(job, STEP_FAILED, why);
        return 0;
}

void job_commit(Job *job)
{
        job->committed = true;
}
