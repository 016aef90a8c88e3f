#pragma once
/*
 * daemon/job-slot.h - what a guest is busy with
 *
 * One slot per guest. A long job (start, save, migration) holds it for its
 * whole time and lets short ones in as facts/jobs.toml says; short jobs follow
 * one another. Reads need no slot. A claim is granted at once, granted later,
 * or refused; the owner of a granted claim frees it when it is done.
 */
#include "base/err.h"
#include "daemon/job-types.h"
#include "loop/loop.h"

typedef struct JobSlot JobSlot;
typedef struct JobClaim JobClaim;

JobSlot *job_slot_new(Loop *loop);
JobSlot *job_slot_free(JobSlot *slot); /* idle; returns NULL */

/*
 * Ask for the slot. *ret is set first; then settled(arg, NULL) is called when it is the claim's turn, perhaps
 * at once, or settled(arg, why) when it was refused: a long job runs that does not allow it, or it waited for
 * 30 s. guest names it in the refusal.
 */
void job_claim(JobSlot *slot, JobType type, const char *guest, JobClaim **ret,
               void (*settled)(void *arg, const Error *refused), void *arg);
/*
 * A claim that was granted becomes one of another type: nobody comes in between. Who waits is looked at when the slot is next
 * let go of or asked for.
 */
void job_claim_become(JobClaim *claim, JobType type);
/* Give the slot back, or stop waiting without a word. Others may be granted before this returns. */
JobClaim *job_claim_free(JobClaim *claim);

/*
 * Between these nobody is granted or refused: the guest is in the middle of something that must not be seen half done,
 * and what ends meanwhile would let the next one in. The guest is referenced.
 */
void job_slot_hold(JobSlot *slot);
void job_slot_let_go(JobSlot *slot);

/* The long (or short) job that runs, or JOB_NONE, and the loop time at which it began. */
JobType job_slot_running(const JobSlot *slot, bool is_long);
uint64_t job_slot_since_ms(const JobSlot *slot, bool is_long);
bool job_slot_is_idle(const JobSlot *slot);

DEFINE_AUTO(JobSlot, job_slot_free)
DEFINE_AUTO(JobClaim, job_claim_free)
