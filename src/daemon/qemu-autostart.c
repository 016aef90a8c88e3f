/*
 * daemon/qemu-autostart.c - guests that start with the host, once per boot (LIFE-46)
 *
 * A file in the run directory, which the next boot empties, says that this was done. It names the guests that are to be
 * started, a UUID in a line, and then, with OVER before it, each whose start is over: so that after a daemon that was killed
 * meanwhile the next one starts the others, and no guest that somebody has stopped since.
 *
 * One that was moving away when the host ended is started when the other host has said that it has not got it.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-give.h"
#include "daemon/pool.h"
#include "daemon/qemu-driver.h"
#include "daemon/qemu-save.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define OVER "over "

enum { MOST_BYTES = 8 << 20 };

struct Autostart {
        QemuDriver *qemu;
        size_t at;   /* in the driver's list */
        Domain *dom; /* referenced */
        JobClaim *claim;
        bool waits; /* to know whether another host has the guest */
};

static char *marker_of(const QemuDriver *qemu)
{
        return str_format("%s/autostarted", qemu->status_dir);
}

static void on_marked(void *arg UNUSED, const Error *failure)
{
        if (failure)
                log_error("which guests are still to be autostarted cannot be noted: %s", failure->text);
}

static void mark(QemuDriver *qemu)
{
        AUTOFREE char *marker = marker_of(qemu);
        char uuid[UUID_TEXT_LEN + 1];
        AUTO(Buf) text = { 0 };

        for (size_t i = 0; i < qemu->autostarts.len; i++)
                buf_format(&text, "%s\n", uuid_format(&qemu->autostarts.items[i]->dom->uuid, uuid));
        file_queue_write(qemu->files, marker, &text, 0600, false, on_marked, NULL);
}

static void mark_over(QemuDriver *qemu, const Domain *dom)
{
        AUTOFREE char *marker = marker_of(qemu);
        char uuid[UUID_TEXT_LEN + 1];
        AUTO(Buf) text = { 0 };

        buf_format(&text, OVER "%s\n", uuid_format(&dom->uuid, uuid));
        file_queue_append(qemu->files, marker, &text, on_marked, NULL);
}

/* The last one takes its place: their order is of no use any more. */
static void take_off(Autostart *a)
{
        QemuDriver *qemu = a->qemu;
        Autostart *last = qemu->autostarts.items[--qemu->autostarts.len];

        last->at = a->at;
        qemu->autostarts.items[a->at] = last;
}

static void on_started(void *arg, const Error *failure)
{
        Autostart *a = arg;

        if (failure)
                log_error("guest '%s' was not autostarted: %s", a->dom->name, failure->text);
        take_off(a);
        mark_over(a->qemu, a->dom);
        job_claim_free(a->claim);
        domain_unref(a->dom);
        free(a);
}

static void on_claimed(void *arg, const Error *refused)
{
        static const StartOptions options;
        Autostart *a = arg;

        if (refused || domain_is_active(a->dom) || !a->dom->config) {
                on_started(a, refused);
        } else if (migrate_give_is_pending(a->dom)) {
                log_warning("guest '%s' is not autostarted yet: it was moving to another host, which is asked",
                            a->dom->name);
                a->waits = true;
                a->claim = job_claim_free(a->claim);
        } else {
                qemu_start_or_restore(a->dom, domain_def_copy(a->dom->config), &options, on_started, a);
        }
}

static void claim(Autostart *a)
{
        job_claim(a->dom->jobs, JOB_START, a->dom->name, &a->claim, on_claimed, a);
}

void qemu_autostart_settled(QemuDriver *qemu, const Uuid *uuid, bool may_start)
{
        Autostart *a = NULL;

        for (size_t i = 0; i < qemu->autostarts.len && !a; i++) {
                if (qemu->autostarts.items[i]->waits && uuid_eq(&qemu->autostarts.items[i]->dom->uuid, uuid))
                        a = qemu->autostarts.items[i];
        }
        if (!a)
                return;
        a->waits = false;
        if (may_start && a->dom->autostart)
                claim(a);
        else
                on_started(a, NULL);
}

static void start_guests(void *arg)
{
        QemuDriver *qemu = arg;
        VEC(Autostart *) all = { 0 };

        /* claims may be granted at once, and change the list */
        for (size_t i = 0; i < qemu->autostarts.len; i++)
                vec_push(&all, qemu->autostarts.items[i]);
        mark(qemu);
        for (size_t i = 0; i < all.len; i++)
                claim(all.items[i]);
        vec_done(&all);
}

static void start_left(void *arg)
{
        if (((const QemuDriver *)arg)->autostarts.len)
                start_guests(arg);
}

static void add(QemuDriver *qemu, Domain *dom)
{
        Autostart *a = mem_new(Autostart);

        *a = (Autostart){ .qemu = qemu, .at = qemu->autostarts.len, .dom = domain_ref(dom) };
        vec_push(&qemu->autostarts, a);
}

/* Those that an earlier daemon of this boot left behind. */
static void add_left(QemuDriver *qemu, const char *text)
{
        AUTO_STRLIST lines = str_split(text, "\n");
        AUTO(Map) *over = map_new();

        for (char **line = lines; *line; line++) {
                if (str_starts(*line, OVER))
                        map_put_text(over, *line + strlen(OVER), *line);
        }
        for (char **line = lines; *line; line++) {
                Uuid uuid;
                Domain *dom = !map_find_text(over, *line) && uuid_parse(*line, &uuid) == 0
                                      ? domain_list_find_uuid(qemu->driver->domains, &uuid)
                                      : NULL;

                if (dom && dom->autostart)
                        add(qemu, dom);
        }
}

void qemu_autostart(void *arg)
{
        QemuDriver *qemu = arg;
        const DomainList *all = qemu->driver->domains;
        AUTOFREE char *marker = marker_of(qemu);
        AUTO(Buf) text = { 0 };
        AUTO(Error) err = { 0 };

        if (access(marker, F_OK) == 0) {
                if (file_read(marker, MOST_BYTES, &text, &err) < 0)
                        log_error("nothing is autostarted: %s", err.text);
                else
                        add_left(qemu, buf_text(&text));
                storage_autostart(qemu->driver->storage, false, start_left, qemu);
                return;
        }
        for (size_t i = 0; i < domain_list_len(all); i++) {
                if (domain_list_at(all, i)->autostart)
                        add(qemu, domain_list_at(all, i));
        }
        storage_autostart(qemu->driver->storage, true, start_guests, qemu);
}

void qemu_autostart_forget(QemuDriver *qemu)
{
        for (size_t i = 0; i < qemu->autostarts.len; i++) {
                job_claim_free(qemu->autostarts.items[i]->claim);
                domain_unref(qemu->autostarts.items[i]->dom);
                free(qemu->autostarts.items[i]);
        }
        vec_done(&qemu->autostarts);
}
