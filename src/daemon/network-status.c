/*
 * daemon/network-status.c - finding active networks again after a restart
 *
 * RUN/network/UUID.status says how far a network was, which process serves it,
 * how long the descriptions of the ports are that clients made, then these, and
 * its live definition. It is written before anything is made on the machine.
 * A network that was on its way is undone, one that was active goes on: its
 * bridge is told by its address, its server by pid and start time. A file that
 * cannot be read still says by its name which network it was about.
 * RUN/network/UUID/ with its server's files goes before the status file does.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/network-host.h"
#include "daemon/registry.h"
#include "host/dnsmasq.h"
#include "host/net.h"
#include "model/network-port.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <unistd.h>

enum { LARGEST_STATUS = 16 * 1024 * 1024 };

static const char *const phases[] = { "starting", "active", "stopping" };

static char *status_path(const NetworkRun *run)
{
        char text[UUID_TEXT_LEN + 1];

        return str_format("%s/%s.status", run->host->run_dir, uuid_format(&run->net->uuid, text));
}

void network_status_save(NetworkRun *run, NetworkDone *done, void *arg)
{
        AUTOFREE char *path = status_path(run);
        AUTO(Buf) text = { 0 };
        AUTO(Buf) ports = { 0 };

        buf_format(&text, "phase %s\n", phases[run->phase]);
        if (run->server)
                buf_format(&text, "server %d %llu\n", process_pid(run->server),
                           (unsigned long long)process_start_ticks(run->server));
        for (size_t i = 0; i < run->net->made.len; i++) {
                size_t before = ports.len;

                network_port_def_format(run->net->made.items[i], &ports);
                buf_format(&text, "port %zu\n", ports.len - before);
        }
        buf_put_char(&text, '\n');
        buf_put(&text, ports.data, ports.len);
        network_def_format(run->net->live, 0, &text);
        file_queue_write(run->host->files, path, &text, 0600, false, done, arg);
}

/* The status last: until it goes, the next daemon knows of the rest. */
void network_status_remove(NetworkRun *run, NetworkDone *done, void *arg)
{
        AUTOFREE char *path = status_path(run);
        AUTOFREE char *dir = str_format("%s/", run->files_dir);
        const char *paths[] = { dir, path, NULL };

        file_queue_remove(run->host->files, paths, done, arg);
}

typedef struct Status {
        NetworkPhase phase;
        pid_t pid; /* 0: no server */
        uint64_t start_ticks;
        const char *head, *ports, *xml; /* the lines, and what stands behind them */
} Status;

/* The length of the next port's description; line: NULL at first. False: there is no other. */
static bool next_port(const Status *status, const char **line, uint64_t *ret)
{
        *line = strstr(*line ? *line + 1 : status->head, "\nport ");
        return *line && *line < status->ports && sscanf(*line, "\nport %" SCNu64, ret) == 1;
}

static int find_definition(Status *status, Error *err)
{
        size_t left = strlen(status->ports);
        uint64_t len;

        status->xml = status->ports;
        for (const char *line = NULL; next_port(status, &line, &len); left -= len) {
                if (len > left)
                        return err_set(err, ERR_INTERNAL, "the status file is not complete");
                status->xml += len;
        }
        return 0;
}

static int parse_status(const char *text, Status *ret, Error *err)
{
        const char *end = strstr(text, "\n\n"), *server = strstr(text, "\nserver ");
        unsigned long long start_ticks = 0;
        Status status = { 0 };
        bool known = false;

        for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
                size_t n = strlen(phases[i]);

                if (str_starts(text, "phase ") && strncmp(text + 6, phases[i], n) == 0 && text[6 + n] == '\n') {
                        status.phase = (NetworkPhase)i;
                        known = true;
                }
        }
        if (!end || !known)
                return err_set(err, ERR_INTERNAL, "the status file is not complete");
        if (server && server < end && sscanf(server, "\nserver %d %llu", &status.pid, &start_ticks) != 2)
                return err_set(err, ERR_INTERNAL, "the status file does not name the server");
        status.start_ticks = start_ticks;
        status.head = text;
        status.ports = end + 2;
        if (find_definition(&status, err) < 0)
                return -1;
        *ret = status;
        return 0;
}

