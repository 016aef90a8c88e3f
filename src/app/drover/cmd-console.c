/*
 * app/drover/cmd-console.c - see a guest and type into it
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/console.h"
#include "app/drover/keycodes.h"
#include "app/drover/xml.h"

#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { MOST_DISPLAYS = 16 };

static int console(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag switches[] = {
                { "force", VIR_DOMAIN_CONSOLE_FORCE },
                { "safe", VIR_DOMAIN_CONSOLE_SAFE },
                { 0 },
        };
        WireDomainGetStateRet state;
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_STATE, &(WireDomainGetStateArgs){ dom, 0 }, &state, err) < 0)
                return fail(err, "Unable to get domain status");
        if (state.state == VIR_DOMAIN_SHUTOFF)
                return err_set(err, ERR_OPERATION_INVALID, "The domain is not running");
        return console_run(s, &dom, arg_text(args, "devname"), switch_flags(args, switches), err);
}

/* Screenshots */

typedef struct Picture {
        ClientStream *stream;
        int fd;
        uint64_t bytes;
        char mime[64];
        Error failure;
        bool opened, finished;
} Picture;

static void picture_opened(void *arg, ClientReply *reply)
{
        Picture *picture = arg;
        const WireDomainScreenshotRet *ret = reply->ret;

        picture->opened = true;
        if (reply->failure)
                err_copy(&picture->failure, reply->failure);
        else if (ret->mime)
                strncpy(picture->mime, ret->mime, sizeof(picture->mime) - 1);
}

static void picture_data(void *arg, const void *data, size_t len)
{
        Picture *picture = arg;

        picture->bytes += len;
        if (!err_is_set(&picture->failure) && fd_write_all(picture->fd, data, len, &picture->failure) < 0)
                client_stream_abort(picture->stream);
}

static void picture_end(void *arg)
{
        Picture *picture = arg;

        client_stream_finish(picture->stream);
}

static void picture_finished(void *arg, const Error *failure)
{
        Picture *picture = arg;

        picture->finished = true;
        if (failure && !err_is_set(&picture->failure))
                err_copy(&picture->failure, failure);
}

/* NAME-DATE.ppm or .png: the kind is only known once the daemon has answered. */
static char *picture_path(const WireDomain *dom, const char *mime)
{
        time_t now = time(NULL);
        struct tm parts;
        char date[32];

        localtime_r(&now, &parts);
        strftime(date, sizeof(date), "%Y-%m-%d-%H:%M:%S", &parts);
        return str_format("%s-%s%s", dom->name, date,
                          str_eq(mime, "image/x-portable-pixmap") ? ".ppm"
                          : str_eq(mime, "image/png")             ? ".png"
                                                                  : "");
}

static int take_picture(Session *s, const WireDomainScreenshotArgs *call, Picture *picture, const bool *until,
                        Error *err)
{
        static const ClientStreamHooks hooks = { .data = picture_data,
                                                 .end = picture_end,
                                                 .finished = picture_finished };
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, WIRE_PROC_DOMAIN_SCREENSHOT);

        if (!picture->stream)
                picture->stream = client_stream_new(s->client, proc, call, &hooks, picture_opened, picture);
        while (!*until && !err_is_set(&picture->failure)) {
                if (s->lost)
                        return err_set(err, ERR_INTERNAL, "the connection to the daemon ended");
                if (loop_turn(s->loop, -1, err) < 0)
                        return -1;
        }
        return err_is_set(&picture->failure) ? err_move(err, &picture->failure) : 0;
}

/* *made: it was not there before, so it may go again. */
static int open_file(const char *path, bool *made)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

        *made = fd >= 0;
        return fd >= 0 || errno != EEXIST ? fd : open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
}

