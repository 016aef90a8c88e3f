/*
 * daemon/handle-connect.c - opening, closing and asking about a connection
 */
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/server-client.h"
#include "daemon/server.h"
#include "wire/constants.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum {
        API_VERSION = 9000000, /* of the library whose protocol this is: 9.0.0 */
        AUTH_NONE = 0,

        OPEN_READONLY = 1,

        /* what clients ask connect_supports_feature about */
        FEATURE_MIGRATION_P2P = 4,
        FEATURE_MIGRATION_V3 = 6,
        FEATURE_CHANGE_PROTECTION = 7,
        FEATURE_FD_PASSING = 8,
        FEATURE_TYPED_PARAM_STRING = 9,
        FEATURE_KEEPALIVE = 10,
        FEATURE_XML_MIGRATABLE = 11,
        FEATURE_MIGRATION_OFFLINE = 12,
        FEATURE_MIGRATION_PARAMS = 13,
        FEATURE_EVENT_CALLBACK = 14,
        FEATURE_CLOSE_CALLBACK = 15,
        FEATURE_NETWORK_UPDATE_ORDER = 16,
};

int handle_auth_list(Call *call, Error *err UNUSED)
{
        int32_t none = AUTH_NONE;

        server_client_authenticated(call_daemon(call)->server, call_client(call));
        call_reply(call, &(WireAuthListRet){ .n_types = 1, .types = &none });
        return 0;
}

static bool supports(const ServerClient *client, int feature)
{
        switch (feature) {
        case FEATURE_FD_PASSING:
                return client->is_unix;
        case FEATURE_MIGRATION_P2P:
        case FEATURE_MIGRATION_V3:
        case FEATURE_CHANGE_PROTECTION:
        case FEATURE_MIGRATION_OFFLINE:
        case FEATURE_MIGRATION_PARAMS:
                return client->driver->ops == &driver_qemu_ops;
        case FEATURE_TYPED_PARAM_STRING:
        case FEATURE_KEEPALIVE:
        case FEATURE_XML_MIGRATABLE:
        case FEATURE_EVENT_CALLBACK:
        case FEATURE_CLOSE_CALLBACK:
        case FEATURE_NETWORK_UPDATE_ORDER:
                return true;
        default:
                return false; /* versions 1 and 2 of migration among them */
        }
}

int handle_connect_supports_feature(Call *call, const WireConnectSupportsFeatureArgs *args, Error *err)
{
        ServerClient *client = call_client(call);
        const Config *config = call_daemon(call)->config;

        if (args->feature == FEATURE_KEEPALIVE && !client->knows_keepalive) {
                client->knows_keepalive = true;
                conn_keepalive_start(client->conn, config->keepalive_interval, (unsigned)config->keepalive_count);
        } else if (args->feature != FEATURE_KEEPALIVE && !client->driver) {
                return err_set(err, ERR_INTERNAL, "hypervisor connection not open");
        }
        call_reply(call, &(WireConnectSupportsFeatureRet){ .supported = supports(client, args->feature) });
        return 0;
}

static Driver *find_driver(Daemon *daemon, const char *uri, Error *err)
{
        if (!str_starts(uri, "qemu:") || !str_ends(uri, "/session"))
                return daemon_driver(daemon, uri, err);
        err_set(err, ERR_NO_CONNECT,
                "'%s': droverd runs the guests of the system; there is no session instance, use qemu:///system", uri);
        return NULL;
}

int handle_connect_open(Call *call, const WireConnectOpenArgs *args, Error *err)
{
        ServerClient *client = call_client(call);

        if (client->driver)
                return err_set(err, ERR_INTERNAL, "connection already open");
        if (!args->name)
                return err_set(err, ERR_INVALID_ARG, "the name of the hypervisor to open is missing");
        client->driver = find_driver(call_daemon(call), args->name, err);
        if (!client->driver)
                return -1;
        if (args->flags & OPEN_READONLY)
                client->readonly = true;
        call_reply(call, NULL);
        return 0;
}

int handle_connect_close(Call *call, Error *err UNUSED)
{
        Conn *conn = call_client(call)->conn;

        call_reply(call, NULL);
        conn_close_when_sent(conn);
        return 0;
}

/* The link to the hypervisor is in this process and never goes away, so the callback is remembered and never called. */
int handle_connect_register_close_callback(Call *call, Error *err UNUSED)
{
        call_client(call)->wants_close_callback = true;
        call_reply(call, NULL);
        return 0;
}

int handle_connect_unregister_close_callback(Call *call, Error *err UNUSED)
{
        call_client(call)->wants_close_callback = false;
        call_reply(call, NULL);
        return 0;
}

int handle_connect_get_type(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectGetTypeRet){ .type = call_driver(call)->ops->type });
        return 0;
}

int handle_connect_get_uri(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectGetUriRet){ .uri = call_driver(call)->ops->uri });
        return 0;
}

int handle_connect_get_version(Call *call, Error *err UNUSED)
{
        Driver *driver = call_driver(call);

        call_reply(call, &(WireConnectGetVersionRet){ .hv_ver = driver->ops->version(driver) });
        return 0;
}

int handle_connect_get_lib_version(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectGetLibVersionRet){ .lib_ver = API_VERSION });
        return 0;
}

int handle_connect_get_hostname(Call *call, Error *err)
{
        char name[HOST_NAME_MAX + 1] = "";

        if (gethostname(name, sizeof(name) - 1) < 0)
                return err_errno(err, errno, "cannot tell the host's name");
        call_reply(call, &(WireConnectGetHostnameRet){ .hostname = name });
        return 0;
}

int handle_connect_is_secure(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireConnectIsSecureRet){ .secure = call_client(call)->is_unix });
        return 0;
}

/* What a client says about itself counts for nothing here: who it is comes from the socket. */
int handle_connect_set_identity(Call *call, const WireConnectSetIdentityArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        call_reply(call, NULL);
        return 0;
}
