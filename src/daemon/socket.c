/*
 * daemon/socket.c - listening sockets: where they are, who may connect
 *
 * A socket file that somebody listens on is never removed: whether somebody
 * does is read from /proc/net/unix, because connecting to it would start a
 * daemon that waits behind socket activation.
 */
#include "daemon/socket.h"

#include "base/file.h"
#include "base/log.h"
#include "base/service.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LIBVIRT_DIR "/run/libvirt"
#define SOCKET_NAME "libvirt-sock"

enum {
        LARGEST_TABLE = 64 * 1024 * 1024,
        LOOKS = 100, /* until a socket counts as somebody's */
        LOOK_EVERY_MS = 20,
};

/* What is asked once for all sockets. */
typedef struct Surroundings {
        const Config *config;
        Buf bound; /* the paths that sockets are bound to in this network namespace, a line each */
        bool has_group;
        gid_t group; /* that may use the read-write sockets */
} Surroundings;

static void surroundings_done(Surroundings *s)
{
        buf_done(&s->bound);
}
DEFINE_AUTO_VALUE(Surroundings, surroundings_done)

static int list_bound(Buf *ret, Error *err)
{
        AUTO(Buf) table = { 0 };

        buf_clear(ret);
        if (file_read("/proc/net/unix", LARGEST_TABLE, &table, err) < 0)
                return -1;
        for (char *line = table.data, *end; line && *line; line = end) {
                char *path;

                end = strchr(line, '\n');
                if (end)
                        *end++ = '\0';
                else
                        end = line + strlen(line);
                path = strchr(line, '/');
                /* /var/run is /run: both spellings are the same file */
                if (path)
                        buf_format(ret, "%s\n", path + (str_starts(path, "/var/run/") ? strlen("/var") : 0));
        }
        return 0;
}

static bool is_bound(const Surroundings *s, const char *path)
{
        AUTOFREE char *line = str_format("%s\n", path);

        for (const char *at = s->bound.len ? buf_text(&s->bound) : NULL; at && *at; at = strchr(at, '\n') + 1) {
                if (str_starts(at, line))
                        return true;
        }
        return false;
}

/*
 * A daemon that was killed while it forked leaves a child that has its sockets until it gets to run, and nobody accepts
 * from them: the next daemon may come before that.
 */
static int is_taken(Surroundings *s, const char *path, bool *ret, Error *err)
{
        for (unsigned i = 0; (*ret = is_bound(s, path)) && i < LOOKS; i++) {
                poll(NULL, 0, LOOK_EVERY_MS);
                if (list_bound(&s->bound, err) < 0)
                        return -1;
        }
        return 0;
}

static int find_group(Surroundings *s, Error *err)
{
        const char *name = s->config->unix_sock_group ?: "libvirt";
        const struct group *group = getgrnam(name);

        if (!group && s->config->unix_sock_group)
                return err_set(err, ERR_CONF_SYNTAX, "unix_sock_group: there is no group '%s'", name);
        s->has_group = group;
        s->group = group ? group->gr_gid : 0;
        return 0;
}

static int parse_mode(const char *key, const char *text, mode_t *ret, Error *err)
{
        char *end;
        unsigned long mode = strtoul(text, &end, 8);

        if (!*text || *end || mode > 0777)
                return err_set(err, ERR_CONF_SYNTAX, "%s: '%s' is not an octal mode", key, text);
        *ret = (mode_t)mode;
        return 0;
}

static int set_access(const char *path, bool readonly, const Surroundings *s, Error *err)
{
        const char *mode_text = readonly ? s->config->unix_sock_ro_perms : s->config->unix_sock_rw_perms;
        mode_t mode = s->has_group ? 0770 : 0700;

        if (mode_text &&
            parse_mode(readonly ? "unix_sock_ro_perms" : "unix_sock_rw_perms", mode_text, &mode, err) < 0)
                return -1;
        if (s->has_group && chown(path, (uid_t)-1, s->group) < 0)
                return err_errno(err, errno, "cannot give '%s' to its group", path);
        if (chmod(path, mode) < 0)
                return err_errno(err, errno, "cannot set the mode of '%s'", path);
        return 0;
}

