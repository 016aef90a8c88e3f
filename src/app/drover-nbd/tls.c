/*
 * app/drover-nbd/tls.c - TLS of the NBD server, by GnuTLS
 */
#include "app/drover-nbd/tls.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fnmatch.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <unistd.h>

enum {
        RECORD = 16 << 10,
        OUTPUT = 256 << 10,
        LONGEST_NAME = 1024,
        GOODBYE_MS = 1000,
        LARGEST_KEY_FILE = 1 << 20,
        LARGEST_KEY = 256,
};

/* TLS 1.2 at least, whatever the library would still do. */
#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

typedef struct Key {
        char *user; /* owned */
        uint8_t data[LARGEST_KEY];
        size_t n;
} Key;

struct NbdTls {
        VEC(Key *) psks; /* owned, each where it stays, so that no copies are left behind; wiped at the end */
        bool psk, verify_peer;
        gnutls_certificate_credentials_t certificates; /* owned; NULL: psk */
        gnutls_psk_server_credentials_t keys;          /* owned; NULL: certificates */
        gnutls_priority_t priority;                    /* owned */
        const NbdTlsName *allowed;                     /* the caller's */
        size_t n_allowed;
};

typedef struct TlsChannel {
        NbdChannel channel;
        NbdChannel *below; /* owned */
        gnutls_session_t session;
        uint8_t *output; /* records on their way, sent together; owned, OUTPUT bytes */
        size_t output_n;
        bool holding;
} TlsChannel;

static TlsChannel *tls_channel(NbdChannel *channel)
{
        return container_of(channel, TlsChannel, channel);
}

static int failed(Error *err, int code, const char *what)
{
        return err_set(err, ERR_AUTH_FAILED, "%s: %s", what, gnutls_strerror(code));
}

/* --- bytes below --- */

static ssize_t pull(gnutls_transport_ptr_t arg, void *data, size_t n)
{
        TlsChannel *t = arg;
        size_t done;

        t->below->deadline_ms = t->channel.deadline_ms;
        t->below->expecting = t->channel.expecting;
        if (t->below->ops->receive(t->below, data, n, &done, NULL) < 0) {
                gnutls_transport_set_errno(t->session, EIO);
                return -1;
        }
        return (ssize_t)done;
}

static int flush(TlsChannel *t)
{
        struct iovec part = { t->output, t->output_n };
        int r = t->output_n ? nbd_channel_send(t->below, &part, 1, NULL) : 0;

        t->output_n = 0;
        return r;
}

static ssize_t push(gnutls_transport_ptr_t arg, const void *data, size_t n)
{
        TlsChannel *t = arg;
        struct iovec part = { (void *)data, n };
        int r = 0;

        t->below->deadline_ms = t->channel.deadline_ms;
        if (t->output_n + n > OUTPUT)
                r = flush(t);
        if (r == 0 && t->holding && n <= OUTPUT) {
                memcpy(t->output + t->output_n, data, n);
                t->output_n += n;
        } else if (r == 0) {
                r = nbd_channel_send(t->below, &part, 1, NULL);
        }
        if (r < 0)
                gnutls_transport_set_errno(t->session, EIO);
        return r < 0 ? -1 : (ssize_t)n;
}

/* --- the channel --- */

static int tls_receive(NbdChannel *channel, void *data, size_t n, size_t *done, Error *err)
{
        TlsChannel *t = tls_channel(channel);
        ssize_t got;

        do
                got = gnutls_record_recv(t->session, data, n);
        while (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED);
        if (got < 0)
                return failed(err, (int)got, "cannot receive from the client");
        *done = (size_t)got;
        return 0;
}

static int put_record(TlsChannel *t, const void *data, size_t n, Error *err)
{
        while (n) {
                ssize_t put = gnutls_record_send(t->session, data, MIN(n, (size_t)RECORD));

                if (put == GNUTLS_E_AGAIN || put == GNUTLS_E_INTERRUPTED)
                        continue;
                if (put < 0)
                        return failed(err, (int)put, "cannot send to the client");
                data = (const uint8_t *)data + put;
                n -= (size_t)put;
        }
        return 0;
}

