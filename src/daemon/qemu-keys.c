/*
 * daemon/qemu-keys.c - the keys of encrypted disks, on their way into QEMU
 */
#include "daemon/qemu-keys.h"

#include "base/json-write.h"
#include "base/str.h"
#include "daemon/driver.h"

#include <string.h>

static const SecretValue *key_of(const Secrets *secrets, const DiskDef *disk, Error *err)
{
        const EncryptionDef *encryption = qemu_disk_encryption(disk);
        const SecretValue *value = NULL;

        if (!encryption->n_secrets)
                err_set(err, ERR_XML, "no <secret> says what opens it");
        else
                value = secret_value(secrets, encryption->secrets[0], SECRET_USAGE_TYPE_VOLUME, err);
        if (!value)
                err_prefix(err, "encrypted disk '%s'", disk->target_dev);
        return value;
}

int qemu_keys_open(const Secrets *secrets, const DomainDef *def, DiskKeys *ret, Error *err)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                AUTOFREE char *id = qemu_disk_key(def, def->disks[i]);
                const SecretValue *value = id ? key_of(secrets, def->disks[i], err) : NULL;
                DiskKeyFd key = { .fd = -1 };

                if (!id)
                        continue;
                if (!value || secret_value_fd(value, &key.fd, err) < 0)
                        return -1;
                key.id = TAKE(id);
                vec_push(&ret->list, key);
        }
        return 0;
}

void disk_keys_done(DiskKeys *keys)
{
        for (size_t i = 0; i < keys->list.len; i++) {
                free(keys->list.items[i].id);
                fd_close(&keys->list.items[i].fd);
        }
        vec_done(&keys->list);
}

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

void qemu_keys_forget(QemuRun *run)
{
        const DomainDef *def = run->dom->live;

        for (uint32_t i = 0; i < def->n_disks; i++) {
                AUTOFREE char *id = qemu_disk_key(def, def->disks[i]);

                if (id)
                        qmp_object_del(guest_qmp(run->guest), &(QmpObjectDel){ .id = id }, ignore, NULL);
        }
}

char *qemu_key_object(const Secrets *secrets, const DiskDef *disk, const char *id, Error *err)
{
        const SecretValue *value = key_of(secrets, disk, err);
        AUTOFREE char *text = value ? str_to_base64(value->data, value->n) : NULL;
        AUTO(JsonWriter) w = { 0 };

        if (!value)
                return NULL;
        json_open_object(&w, NULL);
        json_put_text(&w, "qom-type", "secret");
        json_put_text(&w, "id", id);
        json_put_text(&w, "format", "base64");
        json_put_text(&w, "data", text);
        json_close_object(&w);
        explicit_bzero(text, strlen(text));
        return json_take(&w);
}
