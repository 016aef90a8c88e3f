/*
 * daemon/nft-table.c - one table of packet filter rules that is ours
 */
#include "daemon/nft-table.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/nft-watch.h"
#include "loop/child.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
        SOON_MS = 100,
        LATEST_MS = 2000,
        RETRY_LATEST_MS = 30000,
        CALM_MS = 60000, /* after that long without a restoration the next one comes at once again */
        PATIENCE_MS = 60000,
        LONGEST_COMPLAINT = 400,
};

typedef struct Change {
        struct Change *next;
        char *text; /* NULL: all of it, as it should be when its turn comes */
        bool retried;
        NftTableDone *done;
        void *arg;
} Change;

struct NftTable {
        Loop *loop;
        const char *name, *what; /* static */
        NftTableAll *all;
        void *arg;
        pid_t daemon;
        NftWatch *watch; /* NULL: nobody ever had rules, or the kernel does not tell */
        Change *first, **last;
        Child *child; /* of the first */
        Fd complaint; /* what nft says */
        Timer *patience;
        unsigned touched; /* transactions that changed our table since the child began */
        Timer *restoring, *retry;
        uint64_t delay_ms, restored_ms, retry_ms;
        bool has_any;
        bool is_known; /* what is in the table is what we put there */
};

static void start_first(NftTable *r);

/* --- others --- */

static void restore(void *arg)
{
        NftTable *r = arg;

        r->restored_ms = loop_now_ms(r->loop);
        nft_table_rebuild(r, NULL, NULL);
}

/* At once: without the rules guests may do what they like. Whoever does it again and again is given time to end. */
static void restore_soon(NftTable *r)
{
        bool calm = loop_now_ms(r->loop) - r->restored_ms > CALM_MS;

        if (!r->has_any || timer_is_armed(r->restoring))
                return;
        r->delay_ms = calm ? 0 : r->delay_ms ? MIN(2 * r->delay_ms, (uint64_t)LATEST_MS) : SOON_MS;
        log_warning("the rules of %s (nft table '%s') were changed or flushed by somebody else; they are put back",
                    r->what, r->name);
        timer_set(r->restoring, r->delay_ms);
}

static void on_touched(void *arg)
{
        NftTable *r = arg;

        r->touched++;
        if (!r->child)
                restore_soon(r);
}

static void watch(NftTable *r)
{
        AUTO(Error) err = { 0 };

        if (r->watch)
                return;
        r->watch = nft_watch_new(r->loop, strchr(r->name, ' ') + 1, on_touched, r, &err);
        if (!r->watch)
                log_warning("changes of the packet filter by others will not be noticed: %s", err.text);
}

/* --- one change --- */

static void change_free(Change *change)
{
        free(change->text);
        free(change);
}

static void on_retry(void *arg)
{
        nft_table_rebuild(arg, NULL, NULL);
}

/* Guests are without rules as long as the whole of them cannot be written: nobody else comes to try it again. */
static void retry_later(NftTable *r)
{
        r->retry_ms = r->retry_ms ? MIN(2 * r->retry_ms, (uint64_t)RETRY_LATEST_MS) : SOON_MS;
        timer_set(r->retry, r->retry_ms);
}

static void finish_first(NftTable *r, const Error *failure)
{
        Change *change = r->first;

        if (!failure) {
                timer_stop(r->retry);
                r->retry_ms = 0;
        } else if (!change->text) {
                retry_later(r);
        }
        r->first = change->next;
        if (!r->first)
                r->last = &r->first;
        if (change->done)
                change->done(change->arg, failure);
        else if (failure)
                log_error("%s", failure->text);
        change_free(change);
        if (!r->child)
                start_first(r);
}

static char *read_complaint(Fd fd)
{
        char text[LONGEST_COMPLAINT];
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

        text[MAX(n, 0)] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return str_dup(*text ? text : "nft did not say why");
}

