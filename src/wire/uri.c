/*
 * wire/uri.c - connection URIs
 */
#include "wire/uri.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>

enum { LONGEST_URI = 64 * 1024 };

static const char *const transport_names[] = {
        [URI_UNIX] = "unix", [URI_TLS] = "tls", [URI_TCP] = "tcp", [URI_SSH] = "ssh", [URI_EXT] = "ext",
};

/* Known to other clients, and of no meaning to this one: they are not passed on either. */
static const char *const swallowed[] = {
        "auth", "sshauth", "pkipath", "known_hosts", "known_hosts_verify", "tls_priority", "no_sanity", "authfile",
};

Uri *uri_free(Uri *uri)
{
        if (!uri)
                return NULL;
        free(uri->driver);
        free(uri->user);
        free(uri->host);
        free(uri->path);
        free(uri->name);
        free(uri->command);
        free(uri->socket);
        free(uri->netcat);
        free(uri->keyfile);
        free(uri);
        return NULL;
}

const char *uri_transport_name(UriTransport transport)
{
        return transport_names[transport];
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)tolower(c);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undo %XX in n bytes; NULL when an escape is broken or hides a NUL. */
static char *unescape(const char *s, size_t n)
{
        AUTOFREE char *out = str_dup_n(s, n);
        char *to = out;

        for (size_t i = 0; i < n; i++) {
                if (s[i] != '%') {
                        *to++ = s[i];
                        continue;
                }
                if (i + 2 >= n || hex_digit(s[i + 1]) < 0 || hex_digit(s[i + 2]) < 0)
                        return NULL;
                *to = (char)(hex_digit(s[i + 1]) << 4 | hex_digit(s[i + 2]));
                if (!*to++)
                        return NULL;
                i += 2;
        }
        *to = '\0';
        return TAKE(out);
}

static int take_text(const char *what, const char *s, size_t n, char **slot, Error *err)
{
        char *text = unescape(s, n);

        if (!text)
                return err_set(err, ERR_INVALID_ARG, "the %s '%.*s' has a broken %% escape", what, (int)n, s);
        free(*slot);
        *slot = text;
        return 0;
}

static int parse_transport(Uri *uri, const char *word, size_t n, Error *err)
{
        for (size_t i = 0; i < ARRAY_LEN(transport_names); i++) {
                if (strlen(transport_names[i]) == n && strncmp(word, transport_names[i], n) == 0) {
                        uri->transport = (UriTransport)i;
                        return 0;
                }
        }
        if (n >= 6 && strncmp(word, "libssh", 6) == 0)
                return err_set(err, ERR_INVALID_ARG,
                               "transport '%.*s' is not supported; use ssh, which runs the ssh program", (int)n,
                               word);
        return err_set(err, ERR_INVALID_ARG, "unknown transport '%.*s'; known are unix, tcp, ssh, ext and tls",
                       (int)n, word);
}

static int parse_port(Uri *uri, const char *s, size_t n, Error *err)
{
        AUTOFREE char *text = str_dup_n(s, n);
        uint32_t port;

        if (n == 0)
                return 0;
        if (str_to_u32(text, &port) < 0 || port == 0 || port > UINT16_MAX)
                return err_set(err, ERR_INVALID_ARG, "'%s' is not a port", text);
        uri->port = (uint16_t)port;
        return 0;
}

static bool host_is_sane(const char *host)
{
        if (*host == '-')
                return false; /* a program that gets it as an argument would take it for an option */
        for (const char *c = host; *c; c++) {
                if ((unsigned char)*c <= ' ' || *c == 0x7f)
                        return false;
        }
        return true;
}

/* [user@][host][:port], n bytes; the host may be an address in brackets. */
static int parse_authority(Uri *uri, const char *s, size_t n, Error *err)
{
        const char *end = s + n, *at = memrchr(s, '@', n), *port, *host_end;

        if (at) {
                if (take_text("user", s, (size_t)(at - s), &uri->user, err) < 0)
                        return -1;
                s = at + 1;
        }
        if (s < end && *s == '[') {
                host_end = memchr(s, ']', (size_t)(end - s));
                if (!host_end)
                        return err_set(err, ERR_INVALID_ARG, "the address '%.*s' has no closing ']'", (int)(end - s),
                                       s);
                s++;
                port = host_end + 1;
                if (port < end && *port != ':')
                        return err_set(err, ERR_INVALID_ARG, "'%.*s' behind an address is not a port",
                                       (int)(end - port), port);
        } else {
                port = memchr(s, ':', (size_t)(end - s)) ?: end;
                host_end = port;
        }
        if (port < end && parse_port(uri, port + 1, (size_t)(end - port - 1), err) < 0)
                return -1;
        if (host_end > s && take_text("host", s, (size_t)(host_end - s), &uri->host, err) < 0)
                return -1;
        if (uri->host && !host_is_sane(uri->host))
                return err_set(err, ERR_INVALID_ARG, "'%s' is not a host name", uri->host);
        if (uri->user && !host_is_sane(uri->user))
                return err_set(err, ERR_INVALID_ARG, "'%s' is not a user name", uri->user);
        return 0;
}

static int parse_word(const char *key, const char *value, const char *const *words, size_t n, int *ret, Error *err)
{
        for (size_t i = 0; i < n; i++) {
                if (str_eq(value, words[i])) {
                        *ret = (int)i;
                        return 0;
                }
        }
        return err_set(err, ERR_INVALID_ARG, "parameter '%s' of the URI cannot be '%s'", key, value);
}