/* A bound socket nobody can connect to yet: its mode is set, and everything is loaded, before it listens. */
static int bind_unix(const char *path, Fd *ret, Error *err)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        AUTO(Fd) fd = -1;
        mode_t before;
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return err_set(err, ERR_CONF_SYNTAX, "the socket path '%s' is longer than %zu bytes", path,
                               sizeof(address.sun_path) - 1);
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_errno(err, errno, "cannot make a socket");
        before = umask(0177);
        r = bind(fd, (struct sockaddr *)&address, sizeof(address));
        umask(before);
        if (r < 0)
                return err_errno(err, errno, "cannot bind '%s'", path);
        *ret = fd_take(&fd);
        return 0;
}

static int open_unix(Surroundings *s, const char *dir, const char *name, bool readonly, ListenSockets *ret,
                     Error *err)
{
        AUTOFREE char *path = str_format("%s/%s%s", dir, name, readonly ? "-ro" : "");
        AUTO(Fd) fd = -1;
        bool taken;

        if (is_taken(s, path, &taken, err) < 0)
                return -1;
        if (taken)
                return err_set(err, ERR_OPERATION_INVALID, "another daemon listens on '%s'", path);
        if (dir_make(dir, 0755, err) < 0)
                return -1;
        unlink(path);
        if (bind_unix(path, &fd, err) < 0)
                return -1;
        if (set_access(path, readonly, s, err) < 0) {
                unlink(path);
                return -1;
        }
        vec_push(ret, ((ListenSocket){ .fd = fd_take(&fd), .readonly = readonly, .path = TAKE(path) }));
        return 0;
}

static int open_unix_pair(Surroundings *s, const char *dir, const char *name, ListenSockets *ret, Error *err)
{
        if (open_unix(s, dir, name, false, ret, err) < 0)
                return -1;
        return open_unix(s, dir, name, true, ret, err);
}

/* libvirt's own paths: always, never, or when nobody else holds them. */
static int open_libvirt_pair(Surroundings *s, const char *own_dir, ListenSockets *ret, Error *err)
{
        if (s->config->libvirt_sockets == 0 || str_eq(own_dir, LIBVIRT_DIR))
                return 0;
        if (s->config->libvirt_sockets < 0 &&
            (is_bound(s, LIBVIRT_DIR "/libvirt-sock") || is_bound(s, LIBVIRT_DIR "/libvirt-sock-ro"))) {
                log_info("%s belongs to another daemon; clients reach droverd through %s/libvirt-sock", LIBVIRT_DIR,
                         own_dir);
                return 0;
        }
        return open_unix_pair(s, LIBVIRT_DIR, SOCKET_NAME, ret, err);
}

static int open_unix_sockets(const Daemon *daemon, ListenSockets *ret, Error *err)
{
        const char *dir = daemon->config->unix_sock_dir ?: daemon->dirs.run;
        AUTO(Surroundings) s = { .config = daemon->config };

        if (find_group(&s, err) < 0 || list_bound(&s.bound, err) < 0 ||
            open_unix_pair(&s, dir, SOCKET_NAME, ret, err) < 0 || open_libvirt_pair(&s, dir, ret, err) < 0)
                return -1;
        /* where clients look that are told to go to the daemon of QEMU's guests itself ("?mode=direct", CON-60) */
        return daemon->config->virtqemud_sockets ? open_unix_pair(&s, LIBVIRT_DIR, "virtqemud-sock", ret, err) : 0;
}