static void on_ended(void *arg, int status)
{
        NftTable *r = arg;
        AUTOFREE char *why = NULL;
        AUTO(Error) err = { 0 };
        unsigned touched;

        if (r->watch)
                nft_watch_drain(r->watch); /* our own change is among what it hears */
        touched = r->touched;
        r->child = child_free(r->child);
        r->patience = timer_free(r->patience);
        r->is_known = status == 0;
        if (status != 0) {
                /* perhaps the table is not as this change expects it: the whole cannot miss anything */
                if (r->first->text && !r->first->retried) {
                        r->first->retried = true;
                        fd_close(&r->complaint);
                        start_first(r);
                        return;
                }
                why = read_complaint(r->complaint);
                err_set(&err, ERR_SYSTEM, "the packet filter's rules cannot be set: nft %s: %s",
                        child_status_text(status), why);
        }
        fd_close(&r->complaint);
        if (touched > 1)
                restore_soon(r);
        finish_first(r, status != 0 ? &err : NULL);
}

static void on_late(void *arg)
{
        NftTable *r = arg;

        child_kill(r->child, 9);
}

static int memory_file(const char *name, const Buf *content, Fd *ret, Error *err)
{
        AUTO(Fd) fd = memfd_create(name, MFD_CLOEXEC);

        if (fd < 0 || (content && fd_write_all(fd, content->data, content->len, err) < 0))
                return err_set(err, ERR_SYSTEM, "no memory for the packet filter's rules");
        lseek(fd, 0, SEEK_SET);
        *ret = fd_take(&fd);
        return 0;
}

/* One that outlived its daemon would change the rules behind the back of the next. */
static int die_with_daemon(void *arg)
{
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -1;
        return getppid() == ((const NftTable *)arg)->daemon ? 0 : -1;
}

static void start_first(NftTable *r)
{
        static const char *const argv[] = { "nft", "-f", "-", NULL };
        AUTO(Fd) input = -1;
        AUTO(Buf) text = { 0 };
        AUTO(Error) err = { 0 };

        if (!r->first || r->child)
                return;
        watch(r);
        if (r->first->text && r->is_known)
                buf_put_text(&text, r->first->text);
        else
                r->has_any = r->all(r->arg, &text);
        if (memory_file("nft-rules", &text, &input, &err) == 0 &&
            memory_file("nft-says", NULL, &r->complaint, &err) == 0) {
                const ChildFd fds[] = { { input, 0 }, { r->complaint, 2 } };
                ChildSpec spec = { .argv = argv,
                                   .fds = fds,
                                   .n_fds = ARRAY_LEN(fds),
                                   .prepare = die_with_daemon,
                                   .prepare_arg = r };

                if (r->watch)
                        nft_watch_drain(r->watch);
                r->touched = 0;
                r->child = child_new(r->loop, &spec, on_ended, r, &err);
        }
        if (r->child) {
                r->patience = timer_new(r->loop, PATIENCE_MS, on_late, r);
                return;
        }
        fd_close(&r->complaint);
        finish_first(r, &err);
}

static void put_change(NftTable *r, char *text, NftTableDone *done, void *arg)
{
        Change *change = mem_new(Change);

        *change = (Change){ .text = text, .done = done, .arg = arg };
        *r->last = change;
        r->last = &change->next;
        start_first(r);
}

/* --- what is asked --- */

void nft_table_change(NftTable *r, char *text, NftTableDone *done, void *arg)
{
        r->has_any = true;
        put_change(r, text, done, arg);
}

void nft_table_rebuild(NftTable *r, NftTableDone *done, void *arg)
{
        put_change(r, NULL, done, arg);
}

NftTable *nft_table_new(Loop *loop, const char *name, const char *what, NftTableAll *all, void *arg)
{
        NftTable *r = mem_new(NftTable);

        *r = (NftTable){
                .loop = loop, .name = name, .what = what, .all = all, .arg = arg, .daemon = getpid(), .complaint = -1
        };
        r->last = &r->first;
        r->restoring = timer_new(loop, LATEST_MS, restore, r);
        timer_stop(r->restoring);
        r->retry = timer_new(loop, RETRY_LATEST_MS, on_retry, r);
        timer_stop(r->retry);
        return r;
}

NftTable *nft_table_free(NftTable *r)
{
        if (!r)
                return NULL;
        while (r->first) {
                Change *next = r->first->next;

                change_free(r->first);
                r->first = next;
        }
        child_free(r->child);
        fd_close(&r->complaint);
        timer_free(r->patience);
        timer_free(r->restoring);
        timer_free(r->retry);
        nft_watch_free(r->watch);
        free(r);
        return NULL;
}