static void take_ports(Network *net, const Status *status)
{
        const char *at = status->ports;
        uint64_t len;

        for (const char *line = NULL; next_port(status, &line, &len); at += len) {
                AUTO(Error) why = { 0 };
                NetworkPortDef *def;

                if (network_port_def_parse(at, len, 0, &def, NULL, &why) == 0)
                        vec_push(&net->made, def);
                else
                        log_error("a port of network '%s' is lost: %s", net->name, why.text);
        }
}

static Network *find_or_add(NetworkHost *host, const NetworkDef *def)
{
        Network *net = registry_find_uuid(host->driver->networks, &def->uuid);

        /* one that is not defined was made by net-create, or undefined while it was active */
        return net ?: network_add(host->driver, def->name, &def->uuid);
}

static bool is_there(const NetworkDef *def)
{
        return !network_has_own_bridge(def) || network_links_are_there(def);
}

/* Everything of it that is there goes, as after a failed start. */
static void undo(NetworkRun *run, NetworkPhase phase)
{
        Network *net = run->net;

        /* who wanted it up, or had it up, wants it still; one that was on its way down stays down */
        net->is_missed = net->persistent && phase != NETWORK_STOPPING;
        log_info("network '%s' was on its way when droverd ended; what there was of it is removed", net->name);
        network_server_end_stray(run->files_dir);
        run->has_bridge = network_has_own_bridge(net->live) && network_links_are_there(net->live);
        network_links_remove(run);
        network_status_remove(run, NULL, NULL);
        net->run = network_run_free(run);
        network_set_live(net, NULL);
        if (!net->persistent)
                network_remove(net);
}

static void go_on(NetworkRun *run, const Status *status)
{
        Network *net = run->net;
        AUTO(Error) why = { 0 };

        run->phase = NETWORK_ACTIVE;
        run->has_bridge = run->has_rules = network_has_own_bridge(net->live);
        net->active = true;
        take_ports(net, status);
        if (!network_has_own_bridge(net->live) || !dnsmasq_is_needed(net->live)) {
                log_info("network '%s' is active still", net->name);
                return;
        }
        /* none is named where it had just died */
        if (!status->pid)
                err_set(&why, ERR_INTERNAL, "its dnsmasq was not running");
        if (!status->pid || network_server_adopt(run, status->pid, status->start_ticks, &why) < 0) {
                log_warning("network '%s': %s; its dnsmasq is started again", net->name, why.text);
                network_server_end_stray(run->files_dir); /* one that was to replace it */
                network_server_relaunch(run);
        }
        log_info("network '%s' is active still", net->name);
}

static int load_one(NetworkHost *host, const char *path, Error *err)
{
        AUTO(NetworkDef) *def = NULL;
        AUTO(Buf) text = { 0 };
        NetworkRun *run;
        Network *net;
        Status status;

        if (file_read(path, LARGEST_STATUS, &text, err) < 0 || parse_status(buf_text(&text), &status, err) < 0 ||
            network_def_parse(status.xml, strlen(status.xml), 0, &def, NULL, err) < 0)
                return -1;
        net = find_or_add(host, def);
        if (net->run)
                return err_set(err, ERR_INTERNAL, "another file is about the same network");
        network_set_live(net, TAKE(def));
        run = network_run_new(host, net);
        if (status.phase == NETWORK_ACTIVE && is_there(net->live))
                go_on(run, &status);
        else
                undo(run, status.phase);
        return 0;
}

/* --- files that cannot be read --- */

