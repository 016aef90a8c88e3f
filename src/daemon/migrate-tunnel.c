/*
 * daemon/migrate-tunnel.c - a guest's memory over the connection of the two daemons
 *
 * One packet a turn of the loop, so that a tunnel takes no more of the loop than
 * any other connection. QEMU is read only while the connection has room.
 *
 * When the tunnel breaks QEMU sees its socket close, fails and goes on with the
 * guest by itself. That is right only as long as the other side cannot have all
 * of it. Once QEMU was told to send the rest, a break is kept from it: what it
 * still writes is thrown away, it stays stopped, and the peer is asked.
 */
#include "daemon/migrate-tunnel.h"

#include "base/log.h"
#include "base/mem.h"
#include "daemon/migrate-transfer.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKET_BYTES = 64 * 1024 };

struct Tunnel {
        const Migration *migration;
        Loop *loop;
        ClientStream *stream;
        ClientDone *opened;
        void *opened_arg;
        Fd fd;
        Watch *watch; /* NULL: not open, no room, or QEMU has closed its end */
        bool swallowing;
        bool ended;    /* QEMU has closed its end */
        bool finished; /* the peer has confirmed, or the stream is gone */
        Error failure;
        Idle *telling;
        void (*done)(void *arg, const Error *failure);
        void *arg;
};

static void on_told(void *arg)
{
        Tunnel *tunnel = arg;
        void (*done)(void *arg, const Error *failure) = tunnel->done;

        tunnel->telling = idle_free(tunnel->telling);
        tunnel->done = NULL;
        done(tunnel->arg, tunnel_failure(tunnel));
}

/* Whoever waits for the end hears of it, not within the call that began to wait. */
static void tell(Tunnel *tunnel)
{
        if (tunnel->done && !tunnel->telling)
                tunnel->telling = idle_new(tunnel->loop, on_told, tunnel);
}

static void close_fd(Tunnel *tunnel)
{
        tunnel->watch = watch_free(tunnel->watch);
        fd_close(&tunnel->fd);
}

static void on_readable(void *arg, uint32_t revents);

static void listen_to_qemu(Tunnel *tunnel)
{
        if (!tunnel->watch && tunnel->fd >= 0)
                tunnel->watch = watch_new(tunnel->loop, tunnel->fd, EPOLLIN, on_readable, tunnel);
}

/* QEMU closed its end: it has sent everything, failed or was cancelled. Which of these the owner knows. */
static void on_end(Tunnel *tunnel)
{
        close_fd(tunnel);
        tunnel->ended = true;
        if (tunnel->done && !tunnel->finished)
                client_stream_finish(tunnel->stream);
}

static void on_readable(void *arg, uint32_t revents UNUSED)
{
        static char data[PACKET_BYTES]; /* of the loop thread */
        Tunnel *tunnel = arg;
        ssize_t n;

        if (!tunnel->swallowing && !client_stream_has_room(tunnel->stream)) {
                tunnel->watch = watch_free(tunnel->watch); /* even a hangup waits until there is room */
                return;
        }
        n = read(tunnel->fd, data, sizeof(data));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0)
                on_end(tunnel);
        else if (!tunnel->swallowing)
                client_stream_send(tunnel->stream, data, (size_t)n);
}

static void on_room(void *arg)
{
        listen_to_qemu(arg);
}

static void on_finished(void *arg, const Error *failure)
{
        Tunnel *tunnel = arg;

        tunnel->finished = true;
        if (!failure && !tunnel->ended)
                err_set(&tunnel->failure, ERR_OPERATION_FAILED, "the other host ended the tunnel");
        else if (failure)
                err_copy(&tunnel->failure, failure);
        if (err_is_set(&tunnel->failure) && !tunnel->ended) {
                log_warning("guest '%s': the tunnel to the other host broke: %s", tunnel->migration->dom->name,
                            tunnel->failure.text);
                tunnel->swallowing = tunnel->migration->transfer &&
                                     transfer_is_handing_over(tunnel->migration->transfer);
                if (tunnel->swallowing)
                        listen_to_qemu(tunnel);
                else
                        close_fd(tunnel);
        }
        tell(tunnel);
}

static void on_opened(void *arg, ClientReply *reply)
{
        Tunnel *tunnel = arg;

        tunnel->opened(tunnel->opened_arg, reply);
}

Tunnel *tunnel_new(Client *client, const Migration *migration, const WireDomainMigratePrepareTunnel3ParamsArgs *args,
                   ClientDone *opened, void *arg)
{
        static const ClientStreamHooks hooks = { .room = on_room, .finished = on_finished };
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, WIRE_PROC_DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS);
        Tunnel *tunnel = mem_new(Tunnel);

        *tunnel = (Tunnel){
                .migration = migration, .loop = client_loop(client), .opened = opened, .opened_arg = arg, .fd = -1
        };
        tunnel->stream = client_stream_new(client, proc, args, &hooks, on_opened, tunnel);
        return tunnel;
}

int tunnel_pair(Fd *ret_qemu, Fd *ret_ours, Error *err)
{
        AUTO(Fd) qemu = -1;
        AUTO(Fd) ours = -1;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return err_errno(err, errno, "a socket for the tunnel cannot be made");
        qemu = ends[0];
        ours = ends[1];
        if (fd_set_nonblocking(ours, err) < 0)
                return -1;
        *ret_qemu = fd_take(&qemu);
        *ret_ours = fd_take(&ours);
        return 0;
}

int tunnel_open(Tunnel *tunnel, Fd *ret, Error *err)
{
        if (tunnel->finished)
                return err_set(err, ERR_OPERATION_FAILED, "the tunnel to the other host broke: %s",
                               tunnel->failure.text);
        if (tunnel_pair(ret, &tunnel->fd, err) < 0)
                return -1;
        listen_to_qemu(tunnel);
        return 0;
}

void tunnel_finish(Tunnel *tunnel, void (*done)(void *arg, const Error *failure), void *arg)
{
        tunnel->done = done;
        tunnel->arg = arg;
        if (tunnel->finished)
                tell(tunnel);
        else if (tunnel->ended)
                client_stream_finish(tunnel->stream);
}

const Error *tunnel_failure(const Tunnel *tunnel)
{
        return err_is_set(&tunnel->failure) ? &tunnel->failure : NULL;
}

Tunnel *tunnel_free(Tunnel *tunnel)
{
        if (!tunnel)
                return NULL;
        close_fd(tunnel);
        idle_free(tunnel->telling);
        client_stream_free(tunnel->stream);
        err_done(&tunnel->failure);
        free(tunnel);
        return NULL;
}