static int parse_address(const Config *config, struct sockaddr_storage *ret, socklen_t *ret_len, Error *err)
{
        struct sockaddr_in *in = (struct sockaddr_in *)ret;
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
        uint32_t port;

        memset(ret, 0, sizeof(*ret));
        if (str_to_u32(config->tcp_port, &port) < 0 || !port || port > UINT16_MAX)
                return err_set(err, ERR_CONF_SYNTAX, "tcp_port: '%s' is not a port number", config->tcp_port);
        if (inet_pton(AF_INET, config->listen_addr, &in->sin_addr) == 1) {
                in->sin_family = AF_INET;
                in->sin_port = htons((uint16_t)port);
                *ret_len = sizeof(*in);
                return 0;
        }
        if (inet_pton(AF_INET6, config->listen_addr, &in6->sin6_addr) == 1) {
                in6->sin6_family = AF_INET6;
                in6->sin6_port = htons((uint16_t)port);
                *ret_len = sizeof(*in6);
                return 0;
        }
        return err_set(err, ERR_CONF_SYNTAX, "listen_addr: '%s' is not a numeric address", config->listen_addr);
}

static int open_tcp(const Daemon *daemon, ListenSockets *ret, Error *err)
{
        const Config *config = daemon->config;
        struct sockaddr_storage address;
        socklen_t len = 0;
        AUTO(Fd) fd = -1;
        int on = 1;

        if (parse_address(config, &address, &len, err) < 0)
                return -1;
        fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_errno(err, errno, "cannot make a TCP socket");
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, config->max_queued_clients) < 0)
                return err_errno(err, errno, "cannot listen on %s port %s", config->listen_addr, config->tcp_port);
        log_warning("listening on %s port %s without encryption or authentication", config->listen_addr,
                    config->tcp_port);
        vec_push(ret, ((ListenSocket){ .fd = fd_take(&fd) }));
        return 0;
}

/* Sockets that systemd opened for us; a name that ends in "-ro" is read-only. 1: there were some. */
static int take_passed(ListenSockets *ret, Error *err)
{
        uint32_t n = service_count_sockets();

        for (uint32_t i = 0; i < n; i++) {
                AUTOFREE char *name = service_socket_name(i);
                struct sockaddr_un address = { 0 };
                socklen_t len = sizeof(address);
                int fd = SERVICE_FIRST_FD + (int)i;
                bool readonly = str_ends(name, "-ro");

                /* they block, unless the unit says otherwise, and accept() would wait for one client more */
                if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fd_set_nonblocking(fd, NULL) < 0)
                        return err_errno(err, errno, "cannot take the sockets that systemd passes");
                if (getsockname(fd, (struct sockaddr *)&address, &len) == 0 && address.sun_family == AF_UNIX)
                        readonly = readonly || str_ends(address.sun_path, "-ro");
                vec_push(ret, ((ListenSocket){ .fd = fd, .readonly = readonly }));
        }
        return n > 0;
}

int listen_sockets_open(const Daemon *daemon, ListenSockets *ret, Error *err)
{
        int passed = take_passed(ret, err);

        if (passed < 0 || (!passed && open_unix_sockets(daemon, ret, err) < 0))
                return -1;
        return daemon->config->listen_tcp ? open_tcp(daemon, ret, err) : 0;
}

int listen_sockets_listen(const Daemon *daemon, const ListenSockets *sockets, Error *err)
{
        for (size_t i = 0; i < sockets->len; i++) {
                const ListenSocket *s = &sockets->items[i];

                if (s->path && listen(s->fd, daemon->config->max_queued_clients) < 0)
                        return err_errno(err, errno, "cannot listen on '%s'", s->path);
        }
        return 0;
}

void listen_sockets_close(ListenSockets *sockets)
{
        for (size_t i = 0; i < sockets->len; i++) {
                ListenSocket *s = &sockets->items[i];

                fd_close(&s->fd);
                if (s->path)
                        unlink(s->path);
                free(s->path);
        }
        vec_done(sockets);
}
