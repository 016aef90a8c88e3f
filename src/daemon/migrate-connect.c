/*
 * daemon/migrate-connect.c - the way to the destination's QEMU
 *
 * QEMU is given a connected stream or a numeric address, never a name.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/migrate-source.h"
#include "daemon/migrate-transfer-parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* In post-copy a guest waits for its pages: a network that swallows them is a break, and soon. */
static void end_when_silent(const Transfer *t)
{
        const Config *config = t->migration->dom->driver->daemon->config;
        int seconds = MAX(config->keepalive_interval, 1) * (config->keepalive_count + 1);
        unsigned patience_ms = (unsigned)seconds * 1000;

        if (setsockopt(t->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof(patience_ms)) < 0)
                log_warning("a break of the network in post-copy will be noticed late: %s", strerror(errno));
}

static void on_connected(void *arg, Fd fd, const Error *failure)
{
        Transfer *t = arg;
        AUTO(Error) err = { 0 };

        if (failure) {
                err_set(&err, ERR_OPERATION_FAILED, "the destination's QEMU cannot be reached at %s port %d: %s",
                        t->host, t->port, failure->text);
                job_resume(t->job, &err);
                return;
        }
        t->fd = fd;
        if (t->migration->flags & VIR_MIGRATE_POSTCOPY)
                end_when_silent(t);
        job_resume(t->job, NULL);
}

/* Where to connect to: the peer's QEMU, or where its daemon can be asked. 0: nowhere. */
static int port_to_dial(const Transfer *t)
{
        AUTOFREE char *uri = str_format("tcp:%s", t->migration->ask ?: "");
        AUTOFREE char *host = NULL;
        int port = 0;

        if (!(t->migration->flags & VIR_MIGRATE_PARALLEL))
                return t->port;
        return migrate_parse_uri(uri, &host, &port, NULL) < 0 ? 0 : port;
}

/*
 * One stream is connected by us, so that QEMU needs no name look-up. Parallel ones QEMU opens itself and takes the first
 * for the main one; for these only the numeric address is found out, without a connection to the other QEMU.
 */
StepResult transfer_connect(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;
        int port = port_to_dial(t);

        if (t->fd >= 0 || !port)
                return STEP_DONE;
        t->uri = mem_new(Uri);
        *t->uri = (Uri){
                .driver = str_dup("qemu"), .transport = URI_TCP, .host = str_dup(t->host), .port = (uint16_t)port
        };
        t->dial = dial_new(t->loop, t->uri, &(DialOptions){ 0 }, on_connected, t);
        return STEP_WAIT;
}

StepResult transfer_hang_up(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        t->dial = dial_free(t->dial);
        fd_close(&t->fd);
        return STEP_DONE;
}

StepResult transfer_pass_stream(void *state, Job *job UNUSED, Error *err UNUSED)
{
        Transfer *t = state;

        if (t->migration->flags & VIR_MIGRATE_PARALLEL)
                return STEP_DONE;
        t->call = qmp_getfd(t->qmp, &(QmpGetfd){ .fdname = "migrate" }, t->fd, transfer_step_done, t);
        return STEP_WAIT;
}

/* Where QEMU connects to by itself: the numeric address we reached the peer at. */
static char *numeric_uri(const Transfer *t)
{
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        char text[INET6_ADDRSTRLEN] = "";

        if (t->fd < 0 || getpeername(t->fd, (struct sockaddr *)&peer, &len) < 0)
                return str_format(strchr(t->host, ':') ? "tcp:[%s]:%d" : "tcp:%s:%d", t->host, t->port);
        if (peer.ss_family == AF_INET6) {
                inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&peer)->sin6_addr, text, sizeof(text));
                return str_format("tcp:[%s]:%d", text, t->port);
        }
        inet_ntop(AF_INET, &((struct sockaddr_in *)&peer)->sin_addr, text, sizeof(text));
        return str_format("tcp:%s:%d", text, t->port);
}

char *transfer_uri(const Transfer *t)
{
        return t->migration->flags & VIR_MIGRATE_PARALLEL ? numeric_uri(t) : str_dup("fd:migrate");
}
