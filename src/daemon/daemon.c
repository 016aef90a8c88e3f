/*
 * daemon/daemon.c - put droverd together, and take it apart
 */
#include "daemon/daemon.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/network-host.h"
#include "daemon/node-events.h"
#include "daemon/quota.h"
#include "daemon/registry.h"
#include "daemon/server.h"
#include "host/identity.h"
#include "loop/child.h"

enum {
        N_WORKERS = 4,
        LARGE_FRAMES_BYTES = 64 * 1024 * 1024, /* CON-68 */
};

static Driver *driver_new(Daemon *daemon, const DriverOps *ops)
{
        Driver *driver = mem_new(Driver);

        *driver = (Driver){ .ops = ops,
                            .daemon = daemon,
                            .domains = domain_list_new(),
                            .networks = registry_new(),
                            .events = event_hub_new() };
        return driver;
}

static Driver *driver_free(Driver *driver)
{
        if (!driver)
                return NULL;
        driver->ops->unload(driver);
        node_events_free(driver->node_events);
        domain_list_free(driver->domains);
        network_free_all(driver->networks);
        event_hub_free(driver->events);
        free(driver);
        return NULL;
}

static int make_dirs(const DaemonDirs *dirs, Error *err)
{
        if (dir_make(dirs->config, 0700, err) < 0 || dir_make(dirs->state, 0711, err) < 0 ||
            dir_make(dirs->run, 0755, err) < 0 || dir_make(dirs->log, 0700, err) < 0)
                return -1;
        return 0;
}

/* A host that has no UUID of its own gets one for as long as droverd runs: peers need some to tell hosts apart. */
static int find_host_uuid(Daemon *daemon, Error *err)
{
        const Config *config = daemon->config;
        AUTO(Error) why = { 0 };

        if (host_find_uuid("", config->host_uuid, str_eq(config->host_uuid_source, "machine-id"), &daemon->host_uuid,
                           &why) == 0)
                return 0;
        if (config->host_uuid && *config->host_uuid)
                return err_move(err, &why);
        log_warning("%s; set host_uuid in droverd.conf. Until then each start makes one up", why.text);
        uuid_new_random(&daemon->host_uuid);
        return 0;
}

static const DriverOps *const all_ops[N_DRIVERS] = { &driver_qemu_ops, &driver_test_ops };

Driver *daemon_driver(Daemon *daemon, const char *uri, Error *err)
{
        for (size_t i = 0; i < N_DRIVERS; i++) {
                /* an empty URI asks for whatever this host has */
                if (*uri && !str_eq(uri, all_ops[i]->uri))
                        continue;
                if (!daemon->drivers[i]) {
                        daemon->drivers[i] = driver_new(daemon, all_ops[i]);
                        if (all_ops[i]->load(daemon->drivers[i], err) < 0)
                                daemon->drivers[i] = driver_free(daemon->drivers[i]);
                }
                return daemon->drivers[i];
        }
        err_set(err, ERR_NO_CONNECT, "'%s'; droverd knows qemu:///system and test:///default", uri);
        return NULL;
}

Daemon *daemon_new(Loop *loop, Config *config, DaemonDirs dirs, Error *err)
{
        AUTO(Daemon) *daemon = mem_new(Daemon);

        *daemon = (Daemon){ .loop = loop, .config = config, .dirs = dirs, .large_frames_left = LARGE_FRAMES_BYTES };
        daemon->quota = quota_new((unsigned)MIN(config->max_workers, config->max_requests),
                                  (unsigned)config->prio_workers);
        if (make_dirs(&daemon->dirs, err) < 0 || find_host_uuid(daemon, err) < 0)
                return NULL;
        daemon->workers = worker_pool_new(loop, N_WORKERS, err);
        if (!daemon->workers)
                return NULL;
        daemon->server = server_new(daemon, err);
        if (!daemon->server)
                return NULL;
        if (!daemon_driver(daemon, "", err))
                return NULL;
        daemon->loaded = true;
        if (server_start(daemon->server, err) < 0)
                return NULL;
        for (size_t i = 0; i < N_DRIVERS; i++) {
                if (daemon->drivers[i] && daemon->drivers[i]->ops->go_on)
                        daemon->drivers[i]->ops->go_on(daemon->drivers[i]);
        }
        return TAKE(daemon);
}

void daemon_reload(Daemon *daemon)
{
        for (size_t i = 0; i < N_DRIVERS; i++) {
                if (daemon->drivers[i] && daemon->drivers[i]->network_host)
                        network_host_reload(daemon->drivers[i]->network_host);
        }
}

Daemon *daemon_free(Daemon *daemon)
{
        if (!daemon)
                return NULL;
        for (size_t i = 0; daemon->loaded && i < N_DRIVERS; i++) {
                if (daemon->drivers[i] && daemon->drivers[i]->ops->retire)
                        daemon->drivers[i]->ops->retire(daemon->drivers[i]);
        }
        daemon->ending = true;
        server_free(daemon->server);
        daemon->workers = worker_pool_free(daemon->workers);
        for (size_t i = 0; i < N_DRIVERS; i++)
                driver_free(daemon->drivers[i]);
        child_forget_killed(daemon->loop);
        quota_free(daemon->quota);
        config_free(daemon->config);
        free(daemon->dirs.config);
        free(daemon->dirs.state);
        free(daemon->dirs.run);
        free(daemon->dirs.log);
        free(daemon);
        return NULL;
}
