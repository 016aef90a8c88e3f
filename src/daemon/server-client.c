/*
 * daemon/server-client.c - a client that is connected to droverd
 */
#include "daemon/server-client.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/autodestroy.h"
#include "daemon/call.h"
#include "daemon/event.h"
#include "daemon/server.h"
#include "daemon/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static void on_frame(void *arg, const Frame *frame)
{
        ServerClient *client = arg;

        switch (frame->header.type) {
        case FRAME_CALL:
        case FRAME_CALL_WITH_FDS:
                if (++client->unanswered == (unsigned)client->daemon->config->max_client_requests)
                        server_client_hold(client, 1);
                call_new(client, frame);
                return;
        case FRAME_STREAM:
        case FRAME_STREAM_HOLE:
                stream_receive(client, frame);
                return;
        default:
                return; /* replies and messages mean nothing here and are not answered */
        }
}

static void on_closed(void *arg, const Error *why)
{
        ServerClient *client = arg;

        log_debug("client %llu left: %s", (unsigned long long)client->id, why->text);
        autodestroy_client_left(client->driver, client);
        server_client_left(client->daemon->server, client);
}

static void on_drained(void *arg)
{
        streams_drained(arg);
}

static bool on_reserve(void *arg, size_t bytes)
{
        Daemon *daemon = ((ServerClient *)arg)->daemon;

        if (bytes > daemon->large_frames_left)
                return false;
        daemon->large_frames_left -= bytes;
        return true;
}

static void on_release(void *arg, size_t bytes)
{
        Daemon *daemon = ((ServerClient *)arg)->daemon;

        daemon->large_frames_left += bytes;
        server_retry_large_frames(daemon->server);
}

static const ConnHooks hooks = { on_frame, on_closed, on_drained, on_reserve, on_release };

static void put_address(Buf *buf, const struct sockaddr_storage *peer)
{
        const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;
        char text[INET6_ADDRSTRLEN];

        if (peer->ss_family == AF_INET)
                buf_format(buf, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)), ntohs(in->sin_port));
        else
                buf_format(buf, "[%s]:%u", inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)),
                           ntohs(in6->sin6_port));
}

void server_client_describe(const ServerClient *client, Buf *buf)
{
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        struct ucred cred;
        socklen_t cred_len = sizeof(cred);
        int fd = conn_fd(client->conn);

        if (client->is_unix && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0)
                buf_format(buf, "process %d of user %u", (int)cred.pid, (unsigned)cred.uid);
        else if (!client->is_unix && getpeername(fd, (struct sockaddr *)&peer, &len) == 0)
                put_address(buf, &peer);
        else
                buf_put_text(buf, "a client that has left");
}

ServerClient *server_client_new(Daemon *daemon, Fd fd, const struct sockaddr_storage *peer, bool readonly)
{
        static uint64_t last_id;
        ServerClient *client = mem_new(ServerClient);
        int on = 1;

        *client = (ServerClient){ .daemon = daemon,
                                  .id = ++last_id,
                                  .readonly = readonly,
                                  .is_unix = peer->ss_family == AF_UNIX,
                                  .since_ms = loop_now_ms(daemon->loop) };
        if (!client->is_unix)
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        client->conn = conn_new(daemon->loop, fd, &hooks, client);
        conn_set_frame_limit(client->conn, FRAME_MAX_ANONYMOUS);
        conn_expect(client->conn);
        return client;
}

ServerClient *server_client_free(ServerClient *client)
{
        if (!client)
                return NULL;
        while (client->streams.len)
                stream_free(client->streams.items[client->streams.len - 1]);
        while (client->registrations.len)
                event_registration_free(client->registrations.items[client->registrations.len - 1]);
        while (client->calls.len)
                call_lose_client(client->calls.items[client->calls.len - 1]);
        while (client->watchers.len) {
                ClientWatcher watcher = client->watchers.items[--client->watchers.len];

                watcher.fn(watcher.arg);
        }
        vec_done(&client->watchers);
        vec_done(&client->streams);
        vec_done(&client->registrations);
        vec_done(&client->calls);
        conn_free(client->conn);
        free(client);
        return NULL;
}

void server_client_answered(ServerClient *client, Call *call)
{
        vec_remove_item(&client->calls, call);
        if (client->unanswered-- == (unsigned)client->daemon->config->max_client_requests)
                server_client_hold(client, -1);
}

void server_client_hold(ServerClient *client, int change)
{
        client->holders += (unsigned)change;
        if (change > 0 && client->holders == 1)
                conn_pause(client->conn);
        else if (!client->holders)
                conn_resume(client->conn);
}

void server_client_watch(ServerClient *client, void (*fn)(void *arg), void *arg)
{
        vec_push(&client->watchers, ((ClientWatcher){ .fn = fn, .arg = arg }));
}

void server_client_forget(ServerClient *client, const void *arg)
{
        for (size_t i = 0; i < client->watchers.len; i++) {
                if (client->watchers.items[i].arg == arg) {
                        vec_remove(&client->watchers, i);
                        return;
                }
        }
}
