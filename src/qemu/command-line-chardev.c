/*
 * qemu/command-line-chardev.c - serial and parallel ports, consoles, channels, redirected USB
 *
 * What goes to a file goes through the logger, so that a guest cannot fill the host's disk.
 */
#include "base/str.h"
#include "qemu/command-line-private.h"

#include <stdio.h>

static const EndpointDef *endpoint(const ChardevSourceDef *source, EndpointMode mode)
{
        for (uint32_t i = 0; i < source->n_endpoints; i++) {
                if (!mode || source->endpoints[i]->mode == mode)
                        return source->endpoints[i];
        }
        return NULL;
}

static void put_reconnect(Buf *value, const EndpointDef *e)
{
        if (e->reconnect_enabled == SWITCH_ON)
                buf_format(value, ",reconnect=%u", e->reconnect_timeout ?: 1);
}

/* ",NAME=TEXT"; a comma of the text begins no option of its own. */
static void put_option(Buf *value, const char *name, const char *text)
{
        AUTOFREE char *escaped = option_escape(text);

        buf_format(value, ",%s=%s", name, escaped);
}

static int put_socket(Buf *value, const char *id, const EndpointDef *e, ChardevProtocol protocol, Error *err)
{
        bool server = e->mode == ENDPOINT_MODE_BIND;

        if (!e->host || !e->service)
                return err_set(err, ERR_XML, "the stream '%s' needs a host and a service", id);
        buf_format(value, "socket,id=%s", id);
        put_option(value, "host", e->host);
        put_option(value, "port", e->service);
        if (server)
                buf_put_text(value, ",server=on,wait=off");
        else
                put_reconnect(value, e);
        if (protocol == CHARDEV_PROTOCOL_TELNET)
                buf_put_text(value, ",telnet=on");
        else if (protocol > CHARDEV_PROTOCOL_TELNET || e->tls == SWITCH_ON)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the stream '%s' wants TLS, which is not supported", id);
        return 0;
}

static int put_unix(Buf *value, const char *id, const EndpointDef *e, const char *default_path, Error *err)
{
        const char *path = e && e->path ? e->path : default_path;

        if (!path)
                return err_set(err, ERR_XML, "the stream '%s' needs the path of a socket", id);
        buf_format(value, "socket,id=%s", id);
        put_option(value, "path", path);
        if (!e || e->mode == ENDPOINT_MODE_BIND || !e->path)
                buf_put_text(value, ",server=on,wait=off");
        else
                put_reconnect(value, e);
        return 0;
}

static int put_udp(Buf *value, const char *id, const ChardevSourceDef *source, Error *err)
{
        const EndpointDef *to = endpoint(source, ENDPOINT_MODE_CONNECT), *from = endpoint(source, ENDPOINT_MODE_BIND);

        if (!to || !to->service)
                return err_set(err, ERR_XML, "the stream '%s' needs a service to connect to", id);
        buf_format(value, "udp,id=%s", id);
        put_option(value, "host", to->host ?: "");
        put_option(value, "port", to->service);
        if (from) {
                put_option(value, "localaddr", from->host ?: "");
                put_option(value, "localport", from->service ?: "0");
        }
        return 0;
}

static int put_path(Buf *value, const char *kind, const char *id, const EndpointDef *e, Error *err)
{
        if (!e || !e->path)
                return err_set(err, ERR_XML, "the stream '%s' needs a path", id);
        buf_format(value, "%s,id=%s", kind, id);
        put_option(value, "path", e->path);
        return 0;
}

