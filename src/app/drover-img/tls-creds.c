/*
 * app/drover-img/tls-creds.c - --object tls-creds-x509, tls-creds-psk, authz-simple
 *
 * What they say is kept; the files are read by whoever begins TLS with them.
 */
#include "app/drover-img/command.h"

#include "base/mem.h"
#include "base/str.h"

typedef struct Authz {
        char *id, *identity; /* owned */
} Authz;

/* Pointers, so that what was found stays where it is. */
static VEC(TlsCreds *) all_creds;
static VEC(Authz) all_authz;

static void creds_free(TlsCreds *creds)
{
        free(creds->id);
        free(creds->dir);
        free(creds->priority);
        free(creds->username);
        free(creds);
}

void tls_creds_wipe(void)
{
        for (size_t i = 0; i < all_creds.len; i++)
                creds_free(all_creds.items[i]);
        for (size_t i = 0; i < all_authz.len; i++) {
                free(all_authz.items[i].id);
                free(all_authz.items[i].identity);
        }
        vec_done(&all_creds);
        vec_done(&all_authz);
}

static int fill(TlsCreds *creds, Options *options, Error *err)
{
        const char *endpoint = options_take(options, "endpoint") ?: "client", *id = options_take(options, "id");
        const char *verify = creds->psk ? NULL : options_take(options, "verify-peer");
        const char *password = creds->psk ? NULL : options_take(options, "passwordid");
        const char *dir = options_take(options, "dir");

        if (!id || !dir)
                return err_set(err, ERR_INVALID_ARG, "Parameter '%s' is missing", id ? "dir" : "id");
        creds->server = str_eq(endpoint, "server");
        if (!creds->server && !str_eq(endpoint, "client"))
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for endpoint", endpoint);
        creds->verify_peer = true;
        if (verify && bool_from_text("verify-peer", verify, &creds->verify_peer, err) < 0)
                return -1;
        if (password) {
                creds->password = secret_find(password, err);
                if (!creds->password)
                        return -1;
        }
        creds->id = str_dup(id);
        creds->dir = str_dup(dir);
        creds->priority = str_dup(options_take(options, "priority"));
        creds->username = creds->psk ? str_dup(options_take(options, "username")) : NULL;
        if (options_unused(options))
                return err_set(err, ERR_INVALID_ARG, "Property 'tls-creds-%s.%s' not found",
                               creds->psk ? "psk" : "x509", options_unused(options)->name);
        return 0;
}

int tls_creds_add(Options *options, bool psk, Error *err)
{
        TlsCreds *creds = mem_new(TlsCreds);

        creds->psk = psk;
        if (fill(creds, options, err) < 0) {
                creds_free(creds);
                return -1;
        }
        vec_push(&all_creds, creds);
        return 0;
}

const TlsCreds *tls_creds_find(const char *id, bool server, Error *err)
{
        for (size_t i = 0; i < all_creds.len; i++) {
                const TlsCreds *creds = all_creds.items[i];

                if (!str_eq(creds->id, id))
                        continue;
                if (creds->server == server)
                        return creds;
                err_set(err, ERR_INVALID_ARG, "Expecting TLS credentials with a %s endpoint",
                        server ? "server" : "client");
                return NULL;
        }
        err_set(err, ERR_INVALID_ARG, "No TLS credentials with id '%s'", id);
        return NULL;
}

int authz_add(Options *options, Error *err)
{
        const char *id = options_take(options, "id"), *identity = options_take(options, "identity");

        if (!id || !identity)
                return err_set(err, ERR_INVALID_ARG, "Parameter '%s' is missing", id ? "identity" : "id");
        if (options_unused(options))
                return err_set(err, ERR_INVALID_ARG, "Property 'authz-simple.%s' not found",
                               options_unused(options)->name);
        vec_push(&all_authz, ((Authz){ str_dup(id), str_dup(identity) }));
        return 0;
}

const char *authz_find(const char *id, Error *err)
{
        for (size_t i = 0; i < all_authz.len; i++)
                if (str_eq(all_authz.items[i].id, id))
                        return all_authz.items[i].identity;
        err_set(err, ERR_INVALID_ARG, "No object of the type authz-simple with id '%s'", id);
        return NULL;
}
