/*
 * qemu/qemu-probe.c - ask a QEMU binary what it can do
 *
 * QEMU runs without a machine, as the user guests run as, connected by a socket pair. All questions leave
 * at once. KVM counts only when QEMU really made a virtual machine with it, not when /dev/kvm is there.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "loop/child.h"
#include "qemu/qemu-caps-private.h"
#include "qemu/qmp.h"

#include <errno.h>
#include <json-c/json.h>
#include <sys/socket.h>
#include <unistd.h>

/* A busy machine takes half a minute for it; systemd waits a minute and a half for a daemon that starts. */
enum { PROBE_MS = 80 * 1000, MOST_CACHE = 4 << 20, MONITOR_FD = 3 };

struct QemuProbe {
        Loop *loop;
        QemuCaps *caps;
        char *cache_path;
        RootUser user;
        Idle *idle; /* the answer is there already */
        Child *child;
        QmpClient *qmp;
        Timer *deadline;
        unsigned unanswered;
        bool tcg_only;
        void (*done)(void *arg, QemuCaps *caps, const Error *failure);
        void *arg;
};

/* done() may free the probe: the last act. */
static void finish(QemuProbe *probe, const Error *failure)
{
        void (*done)(void *, QemuCaps *, const Error *) = probe->done;

        probe->deadline = timer_free(probe->deadline);
        if (!done)
                return;
        probe->done = NULL;
        done(probe->arg, failure ? NULL : TAKE(probe->caps), failure);
}

static void ask(QemuProbe *probe);

/*
 * A KVM that cannot give the plainest processor model is there, but boots no ordinary kernel. Counting on it
 * would make every guest fail that is started without a choice; so it counts as absent.
 */
static bool kvm_is_crippled(const QemuCaps *caps)
{
        for (size_t i = 0; caps->kvm && i < caps->models.len; i++) {
                if (str_eq(caps->models.items[i].name, "qemu64"))
                        return !caps->models.items[i].usable;
        }
        return false;
}

/* From the beginning, with the processor models that emulation gives. */
static void ask_again(QemuProbe *probe)
{
        QemuCaps *fresh = qemu_caps_new(probe->caps->binary);

        fresh->stamp = str_dup(probe->caps->stamp);
        qemu_caps_free(probe->caps);
        probe->caps = fresh;
        probe->tcg_only = true;
        probe->qmp = qmp_client_free(probe->qmp);
        probe->child = child_free(probe->child);
        probe->deadline = timer_free(probe->deadline);
        ask(probe);
}

static void complete(QemuProbe *probe)
{
        AUTO(Buf) text = { 0 };
        AUTO(Error) err = { 0 };

        if (kvm_is_crippled(probe->caps)) {
                ask_again(probe);
                return;
        }
        qemu_caps_sort(probe->caps);
        qemu_caps_save(probe->caps, &text);
        if (file_write_atomic(probe->cache_path, text.data, text.len, 0644, &err) < 0)
                log_warning("%s", err.text);
        finish(probe, NULL);
}

/* One answer. False: it is a failure, which ended the probe. */
static bool answered(QemuProbe *probe, const Error *failure)
{
        probe->unanswered--;
        if (!failure)
                return true;
        /* a connection that ended says why itself, right after this */
        if (failure->code != ERR_OPERATION_ABORTED)
                finish(probe, failure);
        return false;
}

static void answered_last(QemuProbe *probe)
{
        if (probe->unanswered == 0 && probe->done)
                complete(probe);
}

static void got_version(void *arg, const QmpVersion *v, const Error *failure)
{
        QemuProbe *probe = arg;

        if (!answered(probe, failure))
                return;
        probe->caps->version = v->qemu.major * 1000000 + v->qemu.minor * 1000 + v->qemu.micro;
        answered_last(probe);
}

static void got_kvm(void *arg, const QmpKvm *kvm, const Error *failure)
{
        QemuProbe *probe = arg;

        if (!answered(probe, failure))
                return;
        probe->caps->kvm = kvm->enabled;
        answered_last(probe);
}