static int put_source(CommandLine *line, const char *id, ChardevType type, const ChardevSourceDef *source,
                      const char *default_path, Buf *value, Error *err)
{
        const EndpointDef *e = endpoint(source, 0);

        switch (type) {
        case CHARDEV_TYPE_NULL:
                buf_format(value, "null,id=%s", id);
                return 0;
        case CHARDEV_TYPE_PTY:
                buf_format(value, "pty,id=%s", id);
                return 0;
        case CHARDEV_TYPE_VC:
                buf_format(value, "vc,id=%s", id);
                return 0;
        case CHARDEV_TYPE_FILE:
                if (!e || !e->path)
                        return err_set(err, ERR_XML, "the stream '%s' needs the path of a file", id);
                buf_format(value, "file,id=%s,path=/dev/fdset/%d,append=on", id,
                           line_put_log(line, e->path, e->append == SWITCH_ON));
                return 0;
        case CHARDEV_TYPE_DEV:
                if (e && e->path)
                        command_line_need_file(line, e->path, true);
                return put_path(value, "serial", id, e, err);
        case CHARDEV_TYPE_PIPE:
                return put_path(value, "pipe", id, e, err);
        case CHARDEV_TYPE_TCP:
                if (!e)
                        return err_set(err, ERR_XML, "the stream '%s' needs a source", id);
                return put_socket(value, id, e, source->protocol, err);
        case CHARDEV_TYPE_UDP:
                return put_udp(value, id, source, err);
        case CHARDEV_TYPE_UNIX:
                return put_unix(value, id, e, default_path, err);
        case CHARDEV_TYPE_SPICEVMC:
                buf_format(value, "spicevmc,id=%s,name=%s", id, str_starts(id, "charredir") ? "usbredir" : "vdagent");
                return 0;
        case CHARDEV_TYPE_SPICEPORT:
                buf_format(value, "spiceport,id=%s", id);
                put_option(value, "name", e && e->channel ? e->channel : id);
                return 0;
        default:
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "streams of type '%s' are not supported",
                               chardev_type_text(type) ?: "?");
        }
}

char *chardev_value(const CommandLineSpec *spec UNUSED, CommandLine *line, const char *id, ChardevType type,
                    const ChardevSourceDef *source, const char *default_path, Error *err)
{
        AUTO(Buf) value = { 0 };

        return put_source(line, id, type, source, default_path, &value, err) < 0 ? NULL : buf_take(&value);
}

static int put_chardev(const CommandLineSpec *spec, CommandLine *line, const ChardevDef *c, const char *default_path,
                       Error *err)
{
        AUTOFREE char *id = str_format("char%s", c->info.alias);
        AUTOFREE char *value = chardev_value(spec, line, id, c->type, &c->source, default_path, err);

        if (!value)
                return -1;
        if (c->log_file)
                line_put_pair(line, "-chardev", "%s,logfile=/dev/fdset/%d,logappend=on", value,
                              line_put_log(line, c->log_file, c->log_append == SWITCH_ON));
        else
                line_put_pair(line, "-chardev", "%s", value);
        return 0;
}

/* The device for the guest's side, still open; w is closed by the caller. */
static int put_device(const CommandLineSpec *spec, CommandLine *line, const ChardevDef *c, const char *driver,
                      void (*more)(JsonWriter *w, const ChardevDef *c), Error *err)
{
        AUTO(JsonWriter) w = { 0 };

        if (part_open_device(&w, driver, spec->def, &c->info, err) < 0)
                return -1;
        json_put_format(&w, "chardev", "char%s", c->info.alias);
        if (more)
                more(&w, c);
        json_close_object(&w);
        line_put_pair(line, "-device", "%s", json_text(&w));
        return 0;
}

static void put_index(JsonWriter *w, const ChardevDef *c)
{
        if (!c->info.address)
                json_put_u64(w, "index", c->target_port);
}

static int put_serial(const CommandLineSpec *spec, CommandLine *line, const ChardevDef *c, Error *err)
{
        const char *type = c->target_type ?: "isa-serial";

        if (put_chardev(spec, line, c, NULL, err) < 0)
                return -1;
        if (str_eq(type, "isa-serial"))
                return put_device(spec, line, c, "isa-serial", put_index, err);
        if (str_eq(type, "pci-serial") || str_eq(type, "usb-serial"))
                return put_device(spec, line, c, type, NULL, err);
        if (str_eq(type, "isa-debug") || str_eq(c->target_model, "isa-debugcon"))
                return put_device(spec, line, c, "isa-debugcon", NULL, err);
        return err_set(err, ERR_CONFIG_UNSUPPORTED, "serial ports of type '%s' are not supported", type);
}

