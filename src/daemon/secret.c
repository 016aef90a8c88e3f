/*
 * daemon/secret.c - the passwords and keys that a driver's disks, pools and servers need
 */
#include "daemon/secret.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/def-store.h"
#include "daemon/driver.h"
#include "daemon/event.h"
#include "daemon/registry.h"
#include "wire/constants.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BASE64_MOST = SECRET_VALUE_MOST / 3 * 4 + 64 };

struct Secrets {
        Driver *driver;
        Registry *all;
        FileQueue *files; /* NULL: in memory only */
        DefStore *store;
        char *dir;
};

static void value_drop(SecretValue *value)
{
        if (value->data)
                explicit_bzero(value->data, value->n);
        free(value->data);
        *value = (SecretValue){ 0 };
}

static void unref(Secret *secret)
{
        if (--secret->refs)
                return;
        value_drop(&secret->value);
        secret_def_unref(secret->def);
        free(secret);
}

static Secret *add(Secrets *secrets, SecretDef *def)
{
        Secret *secret = mem_new(Secret);
        char text[UUID_TEXT_LEN + 1];

        *secret = (Secret){ .refs = 1, .secrets = secrets, .def = def };
        registry_add(secrets->all, uuid_format(&def->uuid, text), &def->uuid, secret);
        return secret;
}

static bool is_listed(const Secret *secret)
{
        return registry_find_uuid(secret->secrets->all, &secret->def->uuid) == secret;
}

static void drop(Secret *secret)
{
        registry_remove(secret->secrets->all, &secret->def->uuid);
        secret->going = true;
        unref(secret);
}

static bool is_kept(const Secrets *secrets, const SecretDef *def)
{
        return secrets->files && !secret_def_is_ephemeral(def);
}

static char *value_path(const Secrets *secrets, const Uuid *uuid)
{
        char text[UUID_TEXT_LEN + 1];

        return str_format("%s/%s.base64", secrets->dir, uuid_format(uuid, text));
}

/* --- load --- */

static int read_value(Secret *secret, Error *err)
{
        AUTOFREE char *path = value_path(secret->secrets, &secret->def->uuid);
        AUTO(Buf) text = { 0 };
        int r;

        if (access(path, F_OK) < 0)
                return 0;
        if (file_read_regular(path, BASE64_MOST, &text, NULL, err) < 0)
                return -1;
        secret->value = (SecretValue){ .data = mem_new_array(uint8_t, text.len + 1), .n = text.len };
        r = str_from_base64(buf_text(&text), secret->value.data, &secret->value.n);
        explicit_bzero(text.data, text.len);
        if (r == 0 && secret->value.n <= SECRET_VALUE_MOST)
                return 0;
        value_drop(&secret->value);
        return err_set(err, ERR_INVALID_SECRET, "'%s' is not base64 of at most %d bytes", path, SECRET_VALUE_MOST);
}

static int load_one(void *arg, const char *name, const char *xml, bool autostart UNUSED, Error *err)
{
        Secrets *secrets = arg;
        AUTO(SecretDef) *def = NULL;
        char text[UUID_TEXT_LEN + 1];

        if (secret_def_parse(xml, strlen(xml), 0, &def, NULL, err) < 0 ||
            def_store_check_file(name, uuid_format(&def->uuid, text), err) < 0 ||
            secret_check_def(secrets, def, err) < 0)
                return -1;
        return read_value(add(secrets, TAKE(def)), err);
}

/* What a daemon was writing when it was killed is a value that nobody would remove. */
static void remove_unfinished(const Secrets *secrets)
{
        DIR *dir = opendir(secrets->dir);

        if (!dir)
                return;
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (str_ends(entry->d_name, ".base64.new"))
                        unlinkat(dirfd(dir), entry->d_name, 0);
        }
        closedir(dir);
}

int secrets_load(Driver *driver, FileQueue *files, Error *err)
{
        Secrets *secrets = mem_new(Secrets);

        driver->secrets = secrets;
        *secrets = (Secrets){ .driver = driver, .all = registry_new(), .files = files };
        if (!files)
                return 0;
        secrets->dir = str_format("%s/secrets", driver->daemon->dirs.config);
        secrets->store = def_store_new(files, secrets->dir);
        remove_unfinished(secrets);
        return def_store_load(secrets->store, load_one, secrets, err);
}

