/*
 * tests/fuzz/fuzz-storage-xml.c - definitions of pools, volumes and secrets from any bytes
 *
 * What was understood must survive being written and read again: the daemon
 * and drover-storage hand them to each other that way.
 */
#include "base/str.h"
#include "fuzz.h"
#include "model/secret.h"
#include "model/storage.h"

static void try_pool(const char *xml, size_t len)
{
        AUTO(PoolDef) *def = NULL;
        AUTO(PoolDef) *again = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        if (pool_def_parse(xml, len, 0, &def, NULL, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                return;
        }
        pool_def_format(def, DEF_FORMAT_SECURE, &one);
        if (pool_def_parse(one.data, one.len, 0, &again, NULL, &err) < 0)
                abort();
        pool_def_format(again, DEF_FORMAT_SECURE, &two);
        if (!str_eq(buf_text(&one), buf_text(&two)) || !str_eq(def->name, again->name))
                abort();
        if (def->type != POOL_TYPE_DIR && !pool_def_same_source(def, again))
                abort();
}

static void try_volume(const char *xml, size_t len)
{
        AUTO(VolumeDef) *def = NULL;
        AUTO(VolumeDef) *again = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        if (volume_def_parse(xml, len, 0, &def, NULL, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                return;
        }
        volume_def_format(def, &one);
        if (volume_def_parse(one.data, one.len, 0, &again, NULL, &err) < 0)
                abort();
        volume_def_format(again, &two);
        if (!str_eq(buf_text(&one), buf_text(&two)) || strchr(again->name, '/'))
                abort();
}

static void try_secret(const char *xml, size_t len)
{
        AUTO(SecretDef) *def = NULL;
        AUTO(SecretDef) *again = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        if (secret_def_parse(xml, len, 0, &def, NULL, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                return;
        }
        secret_def_format(def, &one);
        if (secret_def_parse(one.data, one.len, 0, &again, NULL, &err) < 0)
                abort();
        secret_def_format(again, &two);
        if (!str_eq(buf_text(&one), buf_text(&two)) || !str_eq(secret_def_usage_id(def), secret_def_usage_id(again)))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        try_pool((const char *)data, size);
        try_volume((const char *)data, size);
        try_secret((const char *)data, size);
        return 0;
}