/* Short parts go into one record together. */
static int tls_send(NbdChannel *channel, struct iovec *parts, unsigned n, Error *err)
{
        TlsChannel *t = tls_channel(channel);
        uint8_t stage[RECORD];
        size_t staged = 0;
        int r = 0;

        t->holding = true;
        for (unsigned i = 0; i < n && r == 0; i++) {
                const uint8_t *data = parts[i].iov_base;
                size_t left = parts[i].iov_len;

                while (left && r == 0) {
                        size_t step = MIN(left, RECORD - staged);

                        if (step == RECORD) {
                                step = left / RECORD * RECORD;
                                r = put_record(t, data, step, err);
                        } else {
                                memcpy(stage + staged, data, step);
                                staged += step;
                                if (staged == RECORD) {
                                        r = put_record(t, stage, staged, err);
                                        staged = 0;
                                }
                        }
                        data += step;
                        left -= step;
                }
        }
        if (r == 0)
                r = put_record(t, stage, staged, err);
        t->holding = false;
        return r < 0 || flush(t) < 0 ? err_set(err, ERR_SYSTEM, "cannot send to the client") : 0;
}

static void tls_close(NbdChannel *channel)
{
        TlsChannel *t = tls_channel(channel);

        channel->deadline_ms = nbd_now_ms() + GOODBYE_MS;
        gnutls_bye(t->session, GNUTLS_SHUT_WR);
        gnutls_deinit(t->session);
        nbd_channel_close(t->below);
        free(t->output);
        free(t);
}

static const NbdChannelOps tls_ops = { .receive = tls_receive, .send = tls_send, .close = tls_close };

/* --- who is let in --- */

static int check_name(const NbdTls *tls, const char *name, Error *err)
{
        for (size_t i = 0; i < tls->n_allowed; i++) {
                const NbdTlsName *one = &tls->allowed[i];

                if (one->is_pattern ? fnmatch(one->text, name, 0) == 0 : str_eq(one->text, name))
                        return 0;
        }
        return tls->n_allowed ? err_set(err, ERR_AUTH_FAILED, "the client '%s' is not among those allowed", name) : 0;
}

static int check_certificate(const NbdTls *tls, gnutls_session_t session, Error *err)
{
        gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                          .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT };
        const gnutls_datum_t *chain;
        gnutls_x509_crt_t certificate;
        char name[LONGEST_NAME];
        size_t n = sizeof(name);
        unsigned status, count;
        int r = gnutls_certificate_verify_peers(session, &purpose, 1, &status);

        if (r < 0 || status) {
                gnutls_datum_t why = { 0 };

                if (r == 0)
                        gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &why, 0);
                err_set(err, ERR_AUTH_FAILED, "the client's certificate is refused: %s",
                        r < 0      ? gnutls_strerror(r)
                        : why.data ? (char *)why.data
                                   : "it cannot be verified");
                gnutls_free(why.data);
                return -1;
        }
        chain = gnutls_certificate_get_peers(session, &count);
        if (!chain || !count || gnutls_x509_crt_init(&certificate) < 0)
                return err_set(err, ERR_AUTH_FAILED, "the client has no certificate");
        r = gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER);
        if (r == 0)
                r = gnutls_x509_crt_get_dn(certificate, name, &n);
        gnutls_x509_crt_deinit(certificate);
        return r < 0 ? failed(err, r, "the client's certificate cannot be read") : check_name(tls, name, err);
}

static int check_client(const NbdTls *tls, gnutls_session_t session, Error *err)
{
        if (tls->psk)
                return check_name(tls, gnutls_psk_server_get_username(session) ?: "", err);
        return tls->verify_peer ? check_certificate(tls, session, err) : 0;
}