static void put_name(JsonWriter *w, const ChardevDef *c)
{
        json_put_text(w, "name", c->target_name);
}

/* A socket in the guest's own directory, unless the definition names one. */
static char *channel_path(const CommandLineSpec *spec, const ChardevDef *c)
{
        return str_format("%s/%s", spec->guest_dir, c->info.alias);
}

static int put_channel(const CommandLineSpec *spec, CommandLine *line, const ChardevDef *c, Error *err)
{
        AUTOFREE char *path = channel_path(spec, c);

        if (c->target_type && !str_eq(c->target_type, "virtio"))
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "channels of type '%s' are not supported",
                               c->target_type);
        if (put_chardev(spec, line, c, path, err) < 0)
                return -1;
        return put_device(spec, line, c, "virtserialport", put_name, err);
}

/* The first console is the first serial port, seen twice. */
static int put_console(const CommandLineSpec *spec, CommandLine *line, const ChardevDef *c, Error *err)
{
        if (!c->target_type || str_eq(c->target_type, "serial"))
                return 0;
        if (!str_eq(c->target_type, "virtio"))
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "consoles of type '%s' are not supported",
                               c->target_type);
        if (put_chardev(spec, line, c, NULL, err) < 0)
                return -1;
        return put_device(spec, line, c, "virtconsole", NULL, err);
}

/* One rule as usb-redir wants it (DOM-33, DOM-34): -1 is any. */
static void put_rule(Buf *filter, const UsbdevDef *rule)
{
        const char *const parts[] = { rule->class, rule->vendor, rule->product };
        const char *dot = rule->version ? strchr(rule->version, '.') : NULL;
        unsigned major = 0, minor = 0;

        buf_put_text(filter, filter->len ? "|" : "");
        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
                buf_format(filter, "%s:", parts[i] ?: "-1");
        if (!rule->version || str_eq(rule->version, "-1"))
                buf_put_text(filter, "-1");
        else if (sscanf(rule->version, "%u.%u", &major, &minor) >= 1)
                /* decimal digits as they stand: 2.0 is 0x0200, 1.1 is 0x0110 */
                buf_format(filter, "0x%02u%02u", major, dot && strlen(dot + 1) == 1 ? minor * 10 : minor);
        buf_format(filter, ":%d", rule->allow == SWITCH_ON);
}

static int put_redirdev(const CommandLineSpec *spec, CommandLine *line, const RedirdevDef *r, Error *err)
{
        const RedirfilterDef *rules = spec->def->redirfilter;
        AUTOFREE char *id = str_format("char%s", r->info.alias);
        AUTOFREE char *value = chardev_value(spec, line, id, r->type, &r->source, NULL, err);
        AUTO(JsonWriter) w = { 0 };
        AUTO(Buf) filter = { 0 };

        if (!value || part_open_device(&w, "usb-redir", spec->def, &r->info, err) < 0)
                return -1;
        for (uint32_t i = 0; rules && i < rules->n_rules; i++)
                put_rule(&filter, rules->rules[i]);
        json_put_text(&w, "chardev", id);
        if (filter.len)
                json_put_text(&w, "filter", buf_text(&filter));
        put_u32(&w, "bootindex", r->boot_order);
        json_close_object(&w);
        line_put_pair(line, "-chardev", "%s", value);
        line_put_pair(line, "-device", "%s", json_text(&w));
        return 0;
}

int command_line_chardevs(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        const DomainDef *def = spec->def;

        for (uint32_t i = 0; i < def->n_serials; i++) {
                if (put_serial(spec, line, def->serials[i], err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < def->n_parallels; i++) {
                if (put_chardev(spec, line, def->parallels[i], NULL, err) < 0 ||
                    put_device(spec, line, def->parallels[i], "isa-parallel", put_index, err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < def->n_consoles; i++) {
                if (put_console(spec, line, def->consoles[i], err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < def->n_channels; i++) {
                if (put_channel(spec, line, def->channels[i], err) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < def->n_redirdevs; i++) {
                if (put_redirdev(spec, line, def->redirdevs[i], err) < 0)
                        return -1;
        }
        return 0;
}
