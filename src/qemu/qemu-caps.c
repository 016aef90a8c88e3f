/*
 * qemu/qemu-caps.c - what a QEMU binary can do: the record, and its cache file
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "qemu/qemu-caps-private.h"
#include "qemu/qmp-json.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { FORMAT = 1, MOST_CACHE = 4 << 20 };

QemuCaps *qemu_caps_new(const char *binary)
{
        QemuCaps *caps = mem_new(QemuCaps);

        caps->refs = 1;
        caps->binary = str_dup(binary);
        return caps;
}

QemuCaps *qemu_caps_ref(QemuCaps *caps)
{
        caps->refs++;
        return caps;
}

QemuCaps *qemu_caps_free(QemuCaps *caps)
{
        if (!caps || --caps->refs > 0)
                return NULL;
        for (size_t i = 0; i < caps->machines.len; i++) {
                free(caps->machines.items[i].name);
                free(caps->machines.items[i].alias);
        }
        for (size_t i = 0; i < caps->models.len; i++)
                free(caps->models.items[i].name);
        for (size_t i = 0; i < caps->devices.len; i++)
                free(caps->devices.items[i]);
        for (size_t i = 0; i < caps->features.len; i++)
                free(caps->features.items[i]);
        vec_done(&caps->machines);
        vec_done(&caps->models);
        vec_done(&caps->devices);
        vec_done(&caps->features);
        free(caps->binary);
        free(caps->stamp);
        free(caps);
        return NULL;
}

/* Everything that, when it changes, makes the answers old. */
char *qemu_caps_stamp(const char *binary)
{
        struct stat st = { 0 }, kvm = { 0 };
        struct utsname host;
        AUTO(Buf) nested = { 0 };

        stat(binary, &st);
        stat("/dev/kvm", &kvm);
        uname(&host);
        if (file_read("/sys/module/kvm_intel/parameters/nested", 64, &nested, NULL) < 0)
                file_read("/sys/module/kvm_amd/parameters/nested", 64, &nested, NULL);
        return str_format("%d %" PRIu64 " %" PRIi64 " %" PRIi64 " %s %s %" PRIu64 ":%o %d", FORMAT,
                          (uint64_t)st.st_size, (int64_t)st.st_mtime, (int64_t)st.st_ctime, host.release,
                          host.version, (uint64_t)kvm.st_rdev, (unsigned)kvm.st_mode,
                          nested.len ? nested.data[0] : 0);
}

bool qemu_caps_is_current(const QemuCaps *caps)
{
        AUTOFREE char *stamp = qemu_caps_stamp(caps->binary);

        return str_eq(stamp, caps->stamp);
}

const char *qemu_caps_binary(const QemuCaps *caps)
{
        return caps->binary;
}

const char *qemu_caps_identity(const QemuCaps *caps)
{
        return caps->stamp;
}

uint64_t qemu_caps_version(const QemuCaps *caps)
{
        return caps->version;
}

bool qemu_caps_has_kvm(const QemuCaps *caps)
{
        return caps->kvm;
}

const QemuMachine *qemu_caps_machines(const QemuCaps *caps, size_t *n)
{
        *n = caps->machines.len;
        return caps->machines.items;
}

const QemuCpuModel *qemu_caps_cpu_models(const QemuCaps *caps, size_t *n)
{
        *n = caps->models.len;
        return caps->models.items;
}

const char *const *qemu_caps_host_features(const QemuCaps *caps)
{
        return (const char *const *)caps->features.items;
}

