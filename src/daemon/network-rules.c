/*
 * daemon/network-rules.c - the packet filter rules of all virtual networks
 */
#include "daemon/network-rules.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/net-rules.h"
#include "host/nft-watch.h"
#include "loop/child.h"

#include <sys/mman.h>
#include <unistd.h>

enum {
        SOON_MS = 100,
        LATEST_MS = 30000,
        CALM_MS = 60000, /* after that long without a restoration the next one comes soon again */
        PATIENCE_MS = 60000,
        LONGEST_COMPLAINT = 400,
};

typedef struct Change {
        struct Change *next;
        char *text; /* NULL: all of it, as it should be when its turn comes */
        bool retried;
        NetRulesDone *done;
        void *arg;
} Change;

struct NetRules {
        Loop *loop;
        NetRulesAll *all;
        void *arg;
        NftWatch *watch; /* NULL: no network ever had rules, or the kernel does not tell */
        Change *first, **last;
        Child *child; /* of the first */
        Fd complaint; /* what nft says */
        Timer *patience;
        unsigned touched; /* transactions that changed our table since the child began */
        Timer *restoring;
        uint64_t delay_ms, restored_ms;
        bool has_any;
        bool is_known; /* what is in the table is what we put there */
};

static void start_first(NetRules *r);

/* --- others --- */

static void restore(void *arg)
{
        NetRules *r = arg;

        r->restored_ms = loop_now_ms(r->loop);
        net_rules_rebuild(r, NULL, NULL);
}

/* Whoever changes the table again and again is not fought: each time we wait longer. */
static void restore_soon(NetRules *r)
{
        bool calm = loop_now_ms(r->loop) - r->restored_ms > CALM_MS;

        if (!r->has_any || timer_is_armed(r->restoring))
                return;
        r->delay_ms = calm || !r->delay_ms ? SOON_MS : MIN(2 * r->delay_ms, (uint64_t)LATEST_MS);
        log_warning("the rules of virtual networks (nft table 'inet " NET_RULES_TABLE
                    "') were changed or flushed by somebody else; they are put back");
        timer_set(r->restoring, r->delay_ms);
}

static void on_touched(void *arg)
{
        NetRules *r = arg;

        r->touched++;
        if (!r->child)
                restore_soon(r);
}

static void watch(NetRules *r)
{
        AUTO(Error) err = { 0 };

        if (r->watch)
                return;
        r->watch = nft_watch_new(r->loop, NET_RULES_TABLE, on_touched, r, &err);
        if (!r->watch)
                log_warning("changes of the packet filter by others will not be noticed: %s", err.text);
}

/* --- one change --- */

static void change_free(Change *change)
{
        free(change->text);
        free(change);
}

static void finish_first(NetRules *r, const Error *failure)
{
        Change *change = r->first;

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
        NetRules *r = arg;
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
        NetRules *r = arg;

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

static void put_everything(NetRules *r, Buf *ret)
{
        AUTO(Arena) *arena = arena_new();
        const NetworkDef **defs;
        size_t n = r->all(r->arg, arena, &defs);

        r->has_any = n > 0;
        net_rules_put(defs, n, NULL, true, ret);
}

static void start_first(NetRules *r)
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
                put_everything(r, &text);
        if (memory_file("nft-rules", &text, &input, &err) == 0 &&
            memory_file("nft-says", NULL, &r->complaint, &err) == 0) {
                const ChildFd fds[] = { { input, 0 }, { r->complaint, 2 } };
                ChildSpec spec = { .argv = argv, .fds = fds, .n_fds = ARRAY_LEN(fds) };

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

static void put_change(NetRules *r, char *text, NetRulesDone *done, void *arg)
{
        Change *change = mem_new(Change);

        *change = (Change){ .text = text, .done = done, .arg = arg };
        *r->last = change;
        r->last = &change->next;
        start_first(r);
}

/* --- what is asked --- */

void net_rules_add(NetRules *r, const NetworkDef *def, NetRulesDone *done, void *arg)
{
        Buf text = { 0 };

        r->has_any = true;
        net_rules_put(&def, 1, NULL, false, &text);
        put_change(r, buf_take(&text), done, arg);
}

void net_rules_remove(NetRules *r, const NetworkDef *def, NetRulesDone *done, void *arg)
{
        AUTO(Arena) *arena = arena_new();
        const NetworkDef **others;
        Buf text = { 0 };

        if (r->all(r->arg, arena, &others) == 0) { /* the last one: nothing of us stays */
                put_change(r, NULL, done, arg);
                return;
        }
        net_rules_put(NULL, 0, def, false, &text);
        put_change(r, buf_take(&text), done, arg);
}

void net_rules_rebuild(NetRules *r, NetRulesDone *done, void *arg)
{
        put_change(r, NULL, done, arg);
}

NetRules *net_rules_new(Loop *loop, NetRulesAll *all, void *arg)
{
        NetRules *r = mem_new(NetRules);

        *r = (NetRules){ .loop = loop, .all = all, .arg = arg, .complaint = -1 };
        r->last = &r->first;
        r->restoring = timer_new(loop, LATEST_MS, restore, r);
        timer_stop(r->restoring);
        return r;
}

NetRules *net_rules_free(NetRules *r)
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
        nft_watch_free(r->watch);
        free(r);
        return NULL;
}
