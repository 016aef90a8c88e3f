/*
 * host/storage/iscsi.c - pools that are the units of an iSCSI target, by open-iscsi (STO-10)
 *
 * iscsiadm logs in and out; which session is the pool's, and which SCSI host it
 * made, is read from sysfs. The records that a login needs go with the logout.
 */
#include "host/storage/scsi.h"

#include "base/str.h"
#include "base/uuid.h"

#include <dirent.h>
#include <stdio.h>

enum { USUAL_PORT = 3260 };

static char *portal_of(const PoolSourceDef *source)
{
        const PoolHostDef *host = source->hosts[0];
        unsigned port = host->port ?: USUAL_PORT;

        return strchr(host->name, ':') ? str_format("[%s]:%u", host->name, port)
                                       : str_format("%s:%u", host->name, port);
}

/* The SCSI host of the session with the pool's target. *ret -1: there is none. */
static void find_session(const PoolDef *pool, long *ret)
{
        AUTOFREE char *sessions = sysfs_path("class/iscsi_session");
        DIR *dir = opendir(sessions);

        *ret = -1;
        for (struct dirent *entry; dir && *ret < 0 && (entry = readdir(dir));) {
                AUTOFREE char *session = str_format("%s/%s", sessions, entry->d_name);
                AUTOFREE char *target = sysfs_read(session, "targetname");
                AUTOFREE char *real = NULL;
                const char *at;
                unsigned host;

                if (!str_starts(entry->d_name, "session") || !str_eq(target, pool_def_device(pool)))
                        continue;
                /* .../host3/session1/iscsi_session/session1 */
                real = realpath(session, NULL);
                at = real ? strstr(real, "/host") : NULL;
                if (at && sscanf(at, "/host%u/session", &host) == 1)
                        *ret = host;
        }
        if (dir)
                closedir(dir);
}

static int is_there(const PoolDef *pool, bool *ret, Error *err UNUSED)
{
        long host;

        find_session(pool, &host);
        *ret = host >= 0;
        return 0;
}

/* A node record with one of our own names for it; without one it has the host's name. */
static int make_interface(const char *iqn, const char *interface, Error *err)
{
        int status;

        if (STORAGE_ASK(NULL, &status, err, "iscsiadm", "--mode", "iface", "--interface", interface, "--op", "new") <
            0)
                return -1;
        /* it may be there already; what counts is that it has the name */
        return STORAGE_RUN(NULL, err, "iscsiadm", "--mode", "iface", "--interface", interface, "--op", "update",
                           "--name", "iface.initiatorname", "--value", iqn);
}

static int node_act(const PoolDef *pool, const char *interface, const char *const *more, Error *err)
{
        AUTOFREE char *portal = portal_of(pool->source);
        const char *argv[20] = { "iscsiadm", "--mode", "node", "--targetname", pool_def_device(pool),
                                 "--portal", portal,   NULL };
        size_t n = 7;

        if (interface) {
                argv[n++] = "--interface";
                argv[n++] = interface;
        }
        while (*more)
                argv[n++] = *more++;
        argv[n] = NULL;
        return storage_run(argv, NULL, err);
}

#define NODE_ACT(pool, interface, err, ...)                                                                          \
        node_act((pool), (interface), (const char *const[]){ __VA_ARGS__, NULL }, (err))

/*
 * A pool that names its initiator has an interface record of its own: it goes with the pool, and iscsiadm logs out
 * whatever else uses one that it deletes.
 */
static char *interface_of(const PoolDef *pool)
{
        char uuid[UUID_TEXT_LEN + 1];

        return pool->source->initiator_iqn ? str_format("drover-%s", uuid_format(&pool->uuid, uuid)) : NULL;
}

static void delete_records(const PoolDef *pool, const char *interface)
{
        NODE_ACT(pool, interface, NULL, "--op", "delete");
        if (interface)
                STORAGE_RUN(NULL, NULL, "iscsiadm", "--mode", "iface", "--interface", interface, "--op", "delete");
}

