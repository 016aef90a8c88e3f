/*
 * app/drover-img/object.c - --object TYPE,id=ID,...
 */
#include "app/drover-img/command.h"

#include "base/str.h"

static int add(Options *options, const char *type, Error *err)
{
        if (str_eq(type, "secret"))
                return secret_add(options, err);
        if (str_eq(type, "tls-creds-x509") || str_eq(type, "tls-creds-psk"))
                return tls_creds_add(options, str_eq(type, "tls-creds-psk"), err);
        if (str_eq(type, "authz-simple"))
                return authz_add(options, err);
        return err_set(err, ERR_ARGUMENT_UNSUPPORTED,
                       "objects are of the types secret, tls-creds-x509, tls-creds-psk and authz-simple: '%s' is not "
                       "supported",
                       type);
}

int object_add(const char *text, Error *err)
{
        AUTOFREE char *typed = str_starts(text, "qom-type=") ? str_dup(text) : str_format("qom-type=%s", text);
        AUTO(Options) options = { 0 };
        int r = options_add(&options, typed, err);

        explicit_bzero(typed, strlen(typed));
        if (r == 0)
                r = add(&options, options_take(&options, "qom-type"), err);
        for (size_t i = 0; i < options.len; i++)
                explicit_bzero(options.items[i].value, strlen(options.items[i].value));
        return r;
}

void objects_wipe(void)
{
        secrets_wipe();
        tls_creds_wipe();
}
