/*
 * qemu/chardev-plug.c - serial ports, consoles and channels for a guest that runs
 *
 * What is told to QEMU's monitor, where a start has -chardev (command-line-chardev.c). A file is not among it: its
 * output goes through a logger that the guest has from its start.
 */
#include "base/str.h"
#include "model/device.h"
#include "qemu/command-line-private.h"

#define AGENT_CHANNEL "org.qemu.guest_agent.0"

static const EndpointDef *endpoint(const ChardevDef *c, EndpointMode mode)
{
        for (uint32_t i = 0; i < c->source.n_endpoints; i++) {
                if (!mode || c->source.endpoints[i]->mode == mode)
                        return c->source.endpoints[i];
        }
        return NULL;
}

static void put_inet(JsonWriter *w, const char *key, const char *host, const char *port)
{
        json_open_object(w, key);
        json_put_text(w, "type", "inet");
        json_open_object(w, "data");
        json_put_text(w, "host", host ?: "");
        json_put_text(w, "port", port ?: "0");
        json_close_object(w);
        json_close_object(w);
}

static void put_side(JsonWriter *w, const EndpointDef *e, bool server)
{
        json_put_bool(w, "server", server);
        if (server)
                json_put_bool(w, "wait", false);
        else if (e && e->reconnect_enabled == SWITCH_ON)
                json_put_u64(w, "reconnect", e->reconnect_timeout ?: 1);
}

static void put_unix(JsonWriter *w, const EndpointDef *e, const char *own_path)
{
        bool named = e && e->path;

        json_open_object(w, "addr");
        json_put_text(w, "type", "unix");
        json_open_object(w, "data");
        json_put_text(w, "path", named ? e->path : own_path);
        json_close_object(w);
        json_close_object(w);
        put_side(w, e, !named || e->mode == ENDPOINT_MODE_BIND);
}

static int put_tcp(JsonWriter *w, const ChardevDef *c, const EndpointDef *e, Error *err)
{
        if (!e || !e->host || !e->service)
                return err_set(err, ERR_XML, "the stream '%s' needs a host and a service", c->info.alias);
        if (c->source.protocol > CHARDEV_PROTOCOL_TELNET || e->tls == SWITCH_ON)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the stream '%s' wants TLS, which is not supported",
                               c->info.alias);
        put_inet(w, "addr", e->host, e->service);
        put_side(w, e, e->mode == ENDPOINT_MODE_BIND);
        json_put_bool(w, "telnet", c->source.protocol == CHARDEV_PROTOCOL_TELNET);
        return 0;
}

static int put_udp(JsonWriter *w, const ChardevDef *c, Error *err)
{
        const EndpointDef *to = endpoint(c, ENDPOINT_MODE_CONNECT), *from = endpoint(c, ENDPOINT_MODE_BIND);

        if (!to || !to->service)
                return err_set(err, ERR_XML, "the stream '%s' needs a service to connect to", c->info.alias);
        put_inet(w, "remote", to->host, to->service);
        if (from)
                put_inet(w, "local", from->host, from->service);
        return 0;
}

/* The members of "data". */
static int put_data(JsonWriter *w, const ChardevDef *c, const char *own_path, Error *err)
{
        switch (c->type) {
        case CHARDEV_TYPE_UNIX:
                if (!own_path && !(endpoint(c, 0) && endpoint(c, 0)->path))
                        return err_set(err, ERR_XML, "the stream '%s' needs the path of a socket", c->info.alias);
                put_unix(w, endpoint(c, 0), own_path);
                return 0;
        case CHARDEV_TYPE_TCP:
                return put_tcp(w, c, endpoint(c, 0), err);
        case CHARDEV_TYPE_UDP:
                return put_udp(w, c, err);
        default:
                return 0;
        }
}

/* What QEMU calls the host's side; NULL: it cannot be given to a guest that runs. */
static const char *backend(ChardevType type)
{
        switch (type) {
        case CHARDEV_TYPE_NULL:
                return "null";
        case CHARDEV_TYPE_PTY:
                return "pty";
        case CHARDEV_TYPE_UNIX:
        case CHARDEV_TYPE_TCP:
                return "socket";
        case CHARDEV_TYPE_UDP:
                return "udp";
        default:
                return NULL;
        }
}

static int put_backend(const ChardevDef *c, const char *own_path, QemuParts *ret, Error *err)
{
        AUTOFREE char *id = str_format("char%s", c->info.alias);
        AUTO(JsonWriter) w = { 0 };

        if (!backend(c->type) || c->log_file)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "a running guest can be given streams of type pty, unix, tcp, udp and null, not one %s "
                               "'%s'",
                               c->log_file ? "with a log in" : "of type",
                               c->log_file ?: chardev_type_text(c->type) ?: "?");
        json_open_object(&w, NULL);
        json_put_text(&w, "id", id);
        json_open_object(&w, "backend");
        json_put_text(&w, "type", backend(c->type));
        json_open_object(&w, "data");
        if (put_data(&w, c, own_path, err) < 0)
                return -1;
        json_close_object(&w);
        json_close_object(&w);
        part_close(&w, ret, QEMU_PART_CHARDEV, id);
        return 0;
}

/* The guest's side; NULL with err: it is none that comes and goes while the guest runs. */
static const char *driver_of(DeviceKind kind, const ChardevDef *c, Error *err)
{
        const char *type = c->target_type ?: "isa-serial";

        if (kind == DEVICE_SERIAL && (str_eq(type, "pci-serial") || str_eq(type, "usb-serial")))
                return type;
        if (kind == DEVICE_CONSOLE && str_eq(c->target_type, "virtio"))
                return "virtconsole";
        if (kind == DEVICE_CHANNEL && str_eq(c->target_name, AGENT_CHANNEL)) {
                err_set(err, ERR_OPERATION_UNSUPPORTED,
                        "the channel of the guest agent is there from a guest's start on: add it with --config");
                return NULL;
        }
        if (kind == DEVICE_CHANNEL && (!c->target_type || str_eq(c->target_type, "virtio")))
                return "virtserialport";
        err_set(err, ERR_OPERATION_UNSUPPORTED,
                "a <%s> of type '%s' cannot be plugged into a running guest: a serial port of type pci-serial or "
                "usb-serial can, and a console or channel of type virtio",
                device_lists[kind].element, kind == DEVICE_SERIAL ? type : c->target_type ?: "?");
        return NULL;
}

int qemu_chardev_parts(const DomainDef *def, DeviceKind kind, const ChardevDef *c, const char *own_path,
                       QemuParts *ret, Error *err)
{
        const char *driver = driver_of(kind, c, err);
        AUTO(JsonWriter) w = { 0 };

        if (!driver || put_backend(c, own_path, ret, err) < 0 || part_open_device(&w, driver, def, &c->info, err) < 0)
                return -1;
        json_put_format(&w, "chardev", "char%s", c->info.alias);
        if (kind == DEVICE_CHANNEL)
                json_put_text(&w, "name", c->target_name);
        part_close(&w, ret, QEMU_PART_DEVICE, c->info.alias);
        return 0;
}
