#include "test.h"

#include "base/str.h"
#include "daemon/job-slot.h"

typedef struct Asker {
        JobClaim *claim;
        bool granted;
        Error refused;
} Asker;

static Loop *loop;
static JobSlot *slot;

static void settled(void *arg, const Error *refused)
{
        Asker *a = arg;

        a->granted = !refused;
        if (refused)
                err_copy(&a->refused, refused);
}

static void ask(Asker *a, JobType type)
{
        job_claim(slot, type, "g", &a->claim, settled, a);
}

static void leave(Asker *a)
{
        a->claim = job_claim_free(a->claim);
        err_done(&a->refused);
}

static void begin(void)
{
        loop = loop_new_fake(NULL);
        slot = job_slot_new(loop);
}

static void end(void)
{
        CHECK(job_slot_is_idle(slot));
        slot = job_slot_free(slot);
        loop = loop_free(loop);
}

TEST(short_jobs_follow_one_another)
{
        Asker a = { 0 }, b = { 0 }, c = { 0 };

        begin();
        ask(&a, JOB_MODIFY);
        ask(&b, JOB_PAUSE);
        ask(&c, JOB_MODIFY);
        CHECK(a.granted && !b.granted && !c.granted);
        CHECK_INT(job_slot_running(slot, false), JOB_MODIFY);
        leave(&a);
        CHECK(b.granted && !c.granted);
        leave(&c); /* stops waiting */
        leave(&b);
        end();
}

/* MIG-44: a change during a migration fails with a busy error. */
TEST(a_long_job_refuses_what_it_does_not_allow)
{
        Asker move = { 0 }, change = { 0 }, pause = { 0 }, kill = { 0 };

        begin();
        ask(&move, JOB_MIGRATION_OUT);
        ask(&change, JOB_MODIFY);
        CHECK(!change.granted);
        CHECK_STR(change.refused.text,
                  "guest 'g' is busy with a migration to another host; wait for it, or abort it (domjobabort)");
        ask(&pause, JOB_PAUSE);
        CHECK(pause.granted);
        ask(&kill, JOB_DESTROY);
        CHECK(kill.granted);
        leave(&change);
        leave(&pause);
        leave(&kill);
        leave(&move);
        end();
}

/* LIFE-26: destroy works while another change is stuck, and does not queue behind those that wait. */
TEST(destroy_overtakes_everything)
{
        Asker stuck = { 0 }, waiting = { 0 }, kill = { 0 };

        begin();
        ask(&stuck, JOB_MODIFY);
        ask(&waiting, JOB_MODIFY);
        ask(&kill, JOB_DESTROY);
        CHECK(kill.granted && !waiting.granted);
        leave(&kill);
        leave(&stuck);
        CHECK(waiting.granted);
        leave(&waiting);
        end();
}

/* Who waits behind a renaming is refused behind it, when the name that it was asked for by is gone. */
TEST(a_guest_may_be_renamed_while_others_wait_for_it)
{
        Asker renaming = { 0 }, start = { 0 }, other = { 0 };
        char *name = str_dup("old");

        begin();
        ask(&renaming, JOB_MODIFY);
        job_claim(slot, JOB_START, name, &start.claim, settled, &start);
        job_claim(slot, JOB_START, name, &other.claim, settled, &other);
        free(name);
        leave(&renaming);
        CHECK(start.granted);
        CHECK(str_starts(other.refused.text, "guest 'old' is busy with being started; "));
        leave(&other);
        leave(&start);
        end();
}

TEST(nobody_waits_for_ever)
{
        Asker stuck = { 0 }, waiting = { 0 };

        begin();
        ask(&stuck, JOB_MODIFY);
        ask(&waiting, JOB_MODIFY);
        loop_advance(loop, 29999);
        CHECK(!err_is_set(&waiting.refused));
        loop_advance(loop, 1);
        CHECK_INT(waiting.refused.code, ERR_OPERATION_TIMEOUT);
        leave(&waiting);
        leave(&stuck);
        end();
}

static void end_with_the_slot(void *arg, const Error *refused)
{
        Asker *a = arg;

        CHECK_NULL(refused);
        a->claim = job_claim_free(a->claim);
        slot = job_slot_free(slot);
}

/* Undefining a guest: its job is the last to hold it, and ends before the claim was made in full. */
TEST(a_job_may_take_the_slot_with_it)
{
        Asker last = { 0 };

        begin();
        job_claim(slot, JOB_MODIFY, "g", &last.claim, end_with_the_slot, &last);
        CHECK_NULL(slot);
        loop = loop_free(loop);
}

/* A guest that is in the middle of its end: what fails because of that must not let the next one see it. */
TEST(nobody_is_let_in_while_the_slot_is_held)
{
        Asker a = { 0 }, b = { 0 }, c = { 0 };

        begin();
        ask(&a, JOB_MODIFY);
        ask(&b, JOB_MODIFY);
        job_slot_hold(slot);
        leave(&a);
        ask(&c, JOB_DESTROY);
        CHECK(!b.granted && !c.granted);
        job_slot_let_go(slot);
        CHECK(b.granted && c.granted);
        leave(&c);
        leave(&b);
        end();
}

/* A guest that is found again in the middle of a move: who has waited for it comes behind that. */
TEST(a_job_may_become_another_with_nobody_in_between)
{
        Asker found = { 0 }, save = { 0 }, pause = { 0 };

        begin();
        ask(&found, JOB_ADOPT);
        ask(&save, JOB_SAVE);
        ask(&pause, JOB_PAUSE);
        job_slot_hold(slot);
        job_claim_become(found.claim, JOB_MIGRATION_OUT);
        CHECK_INT(job_slot_running(slot, true), JOB_MIGRATION_OUT);
        CHECK(!save.granted && !pause.granted);
        job_slot_let_go(slot);
        CHECK(!save.granted && pause.granted);
        CHECK_STR(save.refused.text,
                  "guest 'g' is busy with a migration to another host; wait for it, or abort it (domjobabort)");
        leave(&pause);
        leave(&save);
        leave(&found);
        end();
}