static int session_start(NbdTls *tls, TlsChannel *t, Error *err)
{
        int r = gnutls_init(&t->session, GNUTLS_SERVER | GNUTLS_NO_SIGNAL);

        if (r < 0)
                return failed(err, r, "cannot begin TLS");
        gnutls_session_set_ptr(t->session, tls);
        gnutls_transport_set_ptr(t->session, t);
        gnutls_transport_set_pull_function(t->session, pull);
        gnutls_transport_set_push_function(t->session, push);
        r = gnutls_priority_set(t->session, tls->priority);
        if (r == 0)
                r = tls->psk ? gnutls_credentials_set(t->session, GNUTLS_CRD_PSK, tls->keys)
                             : gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, tls->certificates);
        if (r < 0)
                return failed(err, r, "cannot begin TLS");
        if (tls->verify_peer)
                gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
        do
                r = gnutls_handshake(t->session);
        while (r < 0 && !gnutls_error_is_fatal(r));
        return r < 0 ? failed(err, r, "TLS handshake") : check_client(tls, t->session, err);
}

int nbd_tls_start(void *arg, NbdChannel **channel, Error *err)
{
        TlsChannel *t = mem_new(TlsChannel);

        t->channel = (NbdChannel){ .ops = &tls_ops, .deadline_ms = (*channel)->deadline_ms };
        t->below = *channel;
        t->output = mem_alloc(OUTPUT);
        *channel = &t->channel;
        return session_start(arg, t, err);
}

/* --- credentials --- */

/* The file in the directory of the credentials; NULL: it is not there, and need not be. Owned. */
static char *file_of(const TlsCreds *creds, const char *name)
{
        AUTOFREE char *path = str_format("%s/%s", creds->dir, name);

        return access(path, F_OK) == 0 ? TAKE(path) : NULL;
}

static int load_failed(Error *err, const char *what, const TlsCreds *creds, const char *files, int code)
{
        return err_set(err, ERR_INVALID_ARG, "Cannot load %s '%s/%s': %s", what, creds->dir, files,
                       gnutls_strerror(code));
}

static int load_certificates(NbdTls *tls, const TlsCreds *creds, Error *err)
{
        AUTOFREE char *ca = str_format("%s/ca-cert.pem", creds->dir);
        AUTOFREE char *certificate = str_format("%s/server-cert.pem", creds->dir);
        AUTOFREE char *key = str_format("%s/server-key.pem", creds->dir);
        AUTOFREE char *revoked = file_of(creds, "ca-crl.pem");
        AUTOFREE char *password = creds->password ? str_dup_n((const char *)creds->password->data, creds->password->n)
                                                  : NULL;
        int r = gnutls_certificate_allocate_credentials(&tls->certificates);

        if (r < 0)
                return failed(err, r, "cannot begin TLS");
        r = gnutls_certificate_set_x509_trust_file(tls->certificates, ca, GNUTLS_X509_FMT_PEM);
        if (r <= 0)
                return load_failed(err, "the authority's certificate", creds, "ca-cert.pem",
                                   r < 0 ? r : GNUTLS_E_NO_CERTIFICATE_FOUND);
        r = revoked ? gnutls_certificate_set_x509_crl_file(tls->certificates, revoked, GNUTLS_X509_FMT_PEM) : 0;
        if (r < 0)
                return load_failed(err, "the list of revoked certificates", creds, "ca-crl.pem", r);
        r = gnutls_certificate_set_x509_key_file2(tls->certificates, certificate, key, GNUTLS_X509_FMT_PEM, password,
                                                  0);
        if (password)
                explicit_bzero(password, strlen(password));
        if (r < 0)
                return load_failed(err, "the server's certificate and key", creds, "server-cert.pem, server-key.pem",
                                   r);
        gnutls_certificate_set_known_dh_params(tls->certificates, GNUTLS_SEC_PARAM_MEDIUM);
        return 0;
}

/* The key of the user who wants to come in. Files cannot be opened any more by then. */
static int find_key(gnutls_session_t session, const char *user, gnutls_datum_t *ret)
{
        const NbdTls *tls = gnutls_session_get_ptr(session);

        for (size_t i = 0; i < tls->psks.len; i++) {
                const Key *key = tls->psks.items[i];

                if (!str_eq(key->user, user))
                        continue;
                ret->data = gnutls_malloc(key->n);
                if (!ret->data)
                        return -1;
                memcpy(ret->data, key->data, key->n);
                ret->size = (unsigned)key->n;
                return 0;
        }
        return -1;
}

