/*
 * daemon/migrate-ports.c - the ports that incoming migrations listen on (MIG-28)
 */
#include "daemon/migrate-ports.h"

#include "base/str.h"
#include "daemon/migrate-source.h"

#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* Nobody in this network namespace listens on it. */
static bool is_free(int port)
{
        struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        struct sockaddr_in address4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        AUTO(Fd) fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int on = 1;

        if (fd >= 0) {
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
                return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
        }
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return false;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        return bind(fd, (struct sockaddr *)&address4, sizeof(address4)) == 0;
}

static bool is_taken(const QemuDriver *qemu, int port)
{
        for (size_t i = 0; i < qemu->listening.len; i++) {
                const Migration *m = qemu->listening.items[i];

                if (m->port == port || m->nbd_port == port)
                        return true;
        }
        return false;
}

static int take_one(const Migration *m, int *ret, Error *err)
{
        const Config *config = m->dom->driver->daemon->config;

        for (int port = config->migration_port_min; port <= config->migration_port_max; port++) {
                if (!is_taken(qemu_driver(m->dom->driver), port) && is_free(port)) {
                        *ret = port;
                        return 0;
                }
        }
        return err_set(err, ERR_OPERATION_FAILED, "no port between %d and %d is free for an incoming migration",
                       config->migration_port_min, config->migration_port_max);
}

int migrate_ports_take(Migration *m, Error *err)
{
        AUTOFREE char *host = NULL;

        if (m->flags & VIR_MIGRATE_TUNNELLED)
                return 0;
        migrate_ports_release(m);
        vec_push(&qemu_driver(m->dom->driver)->listening, m);
        if (m->params.migrate_uri && migrate_parse_uri(m->params.migrate_uri, &host, &m->port, err) < 0)
                return -1;
        if (!m->port && take_one(m, &m->port, err) < 0)
                return -1;
        if (!(m->flags & MIGRATE_COPIES_DISKS))
                return 0;
        if (m->params.disks_uri) {
                AUTOFREE char *nbd_host = NULL;

                if (migrate_parse_uri(m->params.disks_uri, &nbd_host, &m->nbd_port, err) < 0)
                        return -1;
        } else {
                m->nbd_port = m->params.disks_port;
        }
        return m->nbd_port ? 0 : take_one(m, &m->nbd_port, err);
}

void migrate_ports_release(Migration *m)
{
        vec_remove_item(&qemu_driver(m->dom->driver)->listening, m);
}

char *migrate_host_address(const Config *config)
{
        char name[HOST_NAME_MAX + 1] = "localhost";

        if (config->migration_host)
                return str_dup(config->migration_host);
        gethostname(name, sizeof(name) - 1);
        return str_dup(name);
}

char *migrate_own_address(const Migration *m)
{
        char *host = NULL;
        int port;

        if (m->params.migrate_uri && migrate_parse_uri(m->params.migrate_uri, &host, &port, NULL) == 0)
                return host;
        free(host);
        return migrate_host_address(m->dom->driver->daemon->config);
}

char *migrate_uri_out(const Migration *m)
{
        AUTOFREE char *host = migrate_own_address(m);

        return str_format(strchr(host, ':') ? "tcp:[%s]:%d" : "tcp:%s:%d", host, m->port);
}