static int screenshot(Session *s, const Args *args, Error *err)
{
        WireDomainScreenshotArgs call = { 0 };
        AUTOFREE char *path = str_dup(arg_text(args, "file"));
        AUTO(Fd) spool = -1;
        Picture picture = { 0 };
        bool made = false;
        int result;

        if (arg_u32(args, "screen", &call.screen, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        /* Where to is known before the first byte comes: an unnamed file in the same directory, named at the end. */
        spool = path ? open_file(path, &made) : open(".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
        picture.fd = spool;
        if (picture.fd < 0)
                return err_errno(err, errno, "cannot create file %s", path ?: "in this directory");
        result = take_picture(s, &call, &picture, &picture.finished, err);
        client_stream_free(picture.stream);
        err_done(&picture.failure);
        if (result < 0) {
                if (made)
                        unlink(path);
                return fail(err, "could not take a screenshot of %s", call.dom.name);
        }
        if (!path) {
                AUTOFREE char *unnamed = str_format("/proc/self/fd/%d", spool);

                path = picture_path(&call.dom, picture.mime);
                if (linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0)
                        return err_errno(err, errno, "cannot create file %s", path);
        }
        out_print(s->out, "Screenshot saved to %s, with type of %s\n", path, picture.mime);
        out_set_text(s->out, "file", path);
        out_set_text(s->out, "type", picture.mime);
        return 0;
}

/* Keys */

static int send_key(Session *s, const Args *args, Error *err)
{
        WireDomainSendKeyArgs call = { 0 };
        const char *set = arg_text(args, "codeset") ?: "linux";

        call.n_keycodes = (uint32_t)arg_count(args, "keycode");
        call.keycodes = arena_new_array(session_arena(s), uint32_t, call.n_keycodes + 1);
        if (arg_u32(args, "holdtime", &call.holdtime, err) < 0)
                return -1;
        if (call.n_keycodes > VIR_DOMAIN_SEND_KEY_MAX_KEYS)
                return err_set(err, ERR_INVALID_ARG, "too many keycodes");
        if (keycode_set(set, &call.codeset) < 0)
                return err_set(err, ERR_INVALID_ARG, "unknown codeset: '%s'", set);
        for (uint32_t i = 0; i < call.n_keycodes; i++)
                if (keycode_find(call.codeset, arg_nth(args, "keycode", i), &call.keycodes[i]) < 0)
                        return err_set(err, ERR_INVALID_ARG, "invalid keycode: '%s'", arg_nth(args, "keycode", i));
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_SEND_KEY, &call, NULL, err);
}

static int inject_nmi(Session *s, const Args *args, Error *err)
{
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_INJECT_NMI, &(WireDomainInjectNmiArgs){ dom, 0 }, NULL, err);
}

static int send_process_signal(Session *s, const Args *args, Error *err)
{
        static const char *const names[] = { "nop",    "hup",  "int",    "quit", "ill",   "trap", "abrt", "bus",
                                             "fpe",    "kill", "usr1",   "segv", "usr2",  "pipe", "alrm", "term",
                                             "stkflt", "chld", "cont",   "stop", "tstp",  "ttin", "ttou", "urg",
                                             "xcpu",   "xfsz", "vtalrm", "prof", "winch", "poll", "pwr",  "sys" };
        const char *name = arg_text(args, "signame");
        WireDomainSendProcessSignalArgs call = { 0 };
        const char *plain = str_starts(name, "sig_") ? name + 4 : strncasecmp(name, "sig", 3) == 0 ? name + 3 : name;

        if (str_to_i64(arg_text(args, "pid"), &call.pid_value) < 0)
                return err_set(err, ERR_INVALID_ARG,
                               "Numeric value '%s' for <pid> option is malformed or out of range",
                               arg_text(args, "pid"));
        if (str_to_u32(name, &call.signum) < 0) {
                while (call.signum < ARRAY_LEN(names) && strcasecmp(names[call.signum], plain) != 0)
                        call.signum++;
                if (call.signum == ARRAY_LEN(names))
                        return err_set(err, ERR_INVALID_ARG, "malformed signal name: %s", name);
        }
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_SEND_PROCESS_SIGNAL, &call, NULL, err);
}

