/*
 * app/drover/progress.c - poll a job while its call waits, and end it when told to
 *
 * The poll is a call of its own on the same connection, made from a timer: the
 * loop runs while the command waits. A poll that fails says nothing; the job's
 * own call tells what went wrong.
 */
#include "app/drover/progress.h"

#include "base/mem.h"

#include <signal.h>

enum { POLL_MS = 500, UNKNOWN = -1 };

struct Progress {
        Session *session;
        const char *label; /* NULL: not shown */
        uint32_t proc;     /* of the poll */
        union {
                WireDomainGetJobInfoArgs job;
                WireStorageVolGetInfoArgs volume;
        } ask;
        int (*percent)(const void *ret); /* or UNKNOWN */
        Timer *timer;
        ClientCall *poll;
        SignalWatch *interrupt; /* NULL: of what cannot be ended */
        ClientCall *abort;
};

static void show(const Progress *progress, int percent)
{
        fprintf(stderr, "\r%s: [%3d %%]", progress->label, percent);
        fflush(stderr);
}

static int percent_of_job(const void *ret)
{
        const WireDomainGetJobInfoRet *info = ret;

        if (info->type == VIR_DOMAIN_JOB_NONE || !info->dataTotal)
                return UNKNOWN;
        return (int)(100 - info->dataRemaining * 100 / MAX(info->dataTotal, info->dataRemaining));
}

static int percent_of_copy(const void *ret)
{
        const WireStorageVolGetInfoRet *info = ret;

        return info->capacity ? (int)(info->allocation * 100 / info->capacity) : UNKNOWN;
}

static void polled(void *arg, ClientReply *reply)
{
        Progress *progress = arg;
        int percent = reply->failure ? UNKNOWN : progress->percent(reply->ret);

        progress->poll = NULL;
        if (percent != UNKNOWN)
                show(progress, MIN(percent, 99));
        timer_set(progress->timer, POLL_MS);
}

static void poll_job(void *arg)
{
        Progress *progress = arg;

        progress->poll = client_call(progress->session->client, wire_proc_find(WIRE_PROGRAM_REMOTE, progress->proc),
                                     &progress->ask, polled, progress);
}

static void aborted(void *arg, ClientReply *reply)
{
        Progress *progress = arg;

        progress->abort = NULL;
        if (reply->failure)
                session_tell_error(reply->failure);
}

static void interrupted(void *arg)
{
        Progress *progress = arg;

        if (!progress->abort)
                progress->abort = client_call(progress->session->client,
                                              wire_proc_find(WIRE_PROGRAM_REMOTE, WIRE_PROC_DOMAIN_ABORT_JOB),
                                              &(WireDomainAbortJobArgs){ progress->ask.job.dom }, aborted, progress);
}

static Progress *start(Session *s, const char *label, const Progress *what)
{
        Progress *progress = mem_new(Progress);

        *progress = *what;
        progress->session = s;
        progress->label = label;
        if (!label)
                return progress;
        show(progress, 0);
        progress->timer = timer_new(s->loop, POLL_MS, poll_job, progress);
        return progress;
}

Progress *progress_start(Session *s, const WireDomain *dom, const char *label)
{
        Progress *progress = start(
                s, label,
                &(Progress){ .proc = WIRE_PROC_DOMAIN_GET_JOB_INFO, .ask.job = { *dom }, .percent = percent_of_job });

        /* without it ^C ends the command, and the job goes on */
        progress->interrupt = watch_ending(s, SIGINT, interrupted, progress);
        return progress;
}

Progress *progress_start_copy(Session *s, const char *pool, const char *name, const char *label)
{
        return !label ? NULL
                      : start(s, label,
                              &(Progress){ .proc = WIRE_PROC_STORAGE_VOL_GET_INFO,
                                           .ask.volume = { { pool, name, name } },
                                           .percent = percent_of_copy });
}

Progress *progress_end(Progress *progress, bool success)
{
        if (!progress)
                return NULL;
        timer_free(progress->timer);
        signal_watch_free(progress->interrupt);
        if (progress->poll)
                client_call_free(progress->poll);
        if (progress->abort)
                client_call_free(progress->abort);
        if (progress->label && success)
                show(progress, 100);
        if (progress->label)
                fprintf(stderr, "\n");
        free(progress);
        return NULL;
}
