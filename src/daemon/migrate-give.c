/*
 * daemon/migrate-give.c - the source tells the destination to take a guest that is dead here
 *
 * Rule 5 of the hand-over: a loaded guest is given up only when the source, alive and holding it, asks. A source whose
 * QEMU is dead says the opposite, and the last copy of the guest runs. It is told again and again: the other host may be
 * away, or wait for its client.
 */
#include "daemon/migrate-give.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-question.h"
#include "daemon/migrate-source.h"

enum {
        MEANT_MS = 5 * 60 * 1000, /* a second word within this time is meant */
        TELL_AGAIN_MS = 10000,
        MOST_TIMES = 8640, /* a day */
};

struct Gift {
        QemuDriver *qemu;
        char *name, *nonce, *ask;
        Uuid uuid;
        bool undefine;
        uint64_t warned_ms; /* loop time at which a person heard what starting it here risks; 0: never */
        Question *question;
        Timer *again;
        unsigned times;
};

static void gift_free(Gift *gift)
{
        vec_remove_item(&gift->qemu->gifts, gift);
        question_free(gift->question);
        timer_free(gift->again);
        free(gift->name);
        free(gift->nonce);
        free(gift->ask);
        free(gift);
}

static void tell(void *arg);

static void on_unknown(Gift *gift, const Error *failure)
{
        if (!gift->times++)
                log_warning(
                        "guest '%s' was sent completely before its QEMU here ended. The other host was told to take it and "
                        "has not said that it did (%s); it is told again. By hand: virsh resume there",
                        gift->name, failure ? failure->text : "no reason");
        if (gift->times >= MOST_TIMES) {
                gift_free(gift);
                return;
        }
        gift->again = timer_free(gift->again);
        gift->again = timer_new(gift->qemu->env.loop, TELL_AGAIN_MS, tell, gift);
}

static void on_told(void *arg, MigrateFate fate, const Error *failure)
{
        Gift *gift = arg;
        Domain *dom = domain_list_find_uuid(gift->qemu->driver->domains, &gift->uuid);

        if (fate == MIGRATE_FATE_RUNS) {
                log_info("guest '%s', whose QEMU here ended, goes on at the other host", gift->name);
                if (dom && gift->undefine && !domain_is_active(dom))
                        migrate_undefine_source(dom);
        } else if (fate == MIGRATE_FATE_ABSENT) {
                log_error("guest '%s' ended here before it had arrived at the other host", gift->name);
        } else {
                on_unknown(gift, failure);
                return;
        }
        gift_free(gift);
}

static void tell(void *arg)
{
        Gift *gift = arg;
        const Domain *dom = domain_list_find_uuid(gift->qemu->driver->domains, &gift->uuid);
        QuestionGuest about = { .uuid = &gift->uuid, .nonce = gift->nonce, .ask = gift->ask };

        if (dom && domain_is_active(dom) && gift->times) {
                log_warning("guest '%s' was started again here; the other host is not told to take what it has of it",
                            gift->name);
                gift_free(gift);
                return;
        }
        question_new(&gift->question, gift->qemu->env.loop, QUESTION_TAKE, &about, on_told, gift);
}

static void give(QemuDriver *qemu, const Domain *dom, const char *nonce, const char *ask, uint32_t flags)
{
        Gift *gift = mem_new(Gift);

        *gift = (Gift){ .qemu = qemu,
                        .name = str_dup(dom->name),
                        .nonce = str_dup(nonce),
                        .ask = str_dup(ask),
                        .uuid = dom->uuid,
                        .undefine = flags & VIR_MIGRATE_UNDEFINE_SOURCE };
        vec_push(&qemu->gifts, gift);
        tell(gift);
}

void migrate_give(const Migration *m)
{
        if (m->completed && m->ask && m->nonce)
                give(qemu_driver(m->dom->driver), m->dom, m->nonce, m->ask, m->flags);
}

void migrate_give_lost(const QemuRun *run)
{
        if (run->moving_nonce && run->moving_peer)
                give(run->qemu, run->dom, run->moving_nonce, run->moving_peer, run->moving_flags);
}

int migrate_give_check_start(const Domain *dom, Error *err)
{
        QemuDriver *qemu = qemu_driver(dom->driver);
        uint64_t now_ms = loop_now_ms(qemu->env.loop);

        for (size_t i = 0; i < qemu->gifts.len; i++) {
                Gift *gift = qemu->gifts.items[i];

                if (!uuid_eq(&gift->uuid, &dom->uuid))
                        continue;
                if (gift->warned_ms && now_ms - gift->warned_ms <= MEANT_MS) {
                        log_warning(
                                "guest '%s': a person says that it starts here; the other host is not told to take "
                                "what it has of it any more",
                                dom->name);
                        gift_free(gift);
                        return 0;
                }
                gift->warned_ms = now_ms;
                return err_set(
                        err, ERR_OPERATION_INVALID,
                        "guest '%s' was sent completely to another host before its QEMU here ended; that host was told to "
                        "go on with it and has not said whether it does. If both run it, its disks are destroyed. Make sure "
                        "that it is not there (virsh list --all); then say start once more within %d minutes",
                        dom->name, MEANT_MS / 60000);
        }
        return 0;
}

void migrate_give_forget(QemuDriver *qemu)
{
        while (qemu->gifts.len)
                gift_free(qemu->gifts.items[0]);
        vec_done(&qemu->gifts);
}
