/*
 * wire/transport.c - what a URI means on the way to the daemon
 */
#include "wire/transport.h"

#include "base/buf.h"
#include "base/str.h"
#include "base/vec.h"

#define DROVER_DIR "/run/drover"

typedef VEC(char *) Words;

static bool is_session(const Uri *uri)
{
        return str_eq(uri->path, "/session");
}

static void add_format(Words *words, const char *fmt, ...) PRINTF(2, 3);
static void add_format(Words *words, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vec_push(words, str_vformat(fmt, ap));
        va_end(ap);
}

static void add(Words *words, const char *word)
{
        vec_push(words, str_dup(word));
}

static char **end_list(Words *words)
{
        vec_push(words, NULL);
        return words->items;
}

char **transport_sockets(const Uri *uri, bool readonly, const char *runtime_dir)
{
        const char *suffix = readonly ? "-ro" : "";
        const char *dir = "/run/libvirt";
        AUTOFREE char *own_dir = NULL;
        Words words = { 0 };

        if (uri->socket) {
                add(&words, uri->socket);
                return end_list(&words);
        }
        if (is_session(uri)) {
                if (!runtime_dir)
                        return end_list(&words);
                own_dir = str_format("%s/libvirt", runtime_dir);
                dir = own_dir;
                suffix = ""; /* there is no read-only one */
        } else if (uri->mode != URI_MODE_DIRECT) {
                add_format(&words, DROVER_DIR "/libvirt-sock%s", suffix);
        }
        if (uri->mode != URI_MODE_LEGACY && uri->driver)
                add_format(&words, "%s/virt%sd-sock%s", dir, uri->driver, suffix);
        if (uri->mode != URI_MODE_DIRECT)
                add_format(&words, "%s/libvirt-sock%s", dir, suffix);
        return end_list(&words);
}

char *transport_shell_quote(const char *word)
{
        Buf out = { 0 };

        buf_put_char(&out, '\'');
        for (; *word; word++) {
                if (*word == '\'')
                        buf_put_text(&out, "'\\''");
                else
                        buf_put_char(&out, *word);
        }
        buf_put_char(&out, '\'');
        return buf_take(&out);
}

/* Copy bytes between the daemon's socket and ssh with netcat; some versions need -q0 to end with their input. */
static void script_netcat(const Uri *uri, bool readonly, Buf *script)
{
        AUTOFREE char *nc = transport_shell_quote(uri->netcat ?: "nc");
        AUTOFREE char *given = uri->socket ? transport_shell_quote(uri->socket) : NULL;
        const char *suffix = readonly ? "-ro" : "";

        if (given)
                buf_format(script, "s=%s; ", given);
        else
                buf_format(script,
                           "s=" DROVER_DIR "/libvirt-sock%s; "
                           "[ -S \"$s\" ] || s=/var/run/libvirt/libvirt-sock%s; ",
                           suffix, suffix);
        buf_format(script, "if %s -h 2>&1 | grep -q -e '-q '; then exec %s -q0 -U \"$s\"; fi; exec %s -U \"$s\"", nc,
                   nc, nc);
}

static void script_native(const Uri *uri, bool readonly, Buf *script)
{
        AUTOFREE char *name = transport_shell_quote(uri->name);

        buf_format(script, "exec virt-ssh-helper %s%s", readonly ? "-r " : "", name);
}

/* What runs on the far end of ssh: one word, which the user's shell there gives to sh. */
static char *remote_command(const Uri *uri, bool readonly, bool as_root)
{
        UriProxy proxy = uri->proxy;
        AUTO(Buf) script = { 0 };
        AUTOFREE char *quoted = NULL;

        if (uri->socket || uri->netcat)
                proxy = URI_PROXY_NETCAT;
        else if (is_session(uri) && !as_root)
                proxy = URI_PROXY_NATIVE;
        switch (proxy) {
        case URI_PROXY_NATIVE:
                script_native(uri, readonly, &script);
                break;
        case URI_PROXY_AUTO:
                buf_put_text(&script, "if command -v virt-ssh-helper >/dev/null 2>&1; then ");
                script_native(uri, readonly, &script);
                buf_put_text(&script, "; fi; ");
                script_netcat(uri, readonly, &script);
                break;
        case URI_PROXY_NETCAT:
                script_netcat(uri, readonly, &script);
                break;
        }
        quoted = transport_shell_quote(buf_text(&script));
        return str_format("sh -c %s", quoted);
}

char **transport_argv(const Uri *uri, bool readonly, bool as_root)
{
        Words words = { 0 };

        if (uri->transport == URI_EXT) {
                add(&words, uri->command);
                return end_list(&words);
        }
        add(&words, uri->command ?: "ssh");
        if (uri->port) {
                add(&words, "-p");
                add_format(&words, "%u", uri->port);
        }
        if (uri->user) {
                add(&words, "-l");
                add(&words, uri->user);
        }
        if (uri->keyfile) {
                add(&words, "-i");
                add(&words, uri->keyfile);
        }
        add(&words, "-T");
        add(&words, "-e");
        add(&words, "none");
        if (uri->no_tty) {
                add(&words, "-o");
                add(&words, "BatchMode=yes");
        }
        if (uri->no_verify) {
                add(&words, "-o");
                add(&words, "StrictHostKeyChecking=no");
        }
        add(&words, "--");
        add(&words, uri->host);
        vec_push(&words, remote_command(uri, readonly, as_root));
        return end_list(&words);
}