Secrets *secrets_free(Secrets *secrets)
{
        if (!secrets)
                return NULL;
        for (size_t i = 0; i < registry_len(secrets->all); i++)
                unref(registry_at(secrets->all, i));
        registry_free(secrets->all);
        def_store_free(secrets->store);
        free(secrets->dir);
        free(secrets);
        return NULL;
}

/* --- look up --- */

size_t secrets_len(const Secrets *secrets)
{
        return registry_len(secrets->all);
}

Secret *secrets_at(const Secrets *secrets, size_t i)
{
        Secret *secret = registry_at(secrets->all, i);

        return secret->going ? NULL : secret;
}

Secret *secret_find(const Secrets *secrets, const Uuid *uuid)
{
        Secret *secret = registry_find_uuid(secrets->all, uuid);

        return secret && !secret->going ? secret : NULL;
}

Secret *secret_find_usage(const Secrets *secrets, SecretUsageType type, const char *id)
{
        for (size_t i = 0; i < secrets_len(secrets); i++) {
                Secret *secret = secrets_at(secrets, i);

                if (secret && type && secret_def_usage_type(secret->def) == type &&
                    str_eq(secret_def_usage_id(secret->def), id))
                        return secret;
        }
        return NULL;
}

const SecretValue *secret_its_value(const Secret *secret, Error *err)
{
        char text[UUID_TEXT_LEN + 1];

        if (secret->value.data)
                return &secret->value;
        err_set(err, ERR_NO_SECRET, "secret '%s' does not have a value", uuid_format(&secret->def->uuid, text));
        return NULL;
}

const SecretValue *secret_value(const Secrets *secrets, const SecretRefDef *ref, SecretUsageType type, Error *err)
{
        const Secret *secret;
        Uuid uuid;

        if (ref->uuid && uuid_parse(ref->uuid, &uuid) == 0)
                secret = secret_find(secrets, &uuid);
        else
                secret = secret_find_usage(secrets, type, ref->usage);
        if (!secret) {
                err_set(err, ERR_NO_SECRET, "no secret with matching %s '%s': define it with secret-define",
                        ref->uuid ? "uuid" : "usage", ref->uuid ?: ref->usage ?: "");
                return NULL;
        }
        return secret_its_value(secret, err);
}

int secret_value_fd(const SecretValue *value, Fd *ret, Error *err)
{
        AUTO(Fd) fd = memfd_create("key", MFD_CLOEXEC);

        if (fd < 0 || write(fd, value->data, value->n) != (ssize_t)value->n)
                return err_errno(err, errno, "cannot hand a key on");
        *ret = fd_take(&fd);
        return 0;
}

/* --- change --- */

static int must_rest(const Secret *secret, Error *err)
{
        char text[UUID_TEXT_LEN + 1];

        if (!secret->moving)
                return 0;
        return err_set(err, ERR_RESOURCE_BUSY, "secret '%s' is being defined; try again",
                       uuid_format(&secret->def->uuid, text));
}

int secret_check_def(const Secrets *secrets, const SecretDef *def, Error *err)
{
        const Secret *same = registry_find_uuid(secrets->all, &def->uuid);
        const Secret *user = secret_find_usage(secrets, secret_def_usage_type(def), secret_def_usage_id(def));
        char text[UUID_TEXT_LEN + 1];

        if (same && same->going)
                return err_set(err, ERR_OPERATION_INVALID, "secret '%s' is being undefined",
                               uuid_format(&def->uuid, text));
        if (same && must_rest(same, err) < 0)
                return -1;
        if (user && user != same)
                return err_set(err, ERR_INTERNAL, "a secret with UUID %s already defined for use with %s",
                               uuid_format(&user->def->uuid, text), secret_def_usage_id(def));
        if (!same)
                return 0;
        if (secret_def_usage_type(same->def) != secret_def_usage_type(def) ||
            !str_eq(secret_def_usage_id(same->def), secret_def_usage_id(def)))
                return err_set(err, ERR_INTERNAL, "a secret with UUID %s is already defined for use with %s",
                               uuid_format(&def->uuid, text), secret_def_usage_id(same->def) ?: "nothing");
        if (secret_def_is_private(same->def) && !secret_def_is_private(def))
                return err_set(err, ERR_OPERATION_DENIED, "cannot change private flag on existing secret");
        return 0;
}

