/*
 * app/drover/progress.c - poll a job while its call waits
 *
 * The poll is a call of its own on the same connection, made from a timer: the
 * loop runs while the command waits. A poll that fails says nothing; the job's
 * own call tells what went wrong.
 */
#include "app/drover/progress.h"

#include "base/mem.h"

enum { POLL_MS = 500, UNKNOWN = -1 };

struct Progress {
        Session *session;
        const char *label;
        uint32_t proc; /* of the poll */
        union {
                WireDomainGetJobInfoArgs job;
                WireStorageVolGetInfoArgs volume;
        } ask;
        int (*percent)(const void *ret); /* or UNKNOWN */
        Timer *timer;
        ClientCall *poll;
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

static Progress *start(Session *s, const char *label, const Progress *what)
{
        Progress *progress;

        if (!label)
                return NULL;
        progress = mem_new(Progress);
        *progress = *what;
        progress->session = s;
        progress->label = label;
        show(progress, 0);
        progress->timer = timer_new(s->loop, POLL_MS, poll_job, progress);
        return progress;
}

Progress *progress_start(Session *s, const WireDomain *dom, const char *label)
{
        return start(
                s, label,
                &(Progress){ .proc = WIRE_PROC_DOMAIN_GET_JOB_INFO, .ask.job = { *dom }, .percent = percent_of_job });
}

Progress *progress_start_copy(Session *s, const char *pool, const char *name, const char *label)
{
        return start(s, label,
                     &(Progress){ .proc = WIRE_PROC_STORAGE_VOL_GET_INFO,
                                  .ask.volume = { { pool, name, name } },
                                  .percent = percent_of_copy });
}

Progress *progress_end(Progress *progress, bool success)
{
        if (!progress)
                return NULL;
        timer_free(progress->timer);
        if (progress->poll)
                client_call_free(progress->poll);
        if (success)
                show(progress, 100);
        fprintf(stderr, "\n");
        free(progress);
        return NULL;
}
