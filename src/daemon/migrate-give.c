/*
 * daemon/migrate-give.c - the source tells the destination to take a guest that is dead here
 *
 * Rule 5 of the hand-over: a loaded guest is given up only when the source, alive and holding it, asks. A source whose
 * QEMU is dead says the opposite, and the last copy of the guest runs. It is told again and again: the other host may be
 * away, or wait for its client.
 *
 * STATE/qemu/given/UUID is there before the first byte is sent, and until it is known what came of it: whoever starts the guest
 * here is warned, by a later daemon and after a boot, too. While the guest's QEMU lives its move decides, and the note waits.
 */
#include "daemon/migrate-give.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-question.h"
#include "daemon/migrate-source.h"

#include <dirent.h>
#include <errno.h>

enum {
        MEANT_MS = 5 * 60 * 1000, /* a second word within this time is meant */
        TELL_AGAIN_MS = 10000,
        MOST_TIMES = 8640, /* a day; then it is told seldom, but who starts it here is warned all the same */
        TELL_SELDOM_MS = 60 * 60 * 1000,
        LOOK_AGAIN_MS = 100,
        LARGEST_NOTE = 4096,
};

typedef struct GiftNote {
        Gift *gift; /* NULL: it is over */
} GiftNote;

struct Gift {
        QemuDriver *qemu;
        char *name, *nonce, *ask;
        GiftNote *note; /* on its way to the disk */
        Uuid uuid;
        bool undefine;
        uint64_t warned_ms; /* loop time at which a person heard what starting it here risks; 0: never */
        Question *question;
        Timer *again;
        unsigned times;
};

static char *dir_path(const QemuDriver *qemu)
{
        return str_format("%s/qemu/given", qemu->driver->daemon->dirs.state);
}

static char *note_path(const QemuDriver *qemu, const Uuid *uuid)
{
        AUTOFREE char *dir = dir_path(qemu);
        char text[UUID_TEXT_LEN + 1];

        return str_format("%s/%s", dir, uuid_format(uuid, text));
}

static void remove_note(QemuDriver *qemu, const Uuid *uuid)
{
        AUTOFREE char *path = note_path(qemu, uuid);
        const char *paths[] = { path, NULL };

        file_queue_remove(qemu->files, paths, NULL, NULL);
}

/* What was noted stays noted. */
static void gift_free(Gift *gift)
{
        vec_remove_item(&gift->qemu->gifts, gift);
        if (gift->note)
                gift->note->gift = NULL;
        question_free(gift->question);
        timer_free(gift->again);
        free(gift->name);
        free(gift->nonce);
        free(gift->ask);
        free(gift);
}

/* A start that follows is noted behind this, so that never both are on the disk. */
static void gift_end(Gift *gift, bool may_start)
{
        QemuDriver *qemu = gift->qemu;
        Uuid uuid = gift->uuid;

        remove_note(qemu, &uuid);
        gift_free(gift);
        qemu_autostart_settled(qemu, &uuid, may_start);
}

static Gift *find(QemuDriver *qemu, const Uuid *uuid)
{
        for (size_t i = 0; i < qemu->gifts.len; i++) {
                if (uuid_eq(&qemu->gifts.items[i]->uuid, uuid))
                        return qemu->gifts.items[i];
        }
        return NULL;
}

static void tell(void *arg);

static void later(Gift *gift, uint64_t ms, void (*fn)(void *arg))
{
        gift->again = timer_free(gift->again);
        gift->again = timer_new(gift->qemu->env.loop, ms, fn, gift);
}

static void on_unknown(Gift *gift, const Error *failure)
{
        if (!gift->times++)
                log_warning(
                        "guest '%s' was sent completely before its QEMU here ended. The other host was told to take it and "
                        "has not said that it did (%s); it is told again. By hand: virsh resume there",
                        gift->name, failure ? failure->text : "no reason");
        later(gift, gift->times < MOST_TIMES ? TELL_AGAIN_MS : TELL_SELDOM_MS, tell);
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
        gift_end(gift, fate == MIGRATE_FATE_ABSENT);
}