static void key_free(Key *key)
{
        free(key->user);
        explicit_bzero(key, sizeof(*key));
        free(key);
}

/* USER:HEXADECIMAL */
static int add_key(NbdTls *tls, const char *path, const char *line, Error *err)
{
        const char *colon = strrchr(line, ':');
        gnutls_datum_t hex = { 0 };
        Key *key = mem_new(Key);
        int r = -1;

        if (colon && colon > line) {
                hex = (gnutls_datum_t){ (unsigned char *)(uintptr_t)(colon + 1), (unsigned)strlen(colon + 1) };
                key->n = sizeof(key->data);
                r = hex.size ? gnutls_hex_decode(&hex, key->data, &key->n) : -1;
        }
        if (r == 0) {
                key->user = str_dup_n(line, (size_t)(colon - line));
                vec_push(&tls->psks, key);
        } else {
                key_free(key);
        }
        return r < 0 ? err_set(err, ERR_INVALID_ARG,
                               "'%s' has a line that is not USER:KEY with the key in hexadecimal", path)
                     : 0;
}

static int load_keys(NbdTls *tls, const TlsCreds *creds, Error *err)
{
        AUTOFREE char *path = str_format("%s/keys.psk", creds->dir);
        Buf text = { 0 };
        char *rest, *line;
        int r = gnutls_psk_allocate_server_credentials(&tls->keys);

        if (r < 0)
                return failed(err, r, "cannot begin TLS");
        r = file_read(path, LARGEST_KEY_FILE, &text, err);
        for (line = r == 0 ? strtok_r(text.data, "\r\n", &rest) : NULL; line && r == 0;
             line = strtok_r(NULL, "\r\n", &rest))
                r = line[0] == '#' ? 0 : add_key(tls, path, line, err);
        if (text.data)
                explicit_bzero(text.data, text.room);
        buf_done(&text);
        if (r < 0)
                return -1;
        gnutls_psk_set_server_credentials_function(tls->keys, find_key);
        gnutls_psk_set_server_known_dh_params(tls->keys, GNUTLS_SEC_PARAM_MEDIUM);
        return 0;
}

NbdTls *nbd_tls_new(const TlsCreds *creds, const NbdTlsName *allowed, size_t n_allowed, Error *err)
{
        AUTO(NbdTls) *tls = mem_new(NbdTls);
        AUTOFREE char *priority = str_format("%s%s", creds->priority ?: PRIORITY,
                                             creds->psk ? ":+ECDHE-PSK:+DHE-PSK:+PSK" : "");
        const char *at;
        int r;

        tls->psk = creds->psk;
        tls->verify_peer = !creds->psk && creds->verify_peer;
        tls->allowed = allowed;
        tls->n_allowed = n_allowed;
        if (n_allowed && !tls->psk && !tls->verify_peer) {
                err_set(err, ERR_INVALID_ARG, "who is allowed cannot be told without verify-peer=on");
                return NULL;
        }
        r = gnutls_priority_init(&tls->priority, priority, &at);
        if (r < 0) {
                err_set(err, ERR_INVALID_ARG, "Unable to set TLS session priority %s: %s", priority,
                        gnutls_strerror(r));
                return NULL;
        }
        r = creds->psk ? load_keys(tls, creds, err) : load_certificates(tls, creds, err);
        return r < 0 ? NULL : TAKE(tls);
}

NbdTls *nbd_tls_free(NbdTls *tls)
{
        if (!tls)
                return NULL;
        if (tls->certificates)
                gnutls_certificate_free_credentials(tls->certificates);
        if (tls->keys)
                gnutls_psk_free_server_credentials(tls->keys);
        if (tls->priority)
                gnutls_priority_deinit(tls->priority);
        for (size_t i = 0; i < tls->psks.len; i++)
                key_free(tls->psks.items[i]);
        vec_done(&tls->psks);
        free(tls);
        return NULL;
}