static int set_parameter(Uri *uri, const char *key, char *value, bool *ret_known, Error *err)
{
        static const char *const no_yes[] = { "0", "1" };
        static const char *const proxies[] = { "auto", "netcat", "native" };
        static const char *const modes[] = { "auto", "legacy", "direct" };
        struct {
                const char *key;
                char **slot;
        } texts[] = {
                { "name", &uri->name },     { "command", &uri->command }, { "socket", &uri->socket },
                { "netcat", &uri->netcat }, { "keyfile", &uri->keyfile },
        };
        int word = 0;

        *ret_known = true;
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                if (str_eq(key, texts[i].key)) {
                        str_replace(texts[i].slot, *value ? value : NULL);
                        return 0;
                }
        }
        for (size_t i = 0; i < ARRAY_LEN(swallowed); i++) {
                if (str_eq(key, swallowed[i]))
                        return 0;
        }
        if (str_eq(key, "no_tty") || str_eq(key, "no_verify")) {
                if (parse_word(key, value, no_yes, ARRAY_LEN(no_yes), &word, err) < 0)
                        return -1;
                *(str_eq(key, "no_tty") ? &uri->no_tty : &uri->no_verify) = word;
        } else if (str_eq(key, "proxy")) {
                if (parse_word(key, value, proxies, ARRAY_LEN(proxies), &word, err) < 0)
                        return -1;
                uri->proxy = (UriProxy)word;
        } else if (str_eq(key, "mode")) {
                if (parse_word(key, value, modes, ARRAY_LEN(modes), &word, err) < 0)
                        return -1;
                uri->mode = (UriMode)word;
        } else {
                *ret_known = false;
        }
        return 0;
}

/* Take our parameters; the others go to `rest` as they are written. */
static int parse_parameters(Uri *uri, const char *query, Buf *rest, Error *err)
{
        while (*query) {
                size_t n = strcspn(query, "&;");
                const char *equals = memchr(query, '=', n);
                size_t key_len = equals ? (size_t)(equals - query) : n;
                AUTOFREE char *key = NULL, *value = NULL;
                bool known;

                if (take_text("parameter", query, key_len, &key, err) < 0 ||
                    take_text("parameter", equals ? equals + 1 : "", equals ? n - key_len - 1 : 0, &value, err) < 0 ||
                    set_parameter(uri, key, value, &known, err) < 0)
                        return -1;
                if (!known && n) {
                        buf_put_char(rest, rest->len ? '&' : '?');
                        buf_put(rest, query, n);
                }
                query += n;
                if (*query)
                        query++;
        }
        return 0;
}

static int check(Uri *uri, Error *err)
{
        if (uri->transport == URI_UNIX && uri->host)
                return err_set(err, ERR_INVALID_ARG,
                               "transport unix reaches no other host than this one, but the URI names '%s'",
                               uri->host);
        if (uri->transport == URI_EXT && !uri->command)
                return err_set(err, ERR_INVALID_ARG, "transport ext needs the parameter 'command'");
        if (uri->transport == URI_UNIX && uri->mode == URI_MODE_DIRECT && !uri->driver)
                return err_set(err, ERR_INVALID_ARG, "mode=direct needs a driver in the URI");
        if (uri->transport != URI_UNIX && uri->transport != URI_EXT && !uri->host)
                uri->host = str_dup("localhost");
        return 0;
}

/* driver[+transport] up to the colon. Returns what is behind it. */
static const char *parse_scheme(Uri *uri, const char *text, bool *ret_has_transport, Error *err)
{
        const char *colon = strchr(text, ':'), *plus;
        size_t n;

        if (!colon || colon == text || strncmp(colon, "://", 3) != 0) {
                err_set(err, ERR_INVALID_ARG, "'%s' is not a connection URI, as qemu:///system is one", text);
                return NULL;
        }
        plus = memchr(text, '+', (size_t)(colon - text));
        n = (size_t)((plus ?: colon) - text);
        for (size_t i = 0; i < n; i++) {
                if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '.')
                        n = 0;
        }
        if (n == 0) {
                err_set(err, ERR_INVALID_ARG, "'%s' does not begin with the name of a driver", text);
                return NULL;
        }
        uri->driver = str_dup_n(text, n);
        *ret_has_transport = plus;
        if (plus && parse_transport(uri, plus + 1, (size_t)(colon - plus - 1), err) < 0)
                return NULL;
        return colon + 3;
}

Uri *uri_parse(const char *text, Error *err)
{
        AUTO(Uri) *uri = mem_new(Uri);
        AUTO(Buf) rest = { 0 };
        bool has_transport = false;
        const char *at, *query;
        size_t n;

        if (!text || !*text) {
                uri->name = str_dup("");
                return TAKE(uri);
        }
        n = strlen(text);
        if (n > LONGEST_URI || !str_is_utf8(text, n)) {
                err_set(err, ERR_INVALID_ARG, "the connection URI is too long or not UTF-8");
                return NULL;
        }
        at = parse_scheme(uri, text, &has_transport, err);
        if (!at)
                return NULL;
        n = strcspn(at, "/?#");
        if (parse_authority(uri, at, n, err) < 0)
                return NULL;
        if (!has_transport && uri->host)
                uri->transport = URI_TLS;
        at += n;
        n = strcspn(at, "?#");
        query = at[n] == '?' ? at + n + 1 : "";
        if (take_text("path", at, n, &uri->path, err) < 0 || parse_parameters(uri, query, &rest, err) < 0 ||
            check(uri, err) < 0)
                return NULL;
        if (!uri->name)
                uri->name = str_format("%s://%.*s%s", uri->driver, (int)n, at, buf_text(&rest));
        return TAKE(uri);
}