static void got_machines(void *arg, const QmpMachine *machines, size_t n, const Error *failure)
{
        QemuProbe *probe = arg;

        if (!answered(probe, failure))
                return;
        for (size_t i = 0; i < n; i++) {
                QemuMachine m = {
                        .name = str_dup(machines[i].name),
                        .alias = str_dup(machines[i].alias),
                        .most_cpus = (unsigned)MAX(1, MIN(65535, machines[i].cpu_max)),
                        .is_default = machines[i].has_is_default && machines[i].is_default,
                        .hotplug_cpus = machines[i].hotpluggable_cpus,
                        .deprecated = machines[i].deprecated,
                };

                vec_push(&probe->caps->machines, m);
        }
        answered_last(probe);
}

static void got_models(void *arg, const QmpCpuDefinition *models, size_t n, const Error *failure)
{
        QemuProbe *probe = arg;

        if (!answered(probe, failure))
                return;
        for (size_t i = 0; i < n; i++) {
                QemuCpuModel m = { str_dup(models[i].name), models[i].n_unavailable_features == 0,
                                   models[i].deprecated };

                vec_push(&probe->caps->models, m);
        }
        answered_last(probe);
}

static void got_devices(void *arg, const QmpObjectType *types, size_t n, const Error *failure)
{
        QemuProbe *probe = arg;

        if (!answered(probe, failure))
                return;
        for (size_t i = 0; i < n; i++)
                vec_push(&probe->caps->devices, str_dup(types[i].name));
        answered_last(probe);
}

/* What "max" expands to: the properties that are on are the features a guest can have. */
static void got_expansion(void *arg, const QmpCpuModelExpansion *expansion, const Error *failure)
{
        QemuProbe *probe = arg;
        json_object *props;

        probe->unanswered--;
        if (qmp_failure_is_unknown(failure)) {
                if (failure->code != ERR_OPERATION_ABORTED)
                        finish(probe, failure);
                return;
        }
        /* a QEMU that cannot expand models still runs guests */
        props = failure || !expansion->model.props ? NULL : qmp_parse_json(expansion->model.props, MOST_CACHE, NULL);
        if (json_object_is_type(props, json_type_object)) {
                json_object_object_foreach(props, name, value)
                {
                        if (json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value))
                                vec_push(&probe->caps->features, str_dup(name));
                }
        }
        json_object_put(props);
        answered_last(probe);
}

static void on_closed(void *arg, const Error *why)
{
        AUTO(Error) err = { 0 };
        QemuProbe *probe = arg;

        err_set(&err, ERR_INTERNAL, "'%s' ended while it was asked what it can do: %s",
                probe->caps ? probe->caps->binary : "QEMU", why->text);
        finish(probe, &err);
}

static void on_deadline(void *arg)
{
        AUTO(Error) err = { 0 };
        QemuProbe *probe = arg;

        err_set(&err, ERR_OPERATION_TIMEOUT, "'%s' does not answer what it can do", probe->caps->binary);
        finish(probe, &err);
}

static void on_ended(void *arg UNUSED, int status UNUSED)
{
}

static int drop(void *arg)
{
        errno = root_drop_to(arg);
        return errno ? -1 : 0;
}

static int run(QemuProbe *probe, int *monitor, Error *err)
{
        static const char socket[] = "socket,id=mon,fd=3";
        const char *argv[] = { probe->caps->binary,
                               "-S",
                               "-no-user-config",
                               "-nodefaults",
                               "-display",
                               "none",
                               "-machine",
                               probe->tcg_only ? "none,accel=tcg" : "none,accel=kvm:tcg",
                               "-chardev",
                               socket,
                               "-mon",
                               "chardev=mon,mode=control",
                               NULL };
        int ends[2];
        ChildFd fds[1];
        ChildSpec spec = { .argv = argv, .fds = fds, .n_fds = 1, .prepare = drop, .prepare_arg = &probe->user };

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                return err_errno(err, errno, "cannot make a socket pair");
        fds[0] = (ChildFd){ ends[1], MONITOR_FD };
        probe->child = child_new(probe->loop, &spec, on_ended, probe, err);
        close(ends[1]);
        if (!probe->child) {
                close(ends[0]);
                return -1;
        }
        *monitor = ends[0];
        return 0;
}

