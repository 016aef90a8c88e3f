/*
 * daemon/qemu-describe.c - what the QEMU driver says about itself
 *
 * Everything comes from the probe of the QEMU binary. Without one there are no
 * kinds of guests to name, and the host alone is described.
 */
#include "base/str.h"
#include "daemon/qemu-driver.h"
#include "host/capabilities.h"

enum { UNPROBED_VCPUS = 1 };

int qemu_max_vcpus(Driver *driver, const char *type, Error *err)
{
        const QemuCaps *caps = qemu_driver(driver)->caps;
        const QemuMachine *machine = caps ? qemu_caps_find_machine(caps, NULL) : NULL;

        if (type && !str_eq(type, "kvm") && !str_eq(type, "qemu"))
                return err_set(err, ERR_INVALID_ARG, "the QEMU driver runs guests of type kvm and qemu, not '%s'",
                               type);
        return machine ? (int)machine->most_cpus : UNPROBED_VCPUS;
}

void qemu_describe_host(Driver *driver, HostCapabilities *known)
{
        static const char *const uris[] = { "tcp", NULL };
        const QemuCaps *caps = qemu_driver(driver)->caps;

        known->migration_uris = uris;
        known->cpu_model = caps ? qemu_caps_host_model(caps) : NULL;
}

void qemu_put_guest_capabilities(Driver *driver, Buf *ret)
{
        const QemuCaps *caps = qemu_driver(driver)->caps;

        if (caps)
                qemu_caps_format_guest(caps, ret);
}

/* QEMU of the one architecture that was probed; a client that names another hears so. */
int qemu_put_domain_capabilities(Driver *driver, const DomainCapabilitiesAsk *ask, Buf *ret, Error *err)
{
        const QemuCaps *caps = qemu_driver(driver)->caps;

        if (!caps)
                return err_set(err, ERR_OPERATION_FAILED, "QEMU could not be asked what it can do; see the log");
        if (ask->emulator && !str_eq(ask->emulator, qemu_caps_binary(caps)))
                return err_set(err, ERR_INVALID_ARG, "droverd runs guests with '%s', not '%s'",
                               qemu_caps_binary(caps), ask->emulator);
        if (ask->arch && !str_eq(ask->arch, "x86_64"))
                return err_set(err, ERR_INVALID_ARG, "'%s' runs guests of x86_64, not %s", qemu_caps_binary(caps),
                               ask->arch);
        return qemu_caps_format_domain(caps, ask->machine, ask->virttype, ret, err);
}

int qemu_cpu_models(Driver *driver, Arena *arena, const char ***ret, size_t *ret_n, Error *err)
{
        const QemuCaps *caps = qemu_driver(driver)->caps;
        const QemuCpuModel *models;
        size_t n;

        if (!caps)
                return err_set(err, ERR_OPERATION_FAILED, "QEMU could not be asked what it can do; see the log");
        models = qemu_caps_cpu_models(caps, &n);
        *ret = arena_new_array(arena, const char *, n);
        for (size_t i = 0; i < n; i++)
                (*ret)[i] = models[i].name;
        *ret_n = n;
        return 0;
}

void qemu_cpu_features(Driver *driver, CpuFeatures *ret)
{
        const QemuCaps *caps = qemu_driver(driver)->caps;

        if (!caps)
                return;
        *ret = (CpuFeatures){ 0 };
        for (const char *const *name = qemu_caps_host_features(caps); *name; name++) {
                for (unsigned i = 0; i < N_CPU_FEATURES; i++) {
                        if (str_eq(cpu_feature_names[i], *name))
                                ret->words[i / 64] |= UINT64_C(1) << i % 64;
                }
        }
}

/* What the machine receives from the tap, the guest has sent. */
int qemu_interface_stats(const Domain *dom UNUSED, const InterfaceDef *interface, NetStats *ret, Error *err)
{
        NetStats s;

        if (!interface->target_dev)
                return err_set(err, ERR_OPERATION_INVALID, "this interface has no device on the host to count at");
        if (net_link_stats(interface->target_dev, &s, err) < 0)
                return -1;
        *ret = (NetStats){ .rx_bytes = s.tx_bytes,
                           .rx_packets = s.tx_packets,
                           .rx_errs = s.tx_errs,
                           .rx_drop = s.tx_drop,
                           .tx_bytes = s.rx_bytes,
                           .tx_packets = s.rx_packets,
                           .tx_errs = s.rx_errs,
                           .tx_drop = s.rx_drop };
        return 0;
}
