/*
 * daemon/migrate-ask.c - where does the guest run?
 *
 * The side that is asked. One line each way: "drover-ask 1 UUID NONCE BOOT" asks for the guest back, "drover-take 1 UUID NONCE
 * BOOT" says that nobody has it there any more; both are answered by "absent" or "runs". What does not look like that is
 * closed without an answer; so is one that takes longer than ten seconds. The port is kept in the run directory, so that a
 * daemon that was restarted listens where its cookies say.
 *
 * What is known of guests that came and ended is in the run directory, which is empty after each boot of the host. BOOT says
 * of which one the source speaks: of the guests of another one nobody here can say that they did not run.
 */
#include "daemon/migrate-ask.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-ports.h"
#include "daemon/migrate-question.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-take.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
        PATIENCE_MS = 10000,
        LOOK_AGAIN_MS = 20,
        LONGEST_LINE = 160,
        MOST_ASKERS = 16,
        NO_FDS_PAUSE_MS = 200,
};

typedef struct Asker {
        AskServer *server;
        Fd fd;
        Watch *watch;
        Timer *patience, *again;
        Buf line;
        bool takes; /* it does not want it back */
        bool answering;
} Asker;

struct AskServer {
        Driver *driver;
        Fd fd;
        int port;
        char *boot; /* made with the port and kept with it; "": by an older droverd, which did not know it */
        Watch *watch;
        Timer *pause; /* no descriptor is left for who wants to ask */
        VEC(Asker *) askers;
};

/* --- destination --- */

static void asker_free(Asker *asker)
{
        vec_remove_item(&asker->server->askers, asker);
        watch_free(asker->watch);
        timer_free(asker->patience);
        timer_free(asker->again);
        fd_close(&asker->fd);
        buf_done(&asker->line);
        free(asker);
}

static void answer(Asker *asker, const char *word)
{
        Error unused = { 0 };

        if (fd_write_all(asker->fd, word, strlen(word), &unused) < 0)
                log_warning("an answer about a migrated guest could not be sent: %s", unused.text);
        err_done(&unused);
        asker_free(asker);
}

static void on_ended(void *arg, const Error *failure)
{
        Asker *asker = arg;

        if (failure)
                asker_free(asker); /* no answer: it still may exist */
        else
                answer(asker, "absent\n");
}

static void on_withdrawn(void *arg, MigrateFate fate, const Error *failure UNUSED)
{
        if (fate == MIGRATE_FATE_UNKNOWN)
                asker_free(arg); /* no answer is better than a wrong one */
        else
                answer(arg, fate == MIGRATE_FATE_RUNS ? "runs\n" : "absent\n");
}

static bool has_run_here(const QemuRun *run)
{
        const Migration *m = run->migration;

        return m ? m->resumed_us != 0 : !run->unrun && guest_state(run->guest) != GUEST_INCOMING;
}

/* A guest that came by migration and ended here by itself: it may have run, so this host never says "absent" of it. */
static char *left_path(const QemuDriver *qemu, const char *nonce)
{
        return str_format("%s/moved-in-%s", qemu->status_dir, nonce);
}

void migrate_note_left(const QemuDriver *qemu, const char *nonce)
{
        AUTOFREE char *path = left_path(qemu, nonce);
        AUTO(Error) err = { 0 };

        if (file_write_atomic(path, "", 0, 0600, &err) < 0)
                log_warning("should its source ask about the guest that ended: %s", err.text);
}

static bool has_left(const QemuDriver *qemu, const char *nonce)
{
        AUTOFREE char *path = left_path(qemu, nonce);

        return nonce[strspn(nonce, "0123456789abcdef")] || access(path, F_OK) == 0;
}

static void on_taken(void *arg, const Error *failure)
{
        if (failure)
                asker_free(arg); /* it is asked again */
        else
                answer(arg, "runs\n");
}

static void on_again(void *arg);

static void look_again(Asker *asker)
{
        asker->again = timer_free(asker->again);
        asker->again = timer_new(asker->server->driver->daemon->loop, LOOK_AGAIN_MS, on_again, asker);
}

