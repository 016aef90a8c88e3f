/*
 * daemon/network-host.c - the QEMU driver's networks: those of this machine
 */
#include "daemon/network-host.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/default-network.h"
#include "daemon/network-define.h"
#include "daemon/registry.h"
#include "host/net-rules.h"
#include "host/net.h"
#include "host/nft-chains.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

NetworkRun *network_run_new(NetworkHost *host, Network *net)
{
        NetworkRun *run = mem_new(NetworkRun);
        Loop *loop = host->driver->daemon->loop;
        char text[UUID_TEXT_LEN + 1];

        *run = (NetworkRun){ .net = net, .host = host, .complaint = -1 };
        uuid_format(&net->uuid, text);
        run->files_dir = str_format("%s/%s", host->run_dir, text);
        run->leases_dir = str_format("%s/%s", host->state_dir, text);
        network_server_init(run, loop);
        net->run = run;
        return run;
}

NetworkRun *network_run_free(NetworkRun *run)
{
        if (!run)
                return NULL;
        network_server_let_go(run);
        free(run->files_dir);
        free(run->leases_dir);
        free(run);
        return NULL;
}

/* --- definitions --- */

/* virbrN that neither a network nor the host has. */
static int complete(Driver *driver, NetworkDef *def, Error *err)
{
        const Registry *all = driver->networks;
        bool template = def->bridge && strchr(def->bridge, '%');
        enum { MOST = 10000 };

        network_def_complete(def);
        if (!network_has_own_bridge(def) || (def->bridge && !template))
                return 0;
        if (template && !str_eq(strchr(def->bridge, '%'), "%d"))
                return err_set(err, ERR_XML, "'bridge/@name': '%s' must end with %%d", def->bridge);
        for (unsigned i = 0; i < MOST; i++) {
                size_t n = template ? strlen(def->bridge) - 2 : 5;
                AUTOFREE char *name = str_format("%.*s%u", (int)n, template ? def->bridge : "virbr", i);
                bool taken = net_link_exists(name);

                for (size_t k = 0; !taken && k < registry_len(all); k++) {
                        const Network *net = registry_at(all, k);

                        taken = (net->config && str_eq(net->config->bridge, name)) ||
                                (net->live && str_eq(net->live->bridge, name));
                }
                if (taken)
                        continue;
                def->bridge = arena_dup(network_def_arena(def), name);
                return network_def_check(def, err);
        }
        return err_set(err, ERR_INTERNAL, "no name virbrN is free for the bridge of network '%s'", def->name);
}

static NetworkHost *host_of(const Network *net)
{
        return net->driver->network_host;
}

static void save_config(Network *net, const NetworkDef *def, NetworkDone *done, void *arg)
{
        AUTO(Buf) xml = { 0 };

        network_def_format(def, DEF_FORMAT_INACTIVE, &xml);
        def_store_save(host_of(net)->store, net->name, &xml, done, arg);
}

static void remove_config(Network *net, NetworkDone *done, void *arg)
{
        char text[UUID_TEXT_LEN + 1];
        AUTOFREE char *leases = str_format("%s/%s/leases", host_of(net)->state_dir, uuid_format(&net->uuid, text));
        const char *others[] = { leases, NULL };

        /* the leases of an active one are in use; they go with the next undefine of the same network, or stay */
        def_store_remove(host_of(net)->store, net->name, net->active ? NULL : others, done, arg);
}

static void save_autostart(Network *net, bool autostart, NetworkDone *done, void *arg)
{
        def_store_autostart(host_of(net)->store, net->name, autostart, done, arg);
}

static void save_live(Network *net, NetworkDone *done, void *arg)
{
        network_status_save(network_run(net), done, arg);
}

const NetworkOps network_host_ops = {
        .complete = complete,
        .save_config = save_config,
        .remove_config = remove_config,
        .save_autostart = save_autostart,
        .start = network_host_start,
        .stop = network_host_stop,
        .change = network_host_change,
        .save_live = save_live,
        .leases = network_server_leases,
};

/* --- load --- */

