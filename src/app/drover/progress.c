/*
 * app/drover/progress.c - poll a job while its call waits
 *
 * The poll is a call of its own on the same connection, made from a timer: the
 * loop runs while the command waits. A poll that fails says nothing; the job's
 * own call tells what went wrong.
 */
#include "app/drover/progress.h"

#include "base/mem.h"

enum { POLL_MS = 500 };

struct Progress {
        Session *session;
        WireDomain dom;
        const char *label;
        Timer *timer;
        ClientCall *poll;
};

static void show(const Progress *progress, unsigned percent)
{
        fprintf(stderr, "\r%s: [%3u %%]", progress->label, percent);
        fflush(stderr);
}

static void polled(void *arg, ClientReply *reply)
{
        Progress *progress = arg;
        const WireDomainGetJobInfoRet *info = reply->ret;

        progress->poll = NULL;
        if (!reply->failure && info->type != VIR_DOMAIN_JOB_NONE && info->dataTotal > 0)
                show(progress,
                     (unsigned)MIN(100 - info->dataRemaining * 100 / MAX(info->dataTotal, info->dataRemaining), 99));
        timer_set(progress->timer, POLL_MS);
}

static void poll_job(void *arg)
{
        Progress *progress = arg;
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, WIRE_PROC_DOMAIN_GET_JOB_INFO);

        progress->poll = client_call(progress->session->client, proc, &(WireDomainGetJobInfoArgs){ progress->dom },
                                     polled, progress);
}

Progress *progress_start(Session *s, const WireDomain *dom, const char *label)
{
        Progress *progress;

        if (!label)
                return NULL;
        progress = mem_new(Progress);
        *progress = (Progress){ .session = s, .dom = *dom, .label = label };
        show(progress, 0);
        progress->timer = timer_new(s->loop, POLL_MS, poll_job, progress);
        return progress;
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