static void tell(void *arg)
{
        Gift *gift = arg;
        const Domain *dom = domain_list_find_uuid(gift->qemu->driver->domains, &gift->uuid);
        QuestionGuest about = { .uuid = &gift->uuid, .nonce = gift->nonce, .ask = gift->ask };

        if (gift->qemu->loading) { /* its definition here, which may be to go, is not known yet */
                later(gift, LOOK_AGAIN_MS, tell);
                return;
        }
        if (dom && domain_is_active(dom) && gift->times) {
                log_warning("guest '%s' was started again here; the other host is not told to take what it has of it",
                            gift->name);
                gift_end(gift, false);
                return;
        }
        question_new(&gift->question, gift->qemu->env.loop, QUESTION_TAKE, &about, on_told, gift);
}

/* --- the note --- */

static void note(void *arg);

static void on_noted(void *arg, const Error *failure)
{
        GiftNote *noted = arg;
        Gift *gift = noted->gift;

        free(noted);
        if (!gift)
                return;
        gift->note = NULL;
        if (!failure) {
                tell(gift);
                return;
        }
        log_error("guest '%s': that the other host is to take it cannot be written down (%s), so it is not told yet",
                  gift->name, failure->text);
        later(gift, TELL_AGAIN_MS, note);
}

static void write_note(const Gift *gift, void (*done)(void *arg, const Error *failure), void *arg)
{
        AUTOFREE char *path = note_path(gift->qemu, &gift->uuid);
        AUTO(Buf) text = { 0 };

        buf_format(&text, "name %s\nnonce %s\nask %s\nundefine %d\n", gift->name, gift->nonce, gift->ask,
                   gift->undefine);
        file_queue_write(gift->qemu->files, path, &text, 0600, true, done, arg);
}

static void note(void *arg)
{
        Gift *gift = arg;

        gift->note = mem_new(GiftNote);
        gift->note->gift = gift;
        write_note(gift, on_noted, gift->note);
}

static void on_prepared(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_warning(
                        "should this host end while the guest moves, nobody is warned who starts it here again: %s",
                        failure->text);
}

void migrate_give_prepare(const Migration *m)
{
        QemuDriver *qemu = qemu_driver(m->dom->driver);
        Gift *old = find(qemu, &m->dom->uuid);
        Gift gift = { .qemu = qemu,
                      .name = m->dom->name,
                      .nonce = m->nonce,
                      .ask = m->ask,
                      .uuid = m->dom->uuid,
                      .undefine = m->flags & VIR_MIGRATE_UNDEFINE_SOURCE };

        if (old) /* it came back since */
                gift_end(old, false);
        if (m->ask && m->nonce)
                write_note(&gift, on_prepared, NULL);
}

void migrate_give_settled(const Domain *dom)
{
        QemuDriver *qemu = qemu_driver(dom->driver);

        if (!find(qemu, &dom->uuid))
                remove_note(qemu, &dom->uuid);
}

/* The QEMU that the note is about may live, and then its move decides; or the guest runs since, and the note is old. */
static bool is_in_hand(QemuDriver *qemu, const Uuid *uuid, const char *nonce)
{
        const Domain *dom = domain_list_find_uuid(qemu->driver->domains, uuid);
        const QemuRun *run = dom ? qemu_run(dom) : NULL;

        if (!run)
                return false;
        if (!run->moving_nonce || !str_eq(run->moving_nonce, nonce))
                remove_note(qemu, uuid);
        return true;
}

/* The rest of the line that begins with key and a blank, or NULL. The line is cut off from what follows it. */
static char *cut_line(char **text, const char *key)
{
        char *line = *text, *end = strchr(line, '\n');
        size_t n = strlen(key);

        if (!end || strncmp(line, key, n) != 0 || line[n] != ' ')
                return NULL;
        *end = '\0';
        *text = end + 1;
        return line + n + 1;
}