static int load_one(void *arg, const char *name, const char *xml, bool autostart, Error *err)
{
        NetworkHost *host = arg;
        AUTO(NetworkDef) *def = network_define_parse(host->driver, xml, false, err);
        Network *net;

        if (!def || def_store_check_file(name, def->name, err) < 0 ||
            network_define_find(host->driver, def, &net, err) < 0)
                return -1;
        net = network_add(host->driver, def->name, &def->uuid);
        net->persistent = true;
        net->autostart = autostart;
        network_set_config(net, TAKE(def));
        return 0;
}

/* NET-02: once, at the first start. Whoever removes it later has it removed. */
static int make_default(NetworkHost *host, bool *ret_made, Error *err)
{
        const Daemon *daemon = host->driver->daemon;
        AUTOFREE char *mark = str_format("%s/default-made", host->state_dir);
        AUTOFREE char *path = str_format("%s/network/default.xml", daemon->dirs.config);
        AUTOFREE char *link = str_format("%s/network/autostart/default.xml", daemon->dirs.config);
        AUTOFREE char *dir = str_format("%s/network/autostart", daemon->dirs.config);
        struct stat st;

        if (!daemon->config->default_network || access(mark, F_OK) == 0)
                return 0;
        if (lstat(path, &st) < 0 && errno == ENOENT) {
                /* the same at every start: a definition in a file has its identity in it */
                AUTO(NetworkDef) *def = network_define_parse(host->driver, DEFAULT_NETWORK_XML, false, err);
                AUTO(Buf) xml = { 0 };

                if (!def || dir_make(dir, 0700, err) < 0)
                        return -1;
                network_def_format(def, DEF_FORMAT_INACTIVE, &xml);
                /* the definition last: with it, it is made */
                if (file_link_durable(link, "../default.xml", err) < 0 ||
                    file_write_durable(path, xml.data, xml.len, 0600, err) < 0)
                        return -1;
                *ret_made = true;
        }
        return file_write_durable(mark, "", 0, 0600, err);
}

/*
 * Packages put such users into the file itself. To ask for one that is nowhere would go through every name service at each
 * start, whether or not there is a network.
 */
static void find_user(NetworkHost *host)
{
        static const char *const usual[] = { "libvirt-dnsmasq", "dnsmasq", "nobody" };
        size_t best = ARRAY_LEN(usual) - 1;
        const struct passwd *user;
        FILE *file = NULL;

        host->user = host->driver->daemon->config->dnsmasq_user;
        if (!host->user)
                file = fopen("/etc/passwd", "re");
        while (file && best && (user = fgetpwent(file))) {
                for (size_t i = 0; i < best; i++) {
                        if (str_eq(user->pw_name, usual[i]))
                                best = i;
                }
        }
        if (file)
                fclose(file);
        host->user = host->user ?: usual[best];
}

static size_t list_ruled(void *arg, Arena *arena, const NetworkDef ***ret)
{
        const Registry *all = ((const NetworkHost *)arg)->driver->networks;
        size_t n = 0;

        *ret = arena_new_array(arena, const NetworkDef *, registry_len(all) + 1);
        for (size_t i = 0; i < registry_len(all); i++) {
                const Network *net = registry_at(all, i);
                const NetworkRun *run = network_run(net);

                if (run && run->has_rules)
                        (*ret)[n++] = net->live;
        }
        return n;
}

/* --- those that start with the host --- */

/* Once per boot, as libvirt does: what an administrator stops stays stopped when the daemon is restarted. */
static char *marker_of(const NetworkHost *host)
{
        return str_format("%s/autostarted", host->run_dir);
}

static void on_settled(void *arg)
{
        NetworkHost *host = arg;
        AUTOFREE char *marker = marker_of(host);
        AUTO(Buf) nothing = { 0 };

        host->settling = idle_free(host->settling);
        /* not before: a daemon that is killed until here leaves the rest to the next one */
        if (access(marker, F_OK) < 0)
                file_queue_write(host->files, marker, &nothing, 0600, false, NULL, NULL);
        host->settled(host->settled_arg);
}