static void ask(QemuProbe *probe)
{
        static const QmpHooks hooks = { .closed = on_closed };
        AUTO(Error) err = { 0 };
        int monitor;

        if (run(probe, &monitor, &err) < 0) {
                finish(probe, &err);
                return;
        }
        probe->deadline = timer_new(probe->loop, PROBE_MS, on_deadline, probe);
        probe->qmp = qmp_client_new(probe->loop, monitor, &hooks, probe);
        probe->unanswered = 6;
        qmp_call_set_deadline(qmp_query_version(probe->qmp, got_version, probe), PROBE_MS);
        qmp_call_set_deadline(qmp_query_kvm(probe->qmp, got_kvm, probe), PROBE_MS);
        qmp_call_set_deadline(qmp_query_machines(probe->qmp, got_machines, probe), PROBE_MS);
        qmp_call_set_deadline(qmp_query_cpu_definitions(probe->qmp, got_models, probe), PROBE_MS);
        qmp_call_set_deadline(
                qmp_qom_list_types(
                        probe->qmp,
                        &(QmpQomListTypes){ .implements = "device", .has_abstract = true, .abstract = false },
                        got_devices, probe),
                PROBE_MS);
        qmp_call_set_deadline(qmp_query_cpu_model_expansion(
                                      probe->qmp,
                                      &(QmpQueryCpuModelExpansion){ .type = "full", .model = { .name = "max" } },
                                      got_expansion, probe),
                              PROBE_MS);
}

static void on_idle(void *arg)
{
        QemuProbe *probe = arg;
        AUTO(Buf) text = { 0 };
        AUTO(QemuCaps) *cached = NULL;

        probe->idle = idle_free(probe->idle);
        /* a damaged or old file is as good as none */
        if (file_read(probe->cache_path, MOST_CACHE, &text, NULL) == 0)
                cached = qemu_caps_load(buf_text(&text), text.len, NULL);
        if (cached && str_eq(cached->stamp, probe->caps->stamp) && str_eq(cached->binary, probe->caps->binary)) {
                qemu_caps_free(probe->caps);
                probe->caps = TAKE(cached);
                finish(probe, NULL);
                return;
        }
        if (access(probe->caps->binary, X_OK) < 0) {
                AUTO(Error) err = { 0 };

                err_errno(&err, errno, "cannot run '%s'", probe->caps->binary);
                finish(probe, &err);
                return;
        }
        ask(probe);
}

QemuProbe *qemu_probe_new(Loop *loop, const char *binary, const char *cache_dir, const RootUser *user,
                          void (*done)(void *arg, QemuCaps *caps, const Error *failure), void *arg)
{
        QemuProbe *probe = mem_new(QemuProbe);
        AUTOFREE char *flat = str_dup(binary);

        for (char *p = flat; *p; p++)
                *p = *p == '/' ? '-' : *p;
        *probe = (QemuProbe){ .loop = loop, .user = *user, .done = done, .arg = arg };
        probe->cache_path = str_format("%s/caps%s.json", cache_dir, flat);
        probe->caps = qemu_caps_new(binary);
        probe->caps->stamp = qemu_caps_stamp(binary);
        probe->idle = idle_new(loop, on_idle, probe);
        return probe;
}

QemuProbe *qemu_probe_free(QemuProbe *probe)
{
        if (!probe)
                return NULL;
        idle_free(probe->idle);
        timer_free(probe->deadline);
        qmp_client_free(probe->qmp);
        child_free(probe->child);
        qemu_caps_free(probe->caps);
        free(probe->cache_path);
        free(probe);
        return NULL;
}
