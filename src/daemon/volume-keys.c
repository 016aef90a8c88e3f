/*
 * daemon/volume-keys.c - which secrets open encrypted volumes
 */
#include "daemon/volume-keys.h"

#include "base/str.h"

void volume_keys_done(VolumeKeys *keys)
{
        fd_close(&keys->key);
        fd_close(&keys->from_key);
}

void volume_take_secrets(VolumeDef *def, const EncryptionDef *known)
{
        EncryptionDef *encryption = def->target.encryption;
        Arena *arena = def->head.arena;

        if (!encryption || encryption->n_secrets || !known || !known->n_secrets)
                return;
        encryption->secrets = arena_new_array(arena, SecretRefDef *, known->n_secrets);
        for (uint32_t i = 0; i < known->n_secrets; i++) {
                const SecretRefDef *from = known->secrets[i];
                SecretRefDef *to = arena_new_one(arena, SecretRefDef);

                to->type = arena_dup(arena, "passphrase");
                to->uuid = from->uuid ? arena_dup(arena, from->uuid) : NULL;
                to->usage = from->usage ? arena_dup(arena, from->usage) : NULL;
                encryption->secrets[encryption->n_secrets++] = to;
        }
}

VolumeDef *volume_with_secret(const Secrets *secrets, const VolumeDef *def)
{
        const EncryptionDef *encryption = def->target.encryption;
        const Secret *secret = NULL;
        char text[UUID_TEXT_LEN + 1];
        VolumeDef *ret;

        if (encryption && !encryption->n_secrets && def->target.path)
                secret = secret_find_usage(secrets, SECRET_USAGE_TYPE_VOLUME, def->target.path);
        if (!secret)
                return volume_def_ref(def);
        uuid_format(&secret->def->uuid, text);
        ret = volume_def_copy(def);
        volume_take_secrets(ret, &(EncryptionDef){ .secrets = (SecretRefDef *[]){ &(SecretRefDef){ .uuid = text } },
                                                   .n_secrets = 1 });
        return ret;
}

static int check_encryption(const VolumeDef *wanted, Error *err)
{
        const EncryptionDef *encryption = wanted->target.encryption;
        const char *format = wanted->target.format;

        if (encryption->format != ENCRYPTION_FORMAT_LUKS)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "unsupported volume encryption format '%s': volumes are encrypted with 'luks'",
                               encryption_format_text(encryption->format));
        if (format && !str_eq(format, "raw") && !str_eq(format, "qcow2"))
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "volume encryption unsupported with format %s", format);
        if (encryption->n_secrets > 1)
                return err_set(err, ERR_XML, "too many secrets for luks encryption");
        if (encryption->n_secrets && encryption->secrets[0]->type &&
            !str_eq(encryption->secrets[0]->type, "passphrase"))
                return err_set(err, ERR_XML, "unknown volume encryption secret type '%s': it is 'passphrase'",
                               encryption->secrets[0]->type);
        return 0;
}

static bool has_format(const VolumeDef *def, const char *format)
{
        return str_eq(def->target.format ?: "raw", format ?: "raw");
}

static int open_key(const Secrets *secrets, const VolumeDef *def, Fd *ret, Error *err)
{
        const SecretValue *value = secret_value(secrets, def->target.encryption->secrets[0], SECRET_USAGE_TYPE_VOLUME,
                                                err);

        if (value && secret_value_fd(value, ret, err) == 0)
                return 0;
        err_prefix(err, "volume '%s'", def->name);
        return -1;
}

int volume_keys_find(const Secrets *secrets, const VolumeDef *wanted, const VolumeDef *from, VolumeKeys *ret,
                     Error *err)
{
        const EncryptionDef *encryption = wanted->target.encryption;
        AUTO(VolumeDef) *original = from && from->target.encryption ? volume_with_secret(secrets, from) : NULL;

        *ret = (VolumeKeys){ .key = -1, .from_key = -1 };
        if (encryption && check_encryption(wanted, err) < 0)
                return -1;
        if (encryption && !encryption->n_secrets) {
                ret->as_is = original && !encryption->cipher && has_format(from, wanted->target.format);
                if (ret->as_is)
                        return 0;
                return err_set(err, ERR_XML,
                               "no secret provided for luks encryption: <encryption> of volume '%s' needs "
                               "<secret type='passphrase' uuid='...'/>, or usage='...'",
                               wanted->name);
        }
        if (original && !original->target.encryption->n_secrets)
                return err_set(err, ERR_NO_SECRET,
                               "volume '%s' is encrypted, and no secret is known for it: define one whose usage is "
                               "volume '%s', or copy it as it is, with <encryption format='luks'/> alone",
                               from->name, from->target.path);
        if (encryption && open_key(secrets, wanted, &ret->key, err) < 0)
                return -1;
        return original ? open_key(secrets, original, &ret->from_key, err) : 0;
}