/* Where a guest's screen is */

static bool is_everywhere(const char *listen)
{
        return str_eq(listen, "0.0.0.0") || str_eq(listen, "::");
}

/* The host part of a display's URI: where it listens, or, seen from afar, the host of the connection. */
static char *display_host(Session *s, Xml *xml, XmlNode *graphics)
{
        AUTOFREE char *listen = xml_text(xml, graphics, "listen/@address|@listen");
        const char *at = strstr(session_uri(s), "://");
        const char *host = at ? at + 3 : "";
        size_t n = strcspn(host, "/?");
        const char *user = memchr(host, '@', n);

        if (listen && !is_everywhere(listen))
                return strchr(listen, ':') ? str_format("[%s]", listen) : str_dup(listen);
        if (user) {
                n -= (size_t)(user + 1 - host);
                host = user + 1;
        }
        if (n && host[0] != '[' && memchr(host, ':', n))
                n = (size_t)((const char *)memchr(host, ':', n) - host);
        return n ? str_dup_n(host, n) : str_dup("localhost");
}

/* NULL: this one has no address. */
static char *display_uri(Session *s, Xml *xml, XmlNode *graphics, bool password, Error *err UNUSED)
{
        AUTOFREE char *type = xml_text(xml, graphics, "@type");
        AUTOFREE char *port = xml_text(xml, graphics, "@port");
        AUTOFREE char *tls_port = xml_text(xml, graphics, "@tlsPort");
        AUTOFREE char *socket = xml_text(xml, graphics, "listen[@type='socket']/@socket|@socket");
        AUTOFREE char *secret = password ? xml_text(xml, graphics, "@passwd") : NULL;
        AUTO(Buf) uri = { 0 };
        AUTOFREE char *host = NULL;
        uint32_t number = 0;

        if (!type)
                return NULL;
        if (socket)
                return str_format("%s+unix://%s%s", type, secret && !str_eq(type, "spice") ? ":" : "", socket);
        if ((!port || str_to_u32(port, &number) < 0) && !tls_port)
                return NULL;
        host = display_host(s, xml, graphics);
        buf_format(&uri, "%s://", type);
        if (secret && !str_eq(type, "spice"))
                buf_format(&uri, ":%s@", secret);
        buf_put_text(&uri, host);
        if (number)
                buf_format(&uri, ":%d", (int)number - (str_eq(type, "vnc") ? 5900 : 0));
        if (tls_port)
                buf_format(&uri, "?tls-port=%s", tls_port);
        if (secret && str_eq(type, "spice"))
                buf_format(&uri, "%cpassword=%s", tls_port ? '&' : '?', secret);
        return str_dup(buf_text(&uri));
}

static Xml *running_xml(Session *s, const Args *args, uint32_t flags, Error *err)
{
        WireDomain dom;
        bool active;
        const char *text;

        if (find_domain(s, args, &dom, err) < 0 || domain_is_active(s, &dom, &active, err) < 0)
                return NULL;
        if (!active) {
                err_set(err, ERR_OPERATION_INVALID, "Domain is not running");
                return NULL;
        }
        text = domain_xml(s, &dom, flags, err);
        return text ? xml_read(text, err) : NULL;
}