/* iscsiadm has no other way for a password than its arguments; the record goes when the pool stops. */
static int set_password(const PoolDef *pool, const char *interface, Error *err)
{
        const PoolAuthDef *auth = pool->source->auth;
        const char *settings[][2] = { { "node.session.auth.authmethod", "CHAP" },
                                      { "node.session.auth.username", NULL },
                                      { "node.session.auth.password", NULL } };

        if (!auth)
                return 0;
        if (auth->type != POOL_AUTH_TYPE_CHAP)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "an iSCSI target takes <auth type='chap'> only");
        settings[1][1] = auth->username;
        settings[2][1] = storage_password(err);
        if (!settings[2][1])
                return -1;
        for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
                if (NODE_ACT(pool, interface, err, "--op", "update", "--name", settings[i][0], "--value",
                             settings[i][1]) < 0)
                        return -1;
        }
        return 0;
}

static int log_in(const PoolDef *pool, Error *err)
{
        AUTOFREE char *interface = interface_of(pool);

        if ((!interface || make_interface(pool->source->initiator_iqn, interface, err) == 0) &&
            NODE_ACT(pool, interface, err, "--op", "new") == 0 &&
            NODE_ACT(pool, interface, err, "--op", "update", "--name", "node.startup", "--value", "manual") == 0 &&
            set_password(pool, interface, err) == 0 && NODE_ACT(pool, interface, err, "--login") == 0)
                return 0;
        delete_records(pool, interface);
        return -1;
}

static int start(const PoolDef *pool, Error *err)
{
        long host;

        find_session(pool, &host);
        if (host < 0) {
                if (log_in(pool, err) < 0)
                        return -1;
                find_session(pool, &host);
        }
        if (host < 0)
                return err_set(err, ERR_OPERATION_FAILED, "iscsiadm logged in at '%s', but there is no session",
                               pool_def_device(pool));
        return scsi_rescan_host(pool, (unsigned)host, err);
}

static int stop(const PoolDef *pool, Error *err)
{
        AUTOFREE char *interface = interface_of(pool);
        bool there;

        if (is_there(pool, &there, err) < 0 || (there && NODE_ACT(pool, interface, err, "--logout") < 0))
                return -1;
        delete_records(pool, interface);
        return 0;
}

static int scan(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        long host;

        find_session(pool, &host);
        if (host < 0)
                return err_set(err, ERR_OPERATION_FAILED, "there is no session with '%s' any more",
                               pool_def_device(pool));
        return scsi_scan_host(pool, (unsigned)host, found, arg, err);
}

/* A line for each: "192.0.2.1:3260,1 iqn.2004-04.example:disk" */
static int find_targets(const PoolSourceDef *spec, PoolSourcesDef *ret, Error *err)
{
        AUTOFREE char *portal = NULL;
        AUTO(Buf) said = { 0 };
        char *fields[2], *text;

        if (!spec || !spec->n_hosts)
                return err_set(err, ERR_INVALID_ARG,
                               "where to look is not said: <source><host name='...'/></source>");
        portal = portal_of(spec);
        if (STORAGE_RUN(&said, err, "iscsiadm", "--mode", "discovery", "--type", "sendtargets", "--portal", portal,
                        "--op", "nonpersistent") < 0)
                return -1;
        for (text = said.data; text && storage_next_row(&text, ' ', fields, 2) == 2;) {
                PoolSourceDef *source = pool_sources_add(ret);

                pool_source_add_host(ret, source, spec->hosts[0]->name, spec->hosts[0]->port ?: USUAL_PORT);
                pool_source_add_device(ret, source, fields[1]);
        }
        return 0;
}

const StorageBackend storage_iscsi = {
        .is_started = is_there,
        .start = start,
        .stop = stop,
        .scan = scan,
        .figures = scsi_figures,
        .find_sources = find_targets,
};