/* It has not run here and its source is dead: it is taken, unless its client still may say what is to become of it. */
static void take(Asker *asker, Domain *dom)
{
        if (!migrate_waits(dom)) {
                look_again(asker);
                return;
        }
        log_info("guest '%s' has arrived and its QEMU at the source is gone: it is taken over here", dom->name);
        asker->answering = true;
        asker->patience = timer_free(asker->patience);
        migrate_take(qemu_run(dom)->migration, on_taken, asker);
}

/* The question is well formed: find out, and make the answer true. */
static void decide(Asker *asker, const Uuid *uuid, const char *nonce, const char *boot)
{
        Domain *dom = domain_list_find_uuid(asker->server->driver->domains, uuid);
        QemuRun *run = dom ? qemu_run(dom) : NULL;

        if (!run && has_left(qemu_driver(asker->server->driver), nonce)) {
                log_warning("a source asked about a guest that came here and has ended; it stays paused there");
                asker_free(asker);
                return;
        }
        if (!run && !str_eq(boot, asker->server->boot)) {
                log_warning(
                        "a source asked about a guest that was to come before this host was booted; whether that ran "
                        "nobody knows, and it stays paused there");
                asker_free(asker);
                return;
        }
        if (!run) {
                answer(asker, "absent\n");
                return;
        }
        if (!run->nonce || !str_eq(run->nonce, nonce)) {
                asker_free(asker); /* somebody else's question */
                return;
        }
        if (!run->found) { /* a daemon that has just come back does not know yet what it has */
                look_again(asker);
                return;
        }
        /* or it was taken, and is paused as it was to stay: its source has not heard so */
        if (has_run_here(run) || (asker->takes && !run->migration && run->stop_reason != VIR_DOMAIN_SHUTOFF_FAILED)) {
                answer(asker, "runs\n");
                return;
        }
        if (asker->takes && run->migration) {
                take(asker, dom);
                return;
        }
        if (run->migration &&
            migrate_is_deciding(run->migration)) { /* being prepared, run or given up: soon we know */
                look_again(asker);
                return;
        }
        log_info("guest '%s': its source asks whether it runs here", dom->name);
        asker->answering = true;
        asker->patience = timer_free(asker->patience);
        if (run->migration) {
                migrate_withdraw(run->migration, on_withdrawn, asker);
                return;
        }
        run->stop_reason = VIR_DOMAIN_SHUTOFF_FAILED;
        run->stop_event_detail = VIR_DOMAIN_EVENT_STOPPED_FAILED;
        guest_stop(run->guest, GUEST_STOP_HARD, on_ended, asker);
}

static void on_line(Asker *asker)
{
        char uuid_text[64], nonce[64], boot[64] = "";
        Uuid uuid;
        int used = 0, more = 0;

        asker->takes = str_starts(asker->line.data, QUESTION_TAKE " ");
        if (sscanf(asker->line.data, asker->takes ? QUESTION_TAKE " %60s %60s%n" : QUESTION_ASK " %60s %60s%n",
                   uuid_text, nonce, &used) != 2) {
                asker_free(asker);
                return;
        }
        if (asker->line.data[used] == ' ' && sscanf(asker->line.data + used, " %60s%n", boot, &more) == 1)
                used += more;
        if (asker->line.data[used] != '\n' || uuid_parse(uuid_text, &uuid) < 0)
                asker_free(asker);
        else
                decide(asker, &uuid, nonce, boot);
}

static void on_again(void *arg)
{
        on_line(arg);
}