WireSecret secret_wire(const SecretDef *def)
{
        return (WireSecret){ .uuid = def->uuid,
                             .usageType = (int32_t)secret_def_usage_type(def),
                             .usageID = secret_def_usage_id(def) ?: "" };
}

static void tell(const Secrets *secrets, const SecretDef *def, int event)
{
        WireSecretEventLifecycleMsg msg = { .secret = secret_wire(def), .event = event };

        event_emit(secrets->driver->events, WIRE_CLASS_SECRET, VIR_SECRET_EVENT_ID_LIFECYCLE, &def->uuid, &msg);
}

typedef struct Act {
        Secrets *secrets;
        Secret *secret;
        SecretDef *def;    /* the new one */
        SecretValue value; /* the new one */
        bool is_new;
        Error failure; /* why it is not kept after all */
        SecretDone *done;
        void *arg;
} Act;

static Act *act_new(Secrets *secrets, Secret *secret, SecretDone *done, void *arg)
{
        Act *act = mem_new(Act);

        *act = (Act){ .secrets = secrets, .secret = secret, .done = done, .arg = arg };
        secret->refs++;
        return act;
}

/* One on a secret that is there; NULL, with done told: it must rest. */
static Act *act_on(Secret *secret, SecretDone *done, void *arg)
{
        AUTO(Error) busy = { 0 };

        if (must_rest(secret, &busy) == 0)
                return act_new(secret->secrets, secret, done, arg);
        done(arg, &busy);
        return NULL;
}

/* Who hears that a secret is gone may rely on its value being wiped by then. */
static void act_end(Act *act, const Error *failure)
{
        SecretDone *done = act->done;
        void *arg = act->arg;

        unref(act->secret);
        secret_def_unref(act->def);
        value_drop(&act->value);
        done(arg, failure);
        err_done(&act->failure);
        free(act);
}

static void remove_value(const Secrets *secrets, const Uuid *uuid)
{
        AUTOFREE char *path = value_path(secrets, uuid);
        const char *paths[] = { path, NULL };

        file_queue_remove(secrets->files, paths, NULL, NULL);
}

static void on_defined(void *arg, const Error *failure)
{
        Act *act = arg;

        act->secret->moving = false;
        if (failure && act->is_new) {
                if (is_listed(act->secret))
                        drop(act->secret);
                remove_value(act->secrets, &act->secret->def->uuid); /* somebody may have set one meanwhile */
        } else if (!failure) {
                if (!act->is_new) {
                        secret_def_unref(act->secret->def);
                        act->secret->def = TAKE(act->def);
                }
                tell(act->secrets, act->secret->def, VIR_SECRET_EVENT_DEFINED);
        }
        act_end(act, failure);
}

static void write_value(const Secrets *secrets, const Uuid *uuid, const SecretValue *value, SecretDone *done,
                        void *arg)
{
        AUTOFREE char *path = value_path(secrets, uuid), *text = str_to_base64(value->data, value->n);
        AUTO(Buf) content = { 0 };

        buf_put_text(&content, text);
        explicit_bzero(text, strlen(text));
        file_queue_write(secrets->files, path, &content, 0600, true, done, arg);
}

static void remove_files(const Secrets *secrets, const Uuid *uuid, SecretDone *done, void *arg)
{
        AUTOFREE char *path = value_path(secrets, uuid);
        const char *others[] = { path, NULL };
        char text[UUID_TEXT_LEN + 1];

        def_store_remove(secrets->store, uuid_format(uuid, text), others, done, arg);
}