static int compare_text(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void qemu_caps_sort(QemuCaps *caps)
{
        if (caps->devices.len)
                qsort(caps->devices.items, caps->devices.len, sizeof(char *), compare_text);
        if (caps->features.len)
                qsort(caps->features.items, caps->features.len, sizeof(char *), compare_text);
        vec_push(&caps->features, NULL);
}

bool qemu_caps_has_device(const QemuCaps *caps, const char *type)
{
        return caps->devices.len &&
               bsearch(&type, caps->devices.items, caps->devices.len, sizeof(char *), compare_text) != NULL;
}

const QemuMachine *qemu_caps_find_machine(const QemuCaps *caps, const char *name)
{
        for (size_t i = 0; i < caps->machines.len; i++) {
                const QemuMachine *m = &caps->machines.items[i];

                if (name ? str_eq(m->name, name) || str_eq(m->alias, name) : m->is_default)
                        return m;
        }
        return NULL;
}

/* The cache file. */

static void save_list(JsonWriter *w, const char *key, char *const *items, size_t n)
{
        json_open_array(w, key);
        for (size_t i = 0; i < n && items[i]; i++)
                json_put_text(w, NULL, items[i]);
        json_close_array(w);
}

void qemu_caps_save(const QemuCaps *caps, Buf *ret)
{
        AUTO(JsonWriter) w = { 0 };

        json_open_object(&w, NULL);
        json_put_text(&w, "stamp", caps->stamp);
        json_put_text(&w, "binary", caps->binary);
        json_put_u64(&w, "version", caps->version);
        json_put_bool(&w, "kvm", caps->kvm);
        json_open_array(&w, "machines");
        for (size_t i = 0; i < caps->machines.len; i++) {
                const QemuMachine *m = &caps->machines.items[i];

                json_open_object(&w, NULL);
                json_put_text(&w, "name", m->name);
                json_put_text(&w, "alias", m->alias);
                json_put_u64(&w, "most-cpus", m->most_cpus);
                json_put_bool(&w, "default", m->is_default);
                json_put_bool(&w, "hotplug-cpus", m->hotplug_cpus);
                json_put_bool(&w, "deprecated", m->deprecated);
                json_close_object(&w);
        }
        json_close_array(&w);
        json_open_array(&w, "models");
        for (size_t i = 0; i < caps->models.len; i++) {
                const QemuCpuModel *m = &caps->models.items[i];

                json_open_object(&w, NULL);
                json_put_text(&w, "name", m->name);
                json_put_bool(&w, "usable", m->usable);
                json_put_bool(&w, "deprecated", m->deprecated);
                json_close_object(&w);
        }
        json_close_array(&w);
        save_list(&w, "devices", caps->devices.items, caps->devices.len);
        save_list(&w, "features", caps->features.items, caps->features.len);
        json_close_object(&w);
        buf_put_text(ret, json_text(&w));
        buf_put_char(ret, '\n');
}

static void load_machine(QemuCaps *caps, json_object *json)
{
        const char *name = qmp_json_get_text(json, "name");
        QemuMachine m = {
                .name = str_dup(name),
                .alias = str_dup(qmp_json_get_text(json, "alias")),
                .most_cpus = (unsigned)MAX(1, MIN(65535, qmp_json_get_i64(json, "most-cpus", 1))),
                .is_default = qmp_json_get_bool(json, "default", false),
                .hotplug_cpus = qmp_json_get_bool(json, "hotplug-cpus", false),
                .deprecated = qmp_json_get_bool(json, "deprecated", false),
        };

        if (name)
                vec_push(&caps->machines, m);
        else
                free(m.alias);
}

static void load_model(QemuCaps *caps, json_object *json)
{
        const char *name = qmp_json_get_text(json, "name");
        QemuCpuModel m = { str_dup(name), qmp_json_get_bool(json, "usable", false),
                           qmp_json_get_bool(json, "deprecated", false) };

        if (name)
                vec_push(&caps->models, m);
}

static void load_device(QemuCaps *caps, json_object *json)
{
        if (json_object_is_type(json, json_type_string))
                vec_push(&caps->devices, str_dup(json_object_get_string(json)));
}

static void load_feature(QemuCaps *caps, json_object *json)
{
        if (json_object_is_type(json, json_type_string))
                vec_push(&caps->features, str_dup(json_object_get_string(json)));
}

static void load_each(QemuCaps *caps, json_object *array, void (*load)(QemuCaps *caps, json_object *json))
{
        size_t n = json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;

        for (size_t i = 0; i < n; i++)
                load(caps, json_object_array_get_idx(array, i));
}

QemuCaps *qemu_caps_load(const char *text, size_t len UNUSED, Error *err)
{
        json_object *json = qmp_parse_json(text, MOST_CACHE, err);
        const char *binary = qmp_json_get_text(json, "binary"), *stamp = qmp_json_get_text(json, "stamp");
        AUTO(QemuCaps) *caps = qemu_caps_new(binary);

        caps->stamp = str_dup(stamp);
        caps->version = (uint64_t)qmp_json_get_i64(json, "version", 0);
        caps->kvm = qmp_json_get_bool(json, "kvm", false);
        load_each(caps, qmp_json_get(json, "machines"), load_machine);
        load_each(caps, qmp_json_get(json, "models"), load_model);
        load_each(caps, qmp_json_get(json, "devices"), load_device);
        load_each(caps, qmp_json_get(json, "features"), load_feature);
        qemu_caps_sort(caps);
        json_object_put(json);
        if (!caps->binary || !caps->stamp || caps->version == 0 || caps->machines.len == 0) {
                err_set(err, ERR_INTERNAL, "the cache of what QEMU can do is damaged");
                return NULL;
        }
        return TAKE(caps);
}
