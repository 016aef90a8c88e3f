/*
 * model/secret.c - the definition of a secret
 */
#include "model/secret.h"

#include "base/str.h"
#include "model/def.h"
#include "model/hooks.h"

int secret_def_parse(const char *xml, size_t len, unsigned flags, SecretDef **ret, Warnings *warnings, Error *err)
{
        void *def;

        if (def_parse(&secret_def_info, "secret definition", xml, len, flags, &def, warnings, err) < 0)
                return -1;
        *ret = def;
        return 0;
}

void secret_def_format(const SecretDef *def, Buf *ret)
{
        fields_format(&secret_def_info, def, "secret", NULL, 0, 0, ret);
}

SecretDef *secret_def_unref(SecretDef *def)
{
        return def_unref(def);
}

const char *secret_def_usage_id(const SecretDef *def)
{
        const SecretUsageDef *usage = def->usage;

        return usage ? usage->volume ?: usage->target ?: usage->name : NULL;
}

SecretUsageType secret_def_usage_type(const SecretDef *def)
{
        return def->usage ? def->usage->type : SECRET_USAGE_TYPE_UNSET;
}

bool secret_def_is_private(const SecretDef *def)
{
        return def->private == SWITCH_ON;
}

bool secret_def_is_ephemeral(const SecretDef *def)
{
        return def->ephemeral == SWITCH_ON;
}

int secret_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        static const char *const elements[] = {
                [SECRET_USAGE_TYPE_VOLUME] = "volume", [SECRET_USAGE_TYPE_CEPH] = "name",
                [SECRET_USAGE_TYPE_ISCSI] = "target",  [SECRET_USAGE_TYPE_TLS] = "name",
                [SECRET_USAGE_TYPE_VTPM] = "name",
        };
        SecretDef *def = at;
        const char *id = secret_def_usage_id(def);

        if (def->usage && (!id || !*id))
                return fields_refuse(node, reader, "a secret for a %s needs <usage><%s>",
                                     secret_usage_type_text(def->usage->type), elements[def->usage->type]);
        return 0;
}
