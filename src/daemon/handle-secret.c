/*
 * daemon/handle-secret.c - secrets defined, listed, given their values and asked for them
 */
#include "base/log.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/secret.h"
#include "wire/constants.h"

enum {
        LIST_EPHEMERAL = VIR_CONNECT_LIST_SECRETS_EPHEMERAL | VIR_CONNECT_LIST_SECRETS_NO_EPHEMERAL,
        LIST_PRIVATE = VIR_CONNECT_LIST_SECRETS_PRIVATE | VIR_CONNECT_LIST_SECRETS_NO_PRIVATE,
        LIST_MOST = 16384,
};

static Secrets *secrets_of(const Call *call)
{
        return call_driver(call)->secrets;
}

static Secret *find_uuid(const Call *call, const Uuid *uuid, Error *err)
{
        Secret *secret = secret_find(secrets_of(call), uuid);
        char text[UUID_TEXT_LEN + 1];

        if (!secret)
                err_set(err, ERR_NO_SECRET, "no secret with matching uuid '%s'", uuid_format(uuid, text));
        return secret;
}

int handle_secret_lookup_by_uuid(Call *call, const WireSecretLookupByUuidArgs *args, Error *err)
{
        const Secret *secret = find_uuid(call, &args->uuid, err);

        if (!secret)
                return -1;
        call_reply(call, &(WireSecretLookupByUuidRet){ .secret = secret_wire(secret->def) });
        return 0;
}

int handle_secret_lookup_by_usage(Call *call, const WireSecretLookupByUsageArgs *args, Error *err)
{
        const Secret *secret = NULL;

        if (args->usageType > SECRET_USAGE_TYPE_UNSET && args->usageType <= SECRET_USAGE_TYPE_VTPM)
                secret = secret_find_usage(secrets_of(call), (SecretUsageType)args->usageType, args->usageID);
        if (!secret)
                return err_set(err, ERR_NO_SECRET, "no secret with matching usage '%s'", args->usageID);
        call_reply(call, &(WireSecretLookupByUsageRet){ .secret = secret_wire(secret->def) });
        return 0;
}

/* --- lists --- */

int handle_connect_num_of_secrets(Call *call, Error *err UNUSED)
{
        const Secrets *all = secrets_of(call);
        WireConnectNumOfSecretsRet ret = { 0 };

        for (size_t i = 0; i < secrets_len(all); i++)
                ret.num += secrets_at(all, i) != NULL;
        call_reply(call, &ret);
        return 0;
}

int handle_connect_list_secrets(Call *call, const WireConnectListSecretsArgs *args, Error *err)
{
        const Secrets *all = secrets_of(call);
        WireConnectListSecretsRet ret = { 0 };

        if (args->maxuuids < 0 || args->maxuuids > LIST_MOST)
                return err_set(err, ERR_INVALID_ARG, "%d UUIDs do not fit an answer", args->maxuuids);
        ret.uuids = arena_new_array(call_arena(call), const char *, secrets_len(all));
        for (size_t i = 0; i < secrets_len(all) && ret.n_uuids < (uint32_t)args->maxuuids; i++) {
                const Secret *secret = secrets_at(all, i);
                char text[UUID_TEXT_LEN + 1];

                if (secret)
                        ret.uuids[ret.n_uuids++] = arena_dup(call_arena(call), uuid_format(&secret->def->uuid, text));
        }
        call_reply(call, &ret);
        return 0;
}

static bool is_wanted(const Secret *secret, uint32_t flags)
{
        return list_passes(flags, LIST_EPHEMERAL,
                           secret_def_is_ephemeral(secret->def) ? VIR_CONNECT_LIST_SECRETS_EPHEMERAL
                                                                : VIR_CONNECT_LIST_SECRETS_NO_EPHEMERAL) &&
               list_passes(flags, LIST_PRIVATE,
                           secret_def_is_private(secret->def) ? VIR_CONNECT_LIST_SECRETS_PRIVATE
                                                              : VIR_CONNECT_LIST_SECRETS_NO_PRIVATE);
}