static int domdisplay(Session *s, const Args *args, Error *err)
{
        bool alone = refuse_both(args, "all", "type", err) == 0, password = arg_has(args, "include-password");
        const char *only = arg_text(args, "type");
        AUTO(Xml) *xml = alone ? running_xml(s, args, password ? VIR_DOMAIN_XML_SECURE : 0, err) : NULL;
        XmlNode *nodes[MOST_DISPLAYS];
        size_t n, shown = 0;

        if (!xml)
                return -1;
        n = xml_nodes(xml, NULL, "devices/graphics", nodes, ARRAY_LEN(nodes));
        for (size_t i = 0; i < n && (shown == 0 || arg_has(args, "all")); i++) {
                AUTOFREE char *type = xml_text(xml, nodes[i], "@type");
                AUTOFREE char *uri = display_uri(s, xml, nodes[i], password, err);

                if (!uri || (only && !str_eq(only, type)))
                        continue;
                out_print(s->out, "%s%s", shown ? "\n" : "", uri);
                out_add(s->out, json_object_new_string(uri));
                shown++;
        }
        if (shown == 0 && only)
                return err_set(err, ERR_INVALID_ARG, "No graphical display with type '%s' found", only);
        if (shown == 0)
                return err_set(err, ERR_INVALID_ARG, "No graphical display found");
        return 0;
}

static int vncdisplay(Session *s, const Args *args, Error *err)
{
        AUTO(Xml) *xml = running_xml(s, args, 0, err);
        AUTOFREE char *port = xml ? xml_text(xml, NULL, "devices/graphics[@type='vnc']/@port") : NULL;
        AUTOFREE char *listen = xml ? xml_text(xml, NULL, "devices/graphics[@type='vnc']/@listen") : NULL;
        AUTOFREE char *display = NULL;
        uint32_t number;

        if (!xml)
                return -1;
        if (!port || str_to_u32(port, &number) < 0 || number < 5900)
                return err_set(err, ERR_INVALID_ARG, "Failed to get VNC port. Is this domain using VNC?");
        display = str_format("%s:%u", listen && !is_everywhere(listen) ? listen : "", number - 5900);
        out_value(s->out, "display", display);
        return 0;
}

static int ttyconsole(Session *s, const Args *args, Error *err)
{
        WireDomain dom;
        const char *text = find_domain(s, args, &dom, err) < 0 ? NULL : domain_xml(s, &dom, 0, err);
        AUTO(Xml) *xml = text ? xml_read(text, err) : NULL;
        AUTOFREE char *tty = xml ? xml_text(xml, NULL, "devices/console/@tty") : NULL;

        if (!xml)
                return -1;
        if (!tty)
                return -1;
        out_value(s->out, "tty", tty);
        return 0;
}

const Command console_commands[] = {
        { .name = "console",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--devname NAME]  alias of the console, serial or parallel device\n"
                             "[--force]         cut off who is connected now\n"
                             "[--safe]          only where a second user is kept out",
          .summary = "use a guest's text console",
          .text = "Leave it with ^] (Ctrl and ]), or what -e names.",
          .run = console },
        { .name = "screenshot",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--file FILE]      where to; a name with the date unless given\n"
                             "[--screen NUMBER]  which screen",
          .summary = "save a picture of a guest's screen",
          .run = screenshot },
        { .name = "send-key",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--codeset=NAME{linux,xt,atset1,atset2,atset3,os_x,xt_kbd,usb,win32,qnum}]  what the "
                             "codes mean\n"
                             "[--holdtime=NUMBER]  milliseconds that the keys are held\n"
                             "KEYCODE...           names (KEY_ENTER) or numbers",
          .summary = "press keys on a guest's keyboard, all at once",
          .run = send_key },
        { .name = "inject-nmi",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "send a guest a non-maskable interrupt",
          .run = inject_nmi },
        { .name = "send-process-signal",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "PID      process inside the guest\n"
                             "SIGNAME  name or number of the signal",
          .summary = "send a signal to a process in a guest",
          .run = send_process_signal },
        { .name = "domdisplay",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--include-password]  with the password\n"
                             "[--type TYPE{vnc,spice,rdp}]  of this kind\n"
                             "[--all]               all of them",
          .summary = "print the URI of a guest's screen",
          .run = domdisplay },
        { .name = "vncdisplay",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "print a guest's VNC display",
          .run = vncdisplay },
        { .name = "ttyconsole",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "print the device of a guest's console",
          .run = ttyconsole },
        { 0 },
};
