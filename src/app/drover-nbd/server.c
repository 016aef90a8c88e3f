/*
 * app/drover-nbd/server.c - clients come, are served by threads of their own, and go
 */
#include "app/drover-nbd/server.h"

#include "nbd/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LET_GO_MS = 5000, RETRY_MS = 1000, MOST_TOLD = 100, MOST_SOCKETS = 16 };

typedef struct Server Server;

typedef struct Client {
        Server *server;
        int fd; /* the channel's */
        pthread_t thread;
        NbdSession session;
        bool gone;       /* its thread has nothing more to do; guarded by the server's lock */
        bool negotiated; /* it came to requests */
} Client;

struct Server {
        ServeOptions *options;
        const Sockets *sockets;
        NbdTls *tls;
        int news; /* an eventfd: a client is gone */
        pthread_mutex_t lock;
        VEC(Client *) clients; /* owned; the main thread's */
        bool served;           /* one has come to requests, and left */
        bool crowded;          /* no descriptor was left for another one */
};

void serve_tell(const ServeOptions *options, bool important, const Error *why)
{
        static atomic_uint told;

        if (options->verbose || (important && atomic_fetch_add(&told, 1) < MOST_TOLD))
                complain_err(why);
}

static void serve_one(Client *client)
{
        const ServeOptions *o = client->server->options;
        NbdHaggled how = NBD_GONE;
        AUTO(Error) why = { 0 };
        int r = nbd_haggle(&client->session, &how, &why);

        if (r == 0 && how == NBD_READY) {
                client->negotiated = true;
                r = nbd_transmit(&client->session, o->threads, &why);
        }
        if (r < 0)
                serve_tell(o, why.code == ERR_AUTH_FAILED, &why);
}

static void *run(void *arg)
{
        Client *client = arg;
        Server *server = client->server;
        uint64_t one = 1;

        serve_one(client);
        /* The lock keeps the descriptor the client's until nobody would shut it down any more. */
        pthread_mutex_lock(&server->lock);
        client->gone = true;
        pthread_mutex_unlock(&server->lock);
        client->session.channel = nbd_channel_close(client->session.channel);
        if (write(server->news, &one, sizeof(one)) < 0)
                complain("cannot tell that a client is gone");
        return NULL;
}

static int let_in(Server *server, int fd, Error *err)
{
        Client *client = mem_new(Client);
        int on = 1, r;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* of no effect on other sockets */
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        client->server = server;
        client->fd = fd;
        client->session = (NbdSession){ .export = &server->options->export, .channel = nbd_channel_from_fd(fd) };
        client->session.channel->stall_ms = (int)server->options->stall_seconds * 1000;
        client->session.channel->deadline_ms = nbd_now_ms() + NBD_HAGGLE_SECONDS * 1000;
        if (server->tls) {
                client->session.start_tls = nbd_tls_start;
                client->session.tls_arg = server->tls;
        }
        r = pthread_create(&client->thread, NULL, run, client);
        if (r) {
                nbd_channel_close(client->session.channel);
                free(client);
                return err_errno(err, r, "cannot make a thread for a client");
        }
        vec_push(&server->clients, client);
        return 0;
}

static void accept_one(Server *server, int listener)
{
        AUTO(Error) why = { 0 };
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        server->crowded = fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM);
        if (fd >= 0 ? let_in(server, fd, &why) < 0
                    : errno != EAGAIN && errno != EINTR && errno != ECONNABORTED &&
                              err_errno(&why, errno, "cannot accept a client") < 0)
                serve_tell(server->options, true, &why);
}

static bool is_gone(Server *server, const Client *client)
{
        bool gone;

        pthread_mutex_lock(&server->lock);
        gone = client->gone;
        pthread_mutex_unlock(&server->lock);
        return gone;
}

static void take_leave(Server *server)
{
        for (size_t i = 0; i < server->clients.len;) {
                Client *client = server->clients.items[i];

                if (!is_gone(server, client)) {
                        i++;
                        continue;
                }
                pthread_join(client->thread, NULL);
                server->served |= client->negotiated;
                free(client);
                vec_remove(&server->clients, i);
        }
}

static void shut_down(Server *server, int how)
{
        pthread_mutex_lock(&server->lock);
        for (size_t i = 0; i < server->clients.len; i++)
                if (!server->clients.items[i]->gone)
                        shutdown(server->clients.items[i]->fd, how);
        pthread_mutex_unlock(&server->lock);
}

/* Wait for one client to go. */
static void wait_for_news(Server *server, int timeout_ms)
{
        struct pollfd one = { .fd = server->news, .events = POLLIN };
        uint64_t n;

        if (poll(&one, 1, timeout_ms) > 0 && read(server->news, &n, sizeof(n)) < 0)
                complain("cannot hear of clients");
        take_leave(server);
}

/* Requests that were received are answered; who does not take the answers is cut off. */
static void send_all_away(Server *server)
{
        int64_t until = nbd_now_ms() + LET_GO_MS;

        shut_down(server, SHUT_RD);
        while (server->clients.len && nbd_now_ms() < until)
                wait_for_news(server, (int)MAX(until - nbd_now_ms(), 0));
        shut_down(server, SHUT_RDWR);
        while (server->clients.len)
                wait_for_news(server, -1);
}

static bool is_full(const Server *server)
{
        return server->options->shared && server->clients.len >= server->options->shared;
}

static bool has_work(const Server *server)
{
        bool stdin_only = server->sockets->fds.len == 0;

        if (server->clients.len || (!stdin_only && (server->options->persistent || !server->served)))
                return true;
        return false;
}

/* 0: a signal came. */
static int turn(Server *server, int signals, Error *err)
{
        struct pollfd fds[MOST_SOCKETS + 2] = { { .fd = signals, .events = POLLIN },
                                                { .fd = server->news, .events = POLLIN } };
        nfds_t n = 2;

        for (size_t i = 0; i < server->sockets->fds.len && i < MOST_SOCKETS; i++)
                if (!is_full(server) && !server->crowded)
                        fds[n++] = (struct pollfd){ .fd = server->sockets->fds.items[i], .events = POLLIN };
        /* The one that could not be let in still waits there: it is asked again when another is gone, or in a while. */
        if (poll(fds, n, server->crowded ? RETRY_MS : -1) < 0)
                return errno == EINTR ? 1 : err_errno(err, errno, "cannot wait for clients");
        server->crowded = false;
        if (fds[0].revents)
                return 0;
        if (fds[1].revents)
                wait_for_news(server, 0);
        for (nfds_t i = 2; i < n && !is_full(server) && !server->crowded; i++)
                if (fds[i].revents)
                        accept_one(server, fds[i].fd);
        return 1;
}

int serve_clients(ServeOptions *options, const Sockets *sockets, NbdTls *tls, int signals, Error *err)
{
        Server server = { .options = options, .sockets = sockets, .tls = tls };
        int r = 1;

        server.news = eventfd(0, EFD_CLOEXEC);
        if (server.news < 0)
                return err_errno(err, errno, "cannot wait for clients");
        pthread_mutex_init(&server.lock, NULL);
        if (options->use_stdin && let_in(&server, STDIN_FILENO, err) < 0)
                r = -1;
        while (r > 0 && has_work(&server))
                r = turn(&server, signals, err);
        send_all_away(&server);
        pthread_mutex_destroy(&server.lock);
        vec_done(&server.clients);
        close(server.news);
        return r < 0 ? -1 : 0;
}
