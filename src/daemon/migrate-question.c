/*
 * daemon/migrate-question.c - the source asks the destination about a guest
 *
 * A source whose transfer broke at its end asks only when its own guest stands still for certain: what is answered may come
 * quicker than what was told to QEMU, and a stop that comes after the answer would stay.
 */
#include "daemon/migrate-question.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-ask.h"
#include "daemon/migrate-source.h"
#include "wire/dial.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
        PATIENCE_MS = 10000,
        LOOK_AGAIN_MS = 20,
        LONGEST_LINE = 128,
};

struct Question {
        Question **owner;
        Loop *loop;
        Uri *uri;
        Dial *dial;
        Fd fd;
        Watch *watch;
        Timer *patience;
        QmpClient *held; /* of the guest that is to stand still first; NULL: none */
        QmpCall *call;   /* to it */
        Timer *again;
        Idle *later;
        char *text;
        Buf answer;
        QuestionDone *answered;
        void *arg;
};

Question *question_free(Question *q)
{
        if (!q)
                return NULL;
        dial_free(q->dial);
        uri_free(q->uri);
        watch_free(q->watch);
        timer_free(q->patience);
        qmp_call_free(q->call);
        timer_free(q->again);
        idle_free(q->later);
        fd_close(&q->fd);
        buf_done(&q->answer);
        free(q->text);
        free(q);
        return NULL;
}

static void settle(Question *q, MigrateFate fate, const Error *failure)
{
        QuestionDone *answered = q->answered;
        void *arg = q->arg;
        Question **owner = q->owner;

        *owner = question_free(q);
        answered(arg, fate, failure);
}

static void settle_unknown(Question *q, const char *why)
{
        AUTO(Error) err = { 0 };

        err_set(&err, ERR_OPERATION_FAILED, "%s", why);
        settle(q, MIGRATE_FATE_UNKNOWN, &err);
}

static void on_answer(void *arg, uint32_t revents UNUSED)
{
        Question *q = arg;
        char *at = buf_reserve(&q->answer, LONGEST_LINE);
        ssize_t n = recv(q->fd, at, LONGEST_LINE, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0)
                buf_grow(&q->answer, (size_t)n);
        if (str_eq(buf_text(&q->answer), "absent\n"))
                settle(q, MIGRATE_FATE_ABSENT, NULL);
        else if (str_eq(buf_text(&q->answer), "runs\n"))
                settle(q, MIGRATE_FATE_RUNS, NULL);
        else if (n <= 0 || q->answer.len >= LONGEST_LINE)
                settle_unknown(q, "the other host gave no answer");
}

static void on_dialled(void *arg, Fd fd, const Error *failure)
{
        Question *q = arg;
        Error err = { 0 };

        if (failure) {
                settle(q, MIGRATE_FATE_UNKNOWN, failure);
                return;
        }
        q->fd = fd;
        if (fd_write_all(fd, q->text, strlen(q->text), &err) < 0) {
                settle(q, MIGRATE_FATE_UNKNOWN, &err);
                err_done(&err);
                return;
        }
        q->watch = watch_new(q->loop, fd, EPOLLIN, on_answer, q);
}

static void on_no_answer(void *arg)
{
        settle_unknown(arg, "the other host does not answer");
}

static void dial(void *arg)
{
        Question *q = arg;

        if (!q->uri) {
                settle_unknown(q, "it gave no address to ask at");
                return;
        }
        q->dial = dial_new(q->loop, q->uri, &(DialOptions){ 0 }, on_dialled, q);
}

/* --- the guest here stands still first --- */

static void hold(void *arg);

static void on_seen(void *arg, const QmpStatus *seen, const Error *failure)
{
        Question *q = arg;

        q->call = NULL;
        if (failure) {
                log_error("a guest whose migration broke could not be stopped: %s", failure->text);
                dial(q);
        } else if (seen->running || str_eq(seen->status, "finish-migrate")) {
                /* QEMU had not come to its end of the transfer when it was told, and lets the guest go on after that */
                q->again = timer_free(q->again);
                q->again = timer_new(q->loop, LOOK_AGAIN_MS, hold, q);
        } else {
                dial(q);
        }
}

static void on_stopped(void *arg, const Error *failure)
{
        Question *q = arg;

        if (failure)
                on_seen(q, NULL, failure);
        else
                q->call = qmp_query_status(q->held, on_seen, q);
}

/* QEMU lets a guest go on when its transfer fails, also where the other side has all of it: not before that is known. */
static void hold(void *arg)
{
        Question *q = arg;

        q->call = qmp_stop(q->held, on_stopped, q); /* also when it is not heard yet that it runs */
}

/* --- */

void question_new(Question **owner, Loop *loop, const char *kind, const QuestionGuest *about, QuestionDone *answered,
                  void *arg)
{
        Question *q = mem_new(Question);
        AUTOFREE char *uri = str_format("tcp:%s", about->ask ?: "");
        AUTOFREE char *host = NULL;
        char uuid[UUID_TEXT_LEN + 1];
        const char *boot;
        int port = 0;

        *q = (Question){
                .owner = owner, .loop = loop, .fd = -1, .held = about->held, .answered = answered, .arg = arg
        };
        *owner = q;
        boot = about->ask ? strchr(about->ask, '/') : NULL;
        q->text = str_format("%s %s %s%s%s\n", kind, uuid_format(about->uuid, uuid), about->nonce, boot ? " " : "",
                             boot ? boot + 1 : "");
        if (about->ask && migrate_parse_uri(uri, &host, &port, NULL) == 0 && port) {
                q->uri = mem_new(Uri);
                *q->uri = (Uri){ .driver = str_dup("qemu"), .transport = URI_TCP, .host = TAKE(host) };
                q->uri->port = (uint16_t)port;
        }
        q->patience = timer_new(loop, PATIENCE_MS, on_no_answer, q);
        if (q->held)
                hold(q);
        else
                q->later = idle_new(loop, dial, q);
}

void migrate_ask(Migration *m, QuestionDone *answered, void *arg)
{
        QuestionGuest about = { .uuid = &m->dom->uuid, .nonce = m->nonce, .ask = m->ask };
        QemuRun *run = qemu_run(m->dom);

        if (m->broke && run && guest_is_active(run->guest))
                about.held = guest_qmp(run->guest);
        question_new(&m->question, m->dom->driver->daemon->loop, QUESTION_ASK, &about, answered, arg);
}

void migrate_ask_drop(Migration *m, const Error *why)
{
        settle(m->question, MIGRATE_FATE_MOOT, why);
}
