#include "test.h"

#include "base/buf.h"
#include "base/str.h"
#include "loop/job.h"

static char trace[256];

static void note(const char *word)
{
        if (trace[0])
                strcat(trace, " ");
        strcat(trace, word);
}

static StepResult run_one(void *state UNUSED, Job *job UNUSED, Error *err UNUSED)
{
        note("1");
        return STEP_DONE;
}

static StepResult undo_one(void *state UNUSED, Job *job UNUSED, Error *err UNUSED)
{
        note("undo-1");
        return STEP_DONE;
}

static StepResult run_two(void *state UNUSED, Job *job UNUSED, Error *err UNUSED)
{
        note("2");
        return STEP_WAIT;
}

static StepResult undo_two(void *state UNUSED, Job *job UNUSED, Error *err UNUSED)
{
        note("undo-2");
        return STEP_WAIT;
}

static StepResult ask_two(void *state, Job *job UNUSED, Error *err)
{
        int *answers = state;

        note("ask-2");
        if (*answers < 0)
                return err_set(err, ERR_OPERATION_FAILED, "it did not happen"), STEP_FAILED;
        return (*answers)-- > 0 ? STEP_UNKNOWN : STEP_DONE;
}

static StepResult answer_at_once(void *state UNUSED, Job *job, Error *err UNUSED)
{
        note("3");
        job_resume(job, NULL);
        return STEP_WAIT;
}

static void on_finished(void *state UNUSED, const Error *why)
{
        note(why->code == ERR_OK ? "finished" : why->text);
}

static const JobStep two_steps_table[] = {
        { "one", run_one, undo_one, NULL, 0 },
        { "two", run_two, undo_two, NULL, 5 },
        { "three", answer_at_once, NULL, NULL, 0 },
};
static const JobKind steps = { "move", two_steps_table, ARRAY_LEN(two_steps_table), on_finished };

static const JobStep asking_table[] = {
        { "one", run_one, undo_one, NULL, 0 },
        { "two", run_two, undo_two, ask_two, 5 },
};
static const JobKind asking = { "move", asking_table, ARRAY_LEN(asking_table), on_finished };

static Loop *loop;

static Job *start(const JobKind *kind, void *state)
{
        Job *job = job_new(loop, kind, state);

        trace[0] = '\0';
        job_start(job);
        return job;
}

static void done(Job *job)
{
        CHECK(job_is_finished(job));
        job_free(job);
        loop = loop_free(loop);
}

TEST(steps_run_in_order_and_may_answer_at_once)
{
        Job *job;

        loop = loop_new_fake(NULL);
        job = start(&steps, NULL);
        CHECK_STR(job_step_name(job), "two");
        job_resume(job, NULL);
        CHECK_STR(trace, "1 2 3 finished");
        job_resume(job, NULL); /* too late: nothing happens */
        CHECK_STR(trace, "1 2 3 finished");
        done(job);
}

TEST(a_failed_step_undoes_the_ones_before)
{
        AUTO(Error) lost = { 0 };
        Job *job;

        loop = loop_new_fake(NULL);
        job = start(&steps, NULL);
        err_set(&lost, ERR_OPERATION_INVALID, "guest is gone");
        job_resume(job, &lost);
        CHECK(job_is_undoing(job));
        job_resume(job, NULL);
        CHECK_STR(trace, "1 2 undo-2 undo-1 guest is gone");
        done(job);
}

TEST(a_deadline_fails_the_step)
{
        Job *job;

        loop = loop_new_fake(NULL);
        job = start(&steps, NULL);
        loop_advance(loop, 5000);
        job_resume(job, NULL);
        CHECK_STR(trace, "1 2 undo-2 undo-1 move: step 'two' did not end within 5 s");
        done(job);
}

TEST(an_undo_that_never_answers_does_not_hold_the_rest)
{
        AUTO(Error) why = { 0 };
        Job *job;

        loop = loop_new_fake(NULL);
        job = start(&steps, NULL);
        err_set(&why, ERR_OPERATION_ABORTED, "cancelled");
        CHECK_INT(job_cancel(job, &why, NULL), 0);
        loop_advance(loop, 60000);
        CHECK_STR(trace, "1 2 undo-2 undo-1 cancelled");
        done(job);
}

TEST(a_lost_answer_is_asked_for_and_never_undone)
{
        AUTO(Error) how = { 0 };
        int unknown_twice = 2;
        Job *job;

        loop = loop_new_fake(NULL);
        job = start(&asking, &unknown_twice);
        err_set(&how, ERR_SYSTEM, "connection reset");
        job_lost(job, &how);
        CHECK_STR(trace, "1 2 ask-2");
        CHECK_INT(job_cancel(job, &how, NULL), -1);
        loop_advance(loop, 1000);
        CHECK_STR(trace, "1 2 ask-2 ask-2");
        loop_advance(loop, 2000);
        CHECK_STR(trace, "1 2 ask-2 ask-2 ask-2 finished");
        done(job);
}

TEST(positive_knowledge_that_it_did_not_happen_undoes)
{
        int denied = -1;
        Job *job;

        loop = loop_new_fake(NULL);
        job = start(&asking, &denied);
        loop_advance(loop, 5000); /* the deadline of a step with ask is a lost answer */
        job_resume(job, NULL);
        CHECK_STR(trace, "1 2 ask-2 undo-2 undo-1 it did not happen");
        done(job);
}

TEST(after_the_commit_nothing_is_undone)
{
        AUTO(Error) late = { 0 };
        AUTO(Error) err = { 0 };
        Job *job;

        loop = loop_new_fake(NULL);
        job = start(&steps, NULL);
        job_commit(job);
        err_set(&late, ERR_OPERATION_FAILED, "too late");
        CHECK_INT(job_cancel(job, &late, &err), -1);
        CHECK_STR(err.text, "move has passed the point of no return (step 'two')");
        job_resume(job, &late);
        CHECK_STR(trace, "1 2 3 too late");
        done(job);
}