typedef struct Autostart {
        NetworkHost *host;
        Network *net;
        JobClaim *claim;
} Autostart;

static void on_autostarted(void *arg, const Error *failure)
{
        Autostart *a = arg;

        if (failure)
                log_error("network '%s' was not autostarted: %s", a->net->name, failure->text);
        job_claim_free(a->claim);
        network_unref(a->net);
        if (--a->host->starting == 0)
                a->host->settling = idle_new(a->host->driver->daemon->loop, on_settled, a->host);
        free(a);
}

static void on_turn(void *arg, const Error *refused)
{
        Autostart *a = arg;

        if (refused || a->net->active || !a->net->config) {
                on_autostarted(a, refused);
                return;
        }
        network_set_live(a->net, network_def_copy(a->net->config));
        network_start(a->net, on_autostarted, a);
}

static void autostart(NetworkHost *host)
{
        const Registry *all = host->driver->networks;
        AUTOFREE char *marker = marker_of(host);
        bool after_boot = access(marker, F_OK) < 0;

        host->starting = 1; /* this function */
        for (size_t i = 0; i < registry_len(all); i++) {
                Network *net = registry_at(all, i);
                Autostart *a;

                if (!net->autostart || net->active || !(after_boot || net->is_missed))
                        continue;
                a = mem_new(Autostart);
                *a = (Autostart){ .host = host, .net = network_ref(net) };
                host->starting++;
                job_claim(net->jobs, JOB_MODIFY, net->name, &a->claim, on_turn, a);
        }
        if (--host->starting == 0)
                host->settling = idle_new(host->driver->daemon->loop, on_settled, host);
}

static bool any_has_rules(NetworkHost *host)
{
        AUTO(Arena) *arena = arena_new();
        const NetworkDef **defs;

        return list_ruled(host, arena, &defs) > 0;
}

int network_host_load(Driver *driver, FileQueue *files, void (*settled)(void *arg), void *arg, Error *err)
{
        const DaemonDirs *dirs = &driver->daemon->dirs;
        AUTOFREE char *config_dir = str_format("%s/network", dirs->config);
        NetworkHost *host = mem_new(NetworkHost);
        bool made = false;

        driver->network_host = host;
        *host = (NetworkHost){ .driver = driver,
                               .files = files,
                               .store = def_store_new(files, config_dir),
                               .run_dir = str_format("%s/network", dirs->run),
                               .state_dir = str_format("%s/network", dirs->state),
                               .settled = settled,
                               .settled_arg = arg };
        host->rules = net_rules_new(driver->daemon->loop, list_ruled, host);
        find_user(host);
        if (dir_make(host->run_dir, 0755, err) < 0 || dir_make(host->state_dir, 0755, err) < 0 ||
            make_default(host, &made, err) < 0 || def_store_load(host->store, load_one, host, err) < 0 ||
            network_status_load(host, err) < 0)
                return -1;
        network_status_sweep(host);
        if (made && network_find(driver, "default"))
                network_find(driver, "default")->is_missed = true;
        network_links_settle_forwarding(host);
        /* a network that was on its way when the last daemon ended may have left rules, and none is there that needs them */
        if (any_has_rules(host) || nft_has_table(NFPROTO_INET, NET_RULES_TABLE))
                net_rules_rebuild(host->rules, NULL, NULL);
        autostart(host);
        return 0;
}

void network_host_reload(NetworkHost *host)
{
        if (any_has_rules(host))
                net_rules_rebuild(host->rules, NULL, NULL);
}

NetworkHost *network_host_free(NetworkHost *host)
{
        if (!host)
                return NULL;
        for (size_t i = 0; i < registry_len(host->driver->networks); i++) {
                Network *net = registry_at(host->driver->networks, i);

                net->run = network_run_free(net->run);
        }
        idle_free(host->settling);
        net_rules_free(host->rules);
        def_store_free(host->store);
        free(host->run_dir);
        free(host->state_dir);
        free(host);
        return NULL;
}