static void on_readable(void *arg, uint32_t revents UNUSED)
{
        Asker *asker = arg;
        char *at = buf_reserve(&asker->line, LONGEST_LINE);
        ssize_t n = recv(asker->fd, at, LONGEST_LINE, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (asker->answering) {
                asker->watch = watch_free(asker->watch);
                return;
        }
        if (n <= 0 || asker->line.len + (size_t)n > LONGEST_LINE) {
                asker_free(asker);
                return;
        }
        buf_grow(&asker->line, (size_t)n);
        if (memchr(asker->line.data, '\n', asker->line.len))
                on_line(asker);
}

static void on_patience_ended(void *arg)
{
        asker_free(arg);
}

static void on_pause_ended(void *arg)
{
        AskServer *server = arg;

        server->pause = timer_free(server->pause);
        watch_set_events(server->watch, EPOLLIN);
}

static void on_connect(void *arg, uint32_t revents UNUSED)
{
        AskServer *server = arg;
        Loop *loop = server->driver->daemon->loop;
        AUTO(Fd) fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        Asker *asker;

        /* it waits in the kernel, which would tell of it again and again */
        if (fd < 0 && errno != EAGAIN) {
                watch_set_events(server->watch, 0);
                server->pause = timer_new(loop, NO_FDS_PAUSE_MS, on_pause_ended, server);
        }
        if (fd < 0 || server->askers.len >= MOST_ASKERS)
                return;
        asker = mem_new(Asker);
        *asker = (Asker){ .server = server, .fd = fd_take(&fd) };
        asker->watch = watch_new(loop, asker->fd, EPOLLIN, on_readable, asker);
        asker->patience = timer_new(loop, PATIENCE_MS, on_patience_ended, asker);
        vec_push(&server->askers, asker);
}

static Fd listen_on(int port)
{
        struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        AUTO(Fd) fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int on = 1;

        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, MOST_ASKERS) < 0)
                return -1;
        return fd_take(&fd);
}

static AskServer *ask_server_new(Driver *driver, int port, const char *boot)
{
        AskServer *server;
        Fd fd = listen_on(port);

        if (fd < 0)
                return NULL;
        server = mem_new(AskServer);
        *server = (AskServer){ .driver = driver, .fd = fd, .port = port, .boot = str_dup(boot) };
        server->watch = watch_new(driver->daemon->loop, fd, EPOLLIN, on_connect, server);
        return server;
}

AskServer *ask_server_free(AskServer *server)
{
        if (!server)
                return NULL;
        while (server->askers.len)
                asker_free(server->askers.items[0]);
        vec_done(&server->askers);
        watch_free(server->watch);
        timer_free(server->pause);
        fd_close(&server->fd);
        free(server->boot);
        free(server);
        return NULL;
}

static char *port_path(const QemuDriver *qemu)
{
        return str_format("%s/ask-port", qemu->status_dir);
}

void ask_server_restore(QemuDriver *qemu)
{
        AUTOFREE char *path = port_path(qemu);
        AUTO(Buf) text = { 0 };
        AUTOFREE char *digits = NULL;
        const char *boot;
        int32_t port;

        if (access(path, F_OK) < 0 || file_read(path, 64, &text, NULL) < 0)
                return;
        boot = strchr(buf_text(&text), ' ');
        digits = str_dup_n(buf_text(&text), strcspn(buf_text(&text), " "));
        if (str_to_i32(digits, &port) < 0)
                return;
        qemu->ask = ask_server_new(qemu->driver, port, boot ? boot + 1 : "");
        if (!qemu->ask)
                log_warning("port %d, where other hosts may ask about migrated guests, is taken", port);
}

void migrate_ask_listen(Driver *driver)
{
        QemuDriver *qemu = qemu_driver(driver);
        const Config *config = driver->daemon->config;
        AUTOFREE char *path = port_path(qemu);
        AUTOFREE char *boot = migrate_new_nonce();
        AUTO(Buf) text = { 0 };

        if (qemu->ask)
                return;
        /* from the end of the range, where migrations come last */
        for (int port = config->migration_port_max; !qemu->ask && port >= config->migration_port_min; port--)
                qemu->ask = ask_server_new(driver, port, boot);
        if (!qemu->ask)
                return;
        buf_format(&text, "%d %s", qemu->ask->port, boot);
        file_queue_write(qemu->files, path, &text, 0600, false, NULL, NULL);
}

char *migrate_ask_address(const Migration *m)
{
        AUTOFREE char *host = migrate_own_address(m);
        const AskServer *server = qemu_driver(m->dom->driver)->ask;

        return server ? str_format(strchr(host, ':') ? "[%s]:%d%s%s" : "%s:%d%s%s", host, server->port,
                                   *server->boot ? "/" : "", server->boot)
                      : NULL;
}
