/*
 * app/drover-img/object.c - --object TYPE,id=ID,...
 */
#include "app/drover-img/command.h"

#include "base/str.h"

#include <stdio.h>

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

/* What qemu-img prints for --object help and --object TYPE,help, of the types known here; then it ends. */
static void help_and_exit(const char *text)
{
        static const struct {
                const char *type, *options;
        } types[] = {
                { "authz-simple", "  identity=<string>\n" },
                { "secret",
                  "  data=<string>\n  file=<string>\n  format=<raw|base64>\n  iv=<string>\n  keyid=<string>\n" },
                { "tls-creds-psk", "  dir=<string>\n  endpoint=<client|server>\n  username=<string>\n" },
                { "tls-creds-x509",
                  "  dir=<string>\n  endpoint=<client|server>\n  passwordid=<string>\n  priority=<string>\n"
                  "  verify-peer=<bool>\n" },
        };
        bool all = str_eq(text, "help") || str_eq(text, "?");

        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
                size_t n = strlen(types[i].type);

                if (all)
                        printf("%s  %s\n", i ? "" : "List of user creatable objects:\n", types[i].type);
                else if (str_starts(text, types[i].type) && (str_eq(text + n, ",help") || str_eq(text + n, ",?")))
                        printf("%s options:\n%s", types[i].type, types[i].options);
                else
                        continue;
                if (!all || i + 1 == ARRAY_LEN(types))
                        exit(0);
        }
}

static int parse(const char *text, Options *options, Error *err)
{
        AUTOFREE char *typed = str_starts(text, "qom-type=") ? str_dup(text) : str_format("qom-type=%s", text);
        int r = text[0] == '{' ? json_options_add(options, text, err) : options_add(options, typed, err);

        explicit_bzero(typed, strlen(typed));
        if (r == 0 && !options_find(options, "qom-type"))
                return err_set(err, ERR_INVALID_ARG, "Parameter 'qom-type' is missing");
        return r;
}

int object_add(const char *text, Error *err)
{
        AUTO(Options) options = { 0 };
        int r;

        help_and_exit(text);
        r = parse(text, &options, err);
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