/* The bridge that the server's configuration names, when there is one: a definition to remove it by. */
static NetworkDef *find_left(const NetworkHost *host, const char *uuid, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s/conf", host->run_dir, uuid), *address = NULL;
        char name[IFNAMSIZ] = "";
        AUTO(NetworkDef) *def = NULL;
        AUTO(Buf) conf = { 0 };
        AUTO(Buf) mac = { 0 };
        AUTO(Buf) xml = { 0 };
        const char *line;

        if (file_read(path, LARGEST_STATUS, &conf, err) < 0)
                return NULL;
        line = strstr(buf_text(&conf), "\ninterface=");
        if (!line || sscanf(line, "\ninterface=%15s", name) != 1 || net_link_check_name(name, NULL) < 0 ||
            !net_link_is_bridge(name)) {
                err_set(err, ERR_INTERNAL, "nothing is left of it");
                return NULL;
        }
        address = str_format("/sys/class/net/%s/address", name);
        if (file_read(address, MAC_TEXT_LEN + 1, &mac, err) < 0)
                return NULL;
        buf_format(&xml, "<network><name>%s</name><uuid>%s</uuid><bridge name='%s'/><mac address='%.*s'/></network>",
                   uuid, uuid, name, MAC_TEXT_LEN, buf_text(&mac));
        return network_def_parse(buf_text(&xml), xml.len, 0, &def, NULL, err) < 0 ? NULL : TAKE(def);
}

/*
 * A network whose definition is kept and whose bridge is there goes on as the definition says, for its guests are on it;
 * what was changed in force only, and ports of clients, are lost. Of any other there is what its server serves, at most,
 * and that is removed.
 */
static int rescue(NetworkHost *host, const char *uuid, Error *err)
{
        AUTO(NetworkDef) *left = NULL;
        Network *net;
        Uuid is;

        if (uuid_parse(uuid, &is) < 0)
                return err_set(err, ERR_INTERNAL, "it names no network");
        net = registry_find_uuid(host->driver->networks, &is);
        if (net && net->run)
                return err_set(err, ERR_INTERNAL, "another file is about the same network");
        if (net && net->config && is_there(net->config)) {
                network_set_live(net, network_def_copy(net->config));
                go_on(network_run_new(host, net), &(Status){ .head = "", .ports = "" });
                network_status_save(net->run, NULL, NULL);
                return 0;
        }
        left = find_left(host, uuid, err);
        if (!left)
                return -1;
        net = net ?: network_add(host->driver, left->name, &is);
        network_set_live(net, TAKE(left));
        undo(network_run_new(host, net), NETWORK_ACTIVE);
        return 0;
}

static void load_file(NetworkHost *host, const char *name)
{
        AUTOFREE char *path = str_format("%s/%s", host->run_dir, name);
        AUTOFREE char *uuid = str_dup_n(name, strlen(name) - strlen(".status"));
        AUTO(Error) unread = { 0 };
        AUTO(Error) why = { 0 };

        if (load_one(host, path, &unread) == 0)
                return;
        log_error("'%s' cannot be read: %s", path, unread.text);
        if (rescue(host, uuid, &why) == 0)
                return;
        log_error("'%s' is removed: %s", path, why.text);
        unlink(path);
}

/* All names first: what is written again while they are loaded would come a second time, and be taken for another file. */
static char **list_files(const NetworkHost *host, Error *err)
{
        DIR *dir = opendir(host->run_dir);
        VEC(char *) names = { 0 };

        if (!dir) {
                err_errno(err, errno, "cannot open '%s'", host->run_dir);
                return NULL;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (str_ends(entry->d_name, ".status"))
                        vec_push(&names, str_dup(entry->d_name));
        }
        closedir(dir);
        vec_push(&names, NULL);
        return names.items;
}

int network_status_load(NetworkHost *host, Error *err)
{
        AUTO_STRLIST names = list_files(host, err);

        if (!names)
                return -1;
        host->loading = true;
        for (char **name = names; *name; name++)
                load_file(host, *name);
        host->loading = false;
        return 0;
}

/* What no status file speaks of any more: a server that nobody knows, its files. */
void network_status_sweep(NetworkHost *host)
{
        DIR *dir = opendir(host->run_dir);

        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                AUTOFREE char *path = str_format("%s/%s", host->run_dir, entry->d_name);
                AUTO(Error) why = { 0 };
                const Network *net;
                Uuid uuid;

                if (uuid_parse(entry->d_name, &uuid) < 0)
                        continue;
                net = registry_find_uuid(host->driver->networks, &uuid);
                if (net && net->run)
                        continue;
                network_server_end_stray(path);
                if (dir_remove(path, &why) < 0)
                        log_error("%s", why.text);
        }
        if (dir)
                closedir(dir);
}