int handle_connect_list_all_secrets(Call *call, const WireConnectListAllSecretsArgs *args, Error *err)
{
        const Secrets *all = secrets_of(call);
        WireConnectListAllSecretsRet ret = { 0 };

        if (call_check_flags(call, args->flags, LIST_EPHEMERAL | LIST_PRIVATE, err) < 0)
                return -1;
        if (args->need_results)
                ret.secrets = arena_new_array(call_arena(call), WireSecret, secrets_len(all));
        for (size_t i = 0; i < secrets_len(all); i++) {
                const Secret *secret = secrets_at(all, i);

                if (!secret || !is_wanted(secret, args->flags))
                        continue;
                if (ret.ret++ < LIST_MOST && args->need_results)
                        ret.secrets[ret.n_secrets++] = secret_wire(secret->def);
        }
        call_reply(call, &ret);
        return 0;
}

/* --- one --- */

int handle_secret_get_xml_desc(Call *call, const WireSecretGetXmlDescArgs *args, Error *err)
{
        const Secret *secret = NULL;
        AUTO(Buf) text = { 0 };

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(secret = find_uuid(call, &args->secret.uuid, err)))
                return -1;
        secret_def_format(secret->def, &text);
        call_reply(call, &(WireSecretGetXmlDescRet){ .xml = buf_text(&text) });
        return 0;
}

int handle_secret_get_value(Call *call, const WireSecretGetValueArgs *args, Error *err)
{
        const Secret *secret = NULL;
        const SecretValue *value = NULL;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(secret = find_uuid(call, &args->secret.uuid, err)))
                return -1;
        if (secret_def_is_private(secret->def))
                return err_set(err, ERR_INVALID_SECRET, "secret is private");
        if (!(value = secret_its_value(secret, err)))
                return -1;
        call_reply(call, &(WireSecretGetValueRet){ .n_value = (uint32_t)value->n, .value = value->data });
        return 0;
}

int handle_secret_set_value(Call *call, const WireSecretSetValueArgs *args, Error *err)
{
        Secret *secret = NULL;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(secret = find_uuid(call, &args->secret.uuid, err)))
                return -1;
        secret_set_value(secret, args->value, args->n_value, call_done, call);
        return 0;
}

int handle_secret_undefine(Call *call, const WireSecretUndefineArgs *args, Error *err)
{
        Secret *secret = find_uuid(call, &args->secret.uuid, err);

        if (!secret)
                return -1;
        secret_undefine(secret, call_done, call);
        return 0;
}

typedef struct Define {
        Call *call;
        Uuid uuid;
} Define;

static void on_defined(void *arg, const Error *failure)
{
        Define *define = arg;
        const Secret *secret = NULL;
        AUTO(Error) err = { 0 };

        if (failure)
                call_fail(define->call, failure);
        else if ((secret = find_uuid(define->call, &define->uuid, &err)))
                call_reply(define->call, &(WireSecretDefineXmlRet){ .secret = secret_wire(secret->def) });
        else
                call_fail(define->call, &err);
        free(define);
}

int handle_secret_define_xml(Call *call, const WireSecretDefineXmlArgs *args, Error *err)
{
        AUTO(Warnings) warnings = { 0 };
        AUTO(SecretDef) *def = NULL;
        Define *define;
        unsigned parse = args->flags & VIR_SECRET_DEFINE_VALIDATE ? DEF_PARSE_VALIDATE : 0;

        if (call_check_flags(call, args->flags, VIR_SECRET_DEFINE_VALIDATE, err) < 0 ||
            secret_def_parse(args->xml, strlen(args->xml), parse, &def, &warnings, err) < 0)
                return -1;
        for (size_t i = 0; i < warnings.list.len; i++)
                log_warning("secret: %s", warnings.list.items[i]);
        if (uuid_is_null(&def->uuid))
                uuid_new_random(&def->uuid);
        if (secret_check_def(secrets_of(call), def, err) < 0)
                return -1;
        define = mem_new(Define);
        *define = (Define){ call, def->uuid };
        secret_define(secrets_of(call), TAKE(def), on_defined, define);
        return 0;
}
