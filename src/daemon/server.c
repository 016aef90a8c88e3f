/*
 * daemon/server.c - accept clients, within the limits
 *
 * To ask for a client when none is there costs nearly as much as to let one in. So a turn takes one, and twice as many as
 * the turn before when the kernel tells of more in the very next round.
 */
#include "daemon/server.h"

#include "base/log.h"
#include "base/mem.h"
#include "daemon/call.h"
#include "daemon/quota.h"
#include "daemon/socket.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
        ACCEPTS_A_TURN = 16,
        OUT_OF_FDS_PAUSE_MS = 200,
};

typedef struct Listener {
        Server *server;
        Fd fd; /* borrowed from sockets */
        bool readonly;
        int burst;      /* how many its last turn was to take */
        uint64_t round; /* of its last turn */
        Watch *watch;
} Listener;

struct Server {
        Daemon *daemon;
        ListenSockets sockets;
        VEC(Listener *) listeners;
        VEC(ServerClient *) clients;
        size_t anonymous;
        bool accepting;
        Timer *retry_accept;
        Timer *strangers; /* NULL: nobody has been one; armed while there are some: not later than the first is due */
};

static bool has_room(const Server *server)
{
        const Config *config = server->daemon->config;

        return server->clients.len < (size_t)config->max_clients &&
               (!config->max_anonymous_clients || server->anonymous < (size_t)config->max_anonymous_clients);
}

static void update_accepting(Server *server)
{
        bool accepting = has_room(server) && !(server->retry_accept && timer_is_armed(server->retry_accept));

        if (accepting == server->accepting)
                return;
        server->accepting = accepting;
        for (size_t i = 0; i < server->listeners.len; i++)
                watch_set_events(server->listeners.items[i]->watch, accepting ? EPOLLIN : 0);
}

static void on_retry_accept(void *arg)
{
        update_accepting(arg);
}

/* One timer for all. It may be early, when the one that it was set for has said who it is, or left. */
static void on_strangers_due(void *arg)
{
        Server *server = arg;
        const uint64_t most_ms = (uint64_t)server->daemon->config->anonymous_timeout * 1000;
        const uint64_t now_ms = loop_now_ms(server->daemon->loop);
        uint64_t next_ms = most_ms;

        for (size_t i = server->clients.len; i-- > 0;) {
                ServerClient *client = server->clients.items[i];
                AUTO(Buf) who = { 0 };

                if (client->authenticated)
                        continue;
                if (now_ms < client->since_ms + most_ms) {
                        next_ms = MIN(next_ms, client->since_ms + most_ms - now_ms);
                        continue;
                }
                server_client_describe(client, &who);
                log_warning("%s has not authenticated for %d s (anonymous_timeout): its connection is closed",
                            buf_text(&who), server->daemon->config->anonymous_timeout);
                server_client_left(server, client);
        }
        if (server->anonymous)
                timer_set(server->strangers, next_ms);
}

static void stranger_came(Server *server)
{
        const uint64_t most_ms = (uint64_t)server->daemon->config->anonymous_timeout * 1000;

        server->anonymous++;
        if (!most_ms)
                return;
        if (!server->strangers)
                server->strangers = timer_new(server->daemon->loop, most_ms, on_strangers_due, server);
        else if (!timer_is_armed(server->strangers))
                timer_set(server->strangers, most_ms);
}

static void stranger_went(Server *server)
{
        if (--server->anonymous == 0 && server->strangers)
                timer_stop(server->strangers);
}

static void admit(Server *server, Fd fd, const struct sockaddr_storage *peer, bool readonly)
{
        ServerClient *client = server_client_new(server->daemon, fd, peer, readonly);

        vec_push(&server->clients, client);
        stranger_came(server);
}