static void on_taken_back(void *arg, const Error *failure)
{
        Act *act = arg;

        if (failure)
                log_error("what was written of a secret stays: %s", failure->text);
        on_defined(act, &act->failure);
}

static void on_value_kept(void *arg, const Error *failure)
{
        Act *act = arg;
        const Uuid *uuid = &act->secret->def->uuid;
        char text[UUID_TEXT_LEN + 1];

        if (!failure) {
                on_defined(act, NULL);
                return;
        }
        err_copy(&act->failure, failure);
        remove_value(act->secrets, uuid);
        def_store_remove(act->secrets->store, uuid_format(uuid, text), NULL, on_taken_back, act);
}

/* The value comes behind its definition: without one it would stay on the disk, and nobody would remove it. */
static void on_kept(void *arg, const Error *failure)
{
        Act *act = arg;

        if (failure || !act->secret->moving || !act->secret->value.data)
                on_defined(act, failure);
        else
                write_value(act->secrets, &act->secret->def->uuid, &act->secret->value, on_value_kept, act);
}

static void keep(Act *act, const SecretDef *def)
{
        AUTO(Buf) xml = { 0 };
        char text[UUID_TEXT_LEN + 1];

        secret_def_format(def, &xml);
        def_store_save(act->secrets->store, uuid_format(&def->uuid, text), &xml, on_kept, act);
}

void secret_define(Secrets *secrets, SecretDef *def, SecretDone *done, void *arg)
{
        Secret *old = secret_find(secrets, &def->uuid);
        bool was_kept = old && is_kept(secrets, old->def), is = is_kept(secrets, def);
        Act *act = act_new(secrets, old ?: add(secrets, def), done, arg);

        act->is_new = !old;
        act->def = old ? def : NULL;
        act->secret->moving = old && was_kept != is;
        if (is)
                keep(act, def);
        else if (was_kept)
                remove_files(secrets, &def->uuid, on_defined, act);
        else
                on_defined(act, NULL);
}

static void on_value(void *arg, const Error *failure)
{
        Act *act = arg;
        Secret *secret = act->secret;
        char text[UUID_TEXT_LEN + 1];
        AUTO(Error) err = { 0 };

        if (!failure && secret->going) { /* meanwhile */
                err_set(&err, ERR_NO_SECRET, "secret '%s' was undefined meanwhile",
                        uuid_format(&secret->def->uuid, text));
                failure = &err;
        }
        if (!failure) {
                WireSecretEventValueChangedMsg msg = { .secret = secret_wire(secret->def) };

                value_drop(&secret->value);
                secret->value = act->value;
                act->value = (SecretValue){ 0 };
                event_emit(act->secrets->driver->events, WIRE_CLASS_SECRET, VIR_SECRET_EVENT_ID_VALUE_CHANGED,
                           &secret->def->uuid, &msg);
        }
        act_end(act, failure);
}

void secret_set_value(Secret *secret, const void *data, size_t n, SecretDone *done, void *arg)
{
        Act *act = act_on(secret, done, arg);

        if (!act)
                return;
        act->value = (SecretValue){ mem_new_array(uint8_t, n + 1), n };
        memcpy(act->value.data, data, n);
        if (is_kept(secret->secrets, secret->def))
                write_value(secret->secrets, &secret->def->uuid, &act->value, on_value, act);
        else
                on_value(act, NULL);
}

static void on_undefined(void *arg, const Error *failure)
{
        Act *act = arg;

        if (!is_listed(act->secret)) {
                failure = NULL; /* its definition could not be kept, and that took it away */
        } else if (failure) {
                act->secret->going = false;
        } else {
                tell(act->secrets, act->secret->def, VIR_SECRET_EVENT_UNDEFINED);
                drop(act->secret);
        }
        act_end(act, failure);
}

void secret_undefine(Secret *secret, SecretDone *done, void *arg)
{
        Act *act = act_on(secret, done, arg);

        if (!act)
                return;
        secret->going = true;
        if (is_kept(secret->secrets, secret->def))
                remove_files(secret->secrets, &secret->def->uuid, on_undefined, act);
        else
                on_undefined(act, NULL);
}
