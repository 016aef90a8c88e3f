#pragma once
/*
 * qemu/qemu-caps.h - what a QEMU binary can do on this host
 *
 * Asked once per binary by running it without a machine, then kept in memory and in a cache file that is
 * good as long as binary, kernel and KVM stay what they were.
 */
#include "base/buf.h"
#include "host/root.h"
#include "loop/loop.h"
#include "loop/worker.h"
#include "model/domain.h"

typedef struct QemuCaps QemuCaps;
typedef struct QemuProbe QemuProbe;

typedef struct QemuMachine {
        char *name, *alias; /* alias NULL: none */
        unsigned most_cpus;
        bool is_default, hotplug_cpus, deprecated;
} QemuMachine;

typedef struct QemuCpuModel {
        char *name;
        bool usable; /* with the accelerator that is there */
        bool deprecated;
} QemuCpuModel;

/*
 * Find out about a binary: from the cache file in cache_dir when it still fits, else by running it. done()
 * comes once, on a later turn; caps is the caller's. Freeing the probe cancels it.
 */
QemuProbe *qemu_probe_new(Loop *loop, const char *binary, const char *cache_dir, const RootUser *user,
                          void (*done)(void *arg, QemuCaps *caps, const Error *failure), void *arg);
QemuProbe *qemu_probe_free(QemuProbe *probe);

QemuCaps *qemu_caps_ref(QemuCaps *caps);
QemuCaps *qemu_caps_free(QemuCaps *caps); /* drops a reference; returns NULL */
/* Whether the binary is still the one that was asked. */
bool qemu_caps_is_current(const QemuCaps *caps);

const char *qemu_caps_binary(const QemuCaps *caps);
const char *qemu_caps_identity(const QemuCaps *caps); /* one line; that of another binary, kernel or KVM is another */
uint64_t qemu_caps_version(const QemuCaps *caps);     /* 7.2.22 is 7002022 */
bool qemu_caps_has_kvm(const QemuCaps *caps);
const QemuMachine *qemu_caps_machines(const QemuCaps *caps, size_t *n);
const QemuCpuModel *qemu_caps_cpu_models(const QemuCaps *caps, size_t *n);
bool qemu_caps_has_device(const QemuCaps *caps, const char *type);
/* The machine of that name or alias; name NULL: the default one. NULL: there is none. */
const QemuMachine *qemu_caps_find_machine(const QemuCaps *caps, const char *name);
/* Features of what `-cpu max` gives, or with KVM of the host: NULL-terminated names. */
const char *const *qemu_caps_host_features(const QemuCaps *caps);

/* To and from the text of the cache file. */
void qemu_caps_save(const QemuCaps *caps, Buf *ret);
QemuCaps *qemu_caps_load(const char *text, size_t len, Error *err);

/* The newest named model that can be given to a guest here. */
const char *qemu_caps_host_model(const QemuCaps *caps);
/* The <guest> part of the capabilities document, indented by two blanks. */
void qemu_caps_format_guest(const QemuCaps *caps, Buf *ret);
/* The domain capabilities document. machine, virttype NULL: the default. */
int qemu_caps_format_domain(const QemuCaps *caps, const char *machine, const char *virttype, Buf *ret, Error *err);

DEFINE_AUTO(QemuCaps, qemu_caps_free)
DEFINE_AUTO(QemuProbe, qemu_probe_free)
