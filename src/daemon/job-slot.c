/*
 * daemon/job-slot.c - grant, queue and refuse claims on a guest
 */
#include "daemon/job-slot.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

enum { PATIENCE_MS = 30000 };

struct JobClaim {
        JobSlot *slot;
        JobType type;
        char *guest; /* by the name it had: it may be renamed meanwhile */
        bool granted;
        uint64_t since_ms;
        Timer *patience;
        void (*fn)(void *arg, const Error *refused);
        void *arg;
};

struct JobSlot {
        Loop *loop;
        VEC(JobClaim *) running; /* at most one long one */
        VEC(JobClaim *) waiting; /* in order of arrival */
        unsigned serving;        /* calls of serve() that are under way */
        unsigned holders;        /* who wants nobody settled for now */
        bool freed;              /* by what one of them set off: the last frees it */
};

JobSlot *job_slot_new(Loop *loop)
{
        JobSlot *slot = mem_new(JobSlot);

        slot->loop = loop;
        return slot;
}

static bool allows(JobType running, JobType asked)
{
        return job_types[running].allows & 1U << asked;
}

/* The running job that stands in the way of one of this type, or NULL. */
static JobClaim *obstacle(const JobSlot *slot, JobType type)
{
        for (size_t i = 0; i < slot->running.len; i++) {
                if (!allows(slot->running.items[i]->type, type))
                        return slot->running.items[i];
        }
        return NULL;
}

/* Does one that waits in front of place `at` have to go first? */
static bool is_overtaking(const JobSlot *slot, size_t at)
{
        for (size_t i = 0; i < at; i++) {
                if (!allows(slot->waiting.items[i]->type, slot->waiting.items[at]->type))
                        return true;
        }
        return false;
}

static void refuse(JobClaim *claim, const JobClaim *in_the_way)
{
        AUTO(Error) why = { 0 };

        err_set(&why, ERR_OPERATION_INVALID, "guest '%s' is busy with %s; wait for it, or abort it (domjobabort)",
                claim->guest, job_types[in_the_way->type].title);
        claim->patience = timer_free(claim->patience);
        claim->fn(claim->arg, &why); /* may free the claim */
}

static void grant(JobClaim *claim)
{
        claim->patience = timer_free(claim->patience);
        claim->granted = true;
        claim->since_ms = loop_now_ms(claim->slot->loop);
        vec_push(&claim->slot->running, claim);
        claim->fn(claim->arg, NULL); /* may free the claim */
}

/* Settle the first waiting claim that can be settled. False: all have to wait. */
static bool serve_one(JobSlot *slot)
{
        for (size_t i = 0; i < slot->waiting.len; i++) {
                JobClaim *claim = slot->waiting.items[i];
                JobClaim *in_the_way = obstacle(slot, claim->type);

                if (in_the_way ? !job_types[in_the_way->type].is_long : is_overtaking(slot, i))
                        continue;
                vec_remove(&slot->waiting, i);
                if (in_the_way)
                        refuse(claim, in_the_way);
                else
                        grant(claim);
                return true;
        }
        return false;
}

/* Whoever is settled here may be the last to hold the guest, and with it the slot. */
static void serve(JobSlot *slot)
{
        slot->serving++;
        while (!slot->freed && !slot->holders && serve_one(slot))
                ;
        if (--slot->serving == 0 && slot->freed)
                job_slot_free(slot);
}

void job_slot_hold(JobSlot *slot)
{
        slot->holders++;
}

void job_slot_let_go(JobSlot *slot)
{
        slot->holders--;
        serve(slot);
}

static void on_patience_ended(void *arg)
{
        JobClaim *claim = arg;
        AUTO(Error) why = { 0 };
        JobClaim *in_the_way = obstacle(claim->slot, claim->type);

        vec_remove_item(&claim->slot->waiting, claim);
        err_set(&why, ERR_OPERATION_TIMEOUT, "guest '%s' is not responding: %s did not end within %d s", claim->guest,
                job_types[in_the_way ? in_the_way->type : JOB_MODIFY].title, PATIENCE_MS / 1000);
        claim->fn(claim->arg, &why); /* may free the claim */
}

void job_claim(JobSlot *slot, JobType type, const char *guest, JobClaim **ret,
               void (*settled)(void *arg, const Error *refused), void *arg)
{
        JobClaim *claim = mem_new(JobClaim);

        *claim = (JobClaim){ .slot = slot, .type = type, .guest = str_dup(guest), .fn = settled, .arg = arg };
        *ret = claim;
        vec_push(&slot->waiting, claim);
        claim->patience = timer_new(slot->loop, PATIENCE_MS, on_patience_ended, claim);
        serve(slot);
}

void job_claim_become(JobClaim *claim, JobType type)
{
        claim->type = type;
        claim->since_ms = loop_now_ms(claim->slot->loop);
}

JobClaim *job_claim_free(JobClaim *claim)
{
        JobSlot *slot;

        if (!claim)
                return NULL;
        slot = claim->slot;
        timer_free(claim->patience);
        vec_remove_item(&slot->running, claim);
        vec_remove_item(&slot->waiting, claim);
        free(claim->guest);
        free(claim);
        serve(slot);
        return NULL;
}

static const JobClaim *find_running(const JobSlot *slot, bool is_long)
{
        for (size_t i = 0; i < slot->running.len; i++) {
                if (job_types[slot->running.items[i]->type].is_long == is_long)
                        return slot->running.items[i];
        }
        return NULL;
}

JobType job_slot_running(const JobSlot *slot, bool is_long)
{
        const JobClaim *claim = find_running(slot, is_long);

        return claim ? claim->type : JOB_NONE;
}

uint64_t job_slot_since_ms(const JobSlot *slot, bool is_long)
{
        const JobClaim *claim = find_running(slot, is_long);

        return claim ? claim->since_ms : 0;
}

bool job_slot_is_idle(const JobSlot *slot)
{
        return slot->running.len == 0 && slot->waiting.len == 0;
}

JobSlot *job_slot_free(JobSlot *slot)
{
        if (!slot)
                return NULL;
        slot->freed = true;
        if (slot->serving)
                return NULL;
        vec_done(&slot->running);
        vec_done(&slot->waiting);
        free(slot);
        return NULL;
}