static int load_note(QemuDriver *qemu, const char *dir, const char *file, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s", dir, file);
        AUTO(Buf) text = { 0 };
        char *at, *name, *nonce, *ask, *undefine;
        Gift *gift;
        Uuid uuid;

        if (file_read_regular(path, LARGEST_NOTE, &text, NULL, err) < 0)
                return -1;
        buf_put_char(&text, '\0');
        at = text.data;
        name = cut_line(&at, "name");
        nonce = name ? cut_line(&at, "nonce") : NULL;
        ask = nonce ? cut_line(&at, "ask") : NULL;
        undefine = ask ? cut_line(&at, "undefine") : NULL;
        if (!undefine || uuid_parse(file, &uuid) < 0)
                return err_set(err, ERR_INTERNAL, "'%s' does not say which guest was given to whom", path);
        if (find(qemu, &uuid) || is_in_hand(qemu, &uuid, nonce)) /* found: its end was, by the status of its move */
                return 0;
        log_info(
                "guest '%s', whose QEMU here ended, was given to another host by an earlier droverd, which is told again",
                name);
        gift = mem_new(Gift);
        *gift = (Gift){ .qemu = qemu,
                        .name = str_dup(name),
                        .nonce = str_dup(nonce),
                        .ask = str_dup(ask),
                        .uuid = uuid,
                        .undefine = str_eq(undefine, "1"),
                        .times = 1 };
        vec_push(&qemu->gifts, gift);
        later(gift, LOOK_AGAIN_MS, tell);
        return 0;
}

int migrate_give_load(QemuDriver *qemu, Error *err)
{
        AUTOFREE char *path = dir_path(qemu);
        DIR *dir;

        if (dir_make(path, 0700, err) < 0)
                return -1;
        dir = opendir(path);
        if (!dir)
                return err_errno(err, errno, "cannot open '%s'", path);
        for (struct dirent *entry; (entry = readdir(dir));) {
                AUTO(Error) why = { 0 };

                /* a name with a dot is none of a note */
                if (!strchr(entry->d_name, '.') && load_note(qemu, path, entry->d_name, &why) < 0)
                        log_error("a guest that another host may run is not known: %s", why.text);
        }
        closedir(dir);
        return 0;
}

/* --- giving --- */

static void give(QemuDriver *qemu, const Domain *dom, const char *nonce, const char *ask, uint32_t flags)
{
        Gift *gift = find(qemu, &dom->uuid);

        if (gift && str_eq(gift->nonce, nonce))
                return; /* an earlier daemon has begun to */
        if (gift)
                gift_free(gift);
        gift = mem_new(Gift);
        *gift = (Gift){ .qemu = qemu,
                        .name = str_dup(dom->name),
                        .nonce = str_dup(nonce),
                        .ask = str_dup(ask),
                        .uuid = dom->uuid,
                        .undefine = flags & VIR_MIGRATE_UNDEFINE_SOURCE };
        vec_push(&qemu->gifts, gift);
        note(gift);
}

void migrate_give(const Migration *m)
{
        if (m->completed && m->ask && m->nonce)
                give(qemu_driver(m->dom->driver), m->dom, m->nonce, m->ask, m->flags);
        else
                migrate_give_settled(m->dom);
}

void migrate_give_lost(const QemuRun *run)
{
        if (run->moving_nonce && run->moving_peer)
                give(run->qemu, run->dom, run->moving_nonce, run->moving_peer, run->moving_flags);
}

bool migrate_give_is_pending(const Domain *dom)
{
        return find(qemu_driver(dom->driver), &dom->uuid);
}

int migrate_give_check_start(const Domain *dom, Error *err)
{
        QemuDriver *qemu = qemu_driver(dom->driver);
        uint64_t now_ms = loop_now_ms(qemu->env.loop);
        Gift *gift = find(qemu, &dom->uuid);

        if (!gift)
                return 0;
        if (gift->warned_ms && now_ms - gift->warned_ms <= MEANT_MS) {
                log_warning(
                        "guest '%s': a person says that it starts here; the other host is not told to take what it "
                        "has of it any more",
                        dom->name);
                gift_end(gift, false);
                return 0;
        }
        gift->warned_ms = now_ms;
        return err_set(
                err, ERR_OPERATION_INVALID,
                "guest '%s' was moving to another host, or had been sent there, when its QEMU here ended; that host was "
                "told to go on with it and has not said whether it does. If both run it, its disks are destroyed. Make sure "
                "that it is not there (virsh list --all); then say start once more within %d minutes",
                dom->name, MEANT_MS / 60000);
}

void migrate_give_forget(QemuDriver *qemu)
{
        while (qemu->gifts.len) {
                GiftNote *noted = qemu->gifts.items[0]->note;

                gift_free(qemu->gifts.items[0]);
                free(noted); /* nobody hears of it any more */
        }
        vec_done(&qemu->gifts);
}