static void on_connect(void *arg, uint32_t revents UNUSED)
{
        Listener *listener = arg;
        Server *server = listener->server;
        uint64_t round = loop_round(server->daemon->loop);

        listener->burst = round == listener->round + 1 ? MIN(listener->burst * 2, ACCEPTS_A_TURN) : 1;
        listener->round = round;
        for (int i = 0; i < listener->burst && has_room(server); i++) {
                struct sockaddr_storage peer;
                socklen_t len = sizeof(peer);
                Fd fd = accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd >= 0) {
                        admit(server, fd, &peer, listener->readonly);
                        continue;
                }
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                        log_warning("no descriptors are left for new clients; waiting");
                        if (!server->retry_accept)
                                server->retry_accept = timer_new(server->daemon->loop, OUT_OF_FDS_PAUSE_MS,
                                                                 on_retry_accept, server);
                        else
                                timer_set(server->retry_accept, OUT_OF_FDS_PAUSE_MS);
                }
                break;
        }
        update_accepting(server);
}

Server *server_new(Daemon *daemon, Error *err)
{
        AUTO(Server) *server = mem_new(Server);

        server->daemon = daemon;
        server->accepting = true;
        return listen_sockets_open(daemon, &server->sockets, err) == 0 ? TAKE(server) : NULL;
}

int server_start(Server *server, Error *err)
{
        if (listen_sockets_listen(server->daemon, &server->sockets, err) < 0)
                return -1;
        for (size_t i = 0; i < server->sockets.len; i++) {
                Listener *listener = mem_new(Listener);

                *listener = (Listener){ .server = server,
                                        .fd = server->sockets.items[i].fd,
                                        .readonly = server->sockets.items[i].readonly,
                                        .burst = 1 };
                listener->watch = watch_new(server->daemon->loop, listener->fd, EPOLLIN, on_connect, listener);
                vec_push(&server->listeners, listener);
        }
        return 0;
}

Server *server_free(Server *server)
{
        if (!server)
                return NULL;
        for (size_t i = 0; i < server->listeners.len; i++) {
                watch_free(server->listeners.items[i]->watch);
                free(server->listeners.items[i]);
        }
        vec_done(&server->listeners);
        listen_sockets_close(&server->sockets);
        while (server->clients.len)
                server_client_left(server, server->clients.items[server->clients.len - 1]);
        timer_free(server->retry_accept);
        timer_free(server->strangers);
        vec_done(&server->clients);
        free(server);
        return NULL;
}

void server_client_left(Server *server, ServerClient *client)
{
        vec_remove_item(&server->clients, client);
        if (!client->authenticated)
                stranger_went(server);
        server_client_free(client);
        update_accepting(server);
}

void server_client_authenticated(Server *server, ServerClient *client)
{
        if (client->authenticated)
                return;
        client->authenticated = true;
        conn_set_frame_limit(client->conn, FRAME_MAX);
        stranger_went(server);
        update_accepting(server);
}

void server_retry_large_frames(Server *server)
{
        for (size_t i = 0; i < server->clients.len; i++)
                conn_retry(server->clients.items[i]->conn);
}

size_t server_n_clients(const Server *server)
{
        return server->clients.len;
}

void server_report(const Server *server)
{
        const Quota *quota = server->daemon->quota;
        const Config *config = server->daemon->config;
        AUTO(Buf) names = { 0 };

        for (size_t i = 0; i < server->clients.len; i++) {
                const ServerClient *client = server->clients.items[i];

                for (size_t c = 0; c < client->calls.len; c++) {
                        if (call_is_in_flight(client->calls.items[c]))
                                buf_format(&names, "%s%s", names.len ? ", " : ": ",
                                           call_proc(client->calls.items[c])->name);
                }
        }
        log_info("%zu clients; %u calls wait for a worker, %u are worked on%s", server->clients.len,
                 quota_waiting(quota), quota_in_flight(quota), buf_text(&names));
        log_info("limits: %d clients, %d of them not authenticated; %d to %d workers, and %d for urgent calls; "
                 "%d calls, %d of one client",
                 config->max_clients, config->max_anonymous_clients, config->min_workers, config->max_workers,
                 config->prio_workers, config->max_requests, config->max_client_requests);
}
