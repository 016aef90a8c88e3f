/*
 * daemon/migrate-check.c - what must hold before a guest may move
 */
#include "daemon/migrate-check.h"

#include "base/log.h"
#include "base/str.h"
#include "daemon/migrate-disks.h"
#include "daemon/network.h"
#include "daemon/nwfilter.h"
#include "daemon/pool.h"
#include "host/file-system.h"
#include "host/net.h"
#include "host/shared-device.h"
#include "host/userfaultfd.h"
#include "model/cpu.h"
#include "model/device.h"

/* Problems, as one sentence that lists them. */
typedef struct Problems {
        Buf text;
        ErrCode code; /* of the first */
} Problems;

static void problem(Problems *p, ErrCode code, const char *fmt, ...) PRINTF(3, 4);
static void problem(Problems *p, ErrCode code, const char *fmt, ...)
{
        va_list ap;

        if (p->text.len)
                buf_put_text(&p->text, "; ");
        else
                p->code = code;
        va_start(ap, fmt);
        buf_vformat(&p->text, fmt, ap);
        va_end(ap);
}

static int settle(Problems *p, Error *err)
{
        AUTO(Buf) text = p->text;

        return text.len ? err_set(err, p->code, "%s", buf_text(&text)) : 0;
}

static bool is_listed(const ParamTexts *disks, const char *target)
{
        for (uint32_t i = 0; i < disks->n; i++) {
                if (str_eq(disks->items[i], target))
                        return true;
        }
        return false;
}

/* A disk that the copy-storage flags leave behind: it must be the same one on both hosts. */
static bool stays_behind(const DiskDef *disk, uint32_t flags, const MigrateParams *params)
{
        if (disk->device == DISK_DEVICE_CDROM || disk->device == DISK_DEVICE_FLOPPY || disk->readonly)
                return false;
        if (!(flags & MIGRATE_COPIES_DISKS))
                return true;
        if (params->disks.n)
                return !is_listed(&params->disks, disk->target_dev);
        return disk->shareable;
}

/* MIG-16, CON-62: strict is the guide's rule; auto trusts QEMU to drop its cache at the switch-over. */
static void check_cache(const DiskDef *disk, const Config *config, Problems *p)
{
        bool direct = disk->cache == DISK_CACHE_NONE || disk->cache == DISK_CACHE_DIRECTSYNC;

        if (str_eq(config->migration_cache_check, "strict") && !direct && !disk->shareable)
                problem(p, ERR_MIGRATE_UNSAFE, "disk '%s' is cached by this host; use cache='none', or --unsafe",
                        disk->target_dev);
        else if (disk->cache == DISK_CACHE_UNSAFE)
                problem(p, ERR_MIGRATE_UNSAFE,
                        "disk '%s' has cache='unsafe', which loses writes; use --unsafe to move anyway",
                        disk->target_dev);
}

/* A disk on a server is where it is for both hosts; others have a path. */
static bool is_shared(const DiskDef *disk)
{
        if (disk->type != DISK_TYPE_FILE && disk->type != DISK_TYPE_BLOCK && disk->type != DISK_TYPE_VOLUME)
                return true;
        return !disk->source.path || file_system_is_shared(disk->source.path) ||
               block_device_is_shared(disk->source.path);
}

/* MIG-15; MIG-20: where this host is the server, the guest needs it after it has left. */
static void check_place(const DiskDef *disk, Problems *p)
{
        if (is_shared(disk))
                return;
        problem(p, ERR_MIGRATE_UNSAFE,
                "disk '%s' (%s) is not on shared storage%s; copy it with --copy-storage-all, or use --unsafe "
                "if both hosts do see the same image there",
                disk->target_dev, disk->source.path,
                file_system_is_exported(disk->source.path)
                        ? " but on this host, which exports it: the guest would need both hosts from now on"
                        : "");
}

static void check_disks(const DomainDef *def, uint32_t flags, const MigrateParams *params, const Config *config,
                        Problems *p)
{
        for (uint32_t i = 0; i < params->disks.n; i++) {
                if (!domain_def_find_disk(def, params->disks.items[i]))
                        problem(p, ERR_INVALID_ARG, "--migrate-disks: there is no disk '%s'", params->disks.items[i]);
        }
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *disk = def->disks[i];

                if (!stays_behind(disk, flags, params))
                        continue;
                if (!(flags & VIR_MIGRATE_UNSAFE)) {
                        check_place(disk, p);
                        check_cache(disk, config, p);
                } else if (!is_shared(disk) && file_system_is_exported(disk->source.path)) {
                        log_warning(
                                "guest '%s' moves away from disk '%s' (%s), which this host exports: it needs both "
                                "hosts from now on",
                                def->name, disk->target_dev, disk->source.path);
                }
        }
}

int migrate_check_source(const Domain *dom, uint32_t flags, const MigrateParams *params, Error *err)
{
        const DomainDef *def = domain_def(dom);
        Problems p = { 0 };

        if (flags & VIR_MIGRATE_OFFLINE) {
                if (!dom->persistent)
                        problem(&p, ERR_OPERATION_INVALID, "guest '%s' is transient: there is no definition to move",
                                dom->name);
                return settle(&p, err);
        }
        if (!domain_is_active(dom)) {
                problem(&p, ERR_OPERATION_INVALID,
                        "domain '%s' is not running; move its definition with --offline --persistent", dom->name);
                return settle(&p, err);
        }
        if (flags & VIR_MIGRATE_UNDEFINE_SOURCE && !dom->persistent)
                flags &= ~(uint32_t)VIR_MIGRATE_UNDEFINE_SOURCE;
        for (uint32_t i = 0; i < def->n_hostdevs; i++)
                problem(&p, ERR_OPERATION_INVALID, "a host device is assigned to the guest; it cannot move along");
        for (uint32_t i = 0; i < def->n_redirdevs; i++) /* MIG-26 */
                log_warning(
                        "guest '%s' moves with a USB device that is redirected to it: it may lose the device, or see it "
                        "plugged in again",
                        dom->name);
        /* clients keep this flag from the destination, so that it can be missed here only */
        if ((params->throttle_initial || params->throttle_increment) && !(flags & VIR_MIGRATE_AUTO_CONVERGE))
                problem(&p, ERR_INVALID_ARG,
                        "--auto-converge-initial and --auto-converge-increment need --auto-converge");
        check_disks(def, flags, params, dom->driver->daemon->config, &p);
        return settle(&p, err);
}

void migrate_tell_disks(const DomainDef *def, uint32_t flags, const MigrateParams *params, MigrateCookie *ret)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *disk = def->disks[i];
                char *identity = disk->source.path && stays_behind(disk, flags, params)
                                         ? block_device_identity(disk->source.path)
                                         : NULL;

                if (identity)
                        vec_push(&ret->disks, ((MigrateDisk){ str_dup(disk->target_dev), identity }));
        }
}

/* Whether QEMU was asked what it can give to such a guest: it was about the accelerator that this host has. */
static bool tells_of(const QemuCaps *caps, const DomainDef *def)
{
        return qemu_caps_has_kvm(caps) == (def->type == DOMAIN_TYPE_KVM) && *qemu_caps_host_features(caps);
}

void migrate_tell_cpu(const Domain *dom, MigrateCookie *ret)
{
        const QemuCaps *caps = qemu_driver(dom->driver)->caps;
        const DomainDef *def = domain_def(dom);
        AUTO(Buf) names = { 0 };
        CpuFeatures set;

        if (!caps || !def->cpu || !tells_of(caps, def))
                return;
        cpu_features_of_guest(def->cpu, &set);
        for (const char *const *name = qemu_caps_host_features(caps); *name; name++) {
                int n = cpu_feature_find(*name);

                if (n >= 0 && cpu_has(&set, (unsigned)n))
                        buf_format(&names, "%s%s", names.len ? " " : "", *name);
        }
        if (names.len)
                ret->cpu = str_dup(buf_text(&names));
}

/* QEMU itself only warns, and the guest finds parts of its CPU gone. */
static void check_cpu(const QemuCaps *caps, const DomainDef *def, const MigrateCookie *from, Problems *p)
{
        AUTO_STRLIST names = str_split(from->cpu ?: "", " ");
        AUTO(Buf) lacks = { 0 };

        for (size_t i = 0; names[i] && tells_of(caps, def); i++) {
                const char *const *here = qemu_caps_host_features(caps);

                while (*here && !str_eq(*here, names[i]))
                        here++;
                if (names[i][0] && !*here)
                        buf_format(&lacks, "%s%s", lacks.len ? ", " : "", names[i]);
        }
        if (lacks.len)
                problem(p, ERR_CPU_INCOMPATIBLE, "the guest's CPU has what QEMU cannot give it here: %s",
                        buf_text(&lacks));
}

/* One path may lead to two disks. What either host cannot tell is not compared. */
static void check_same_disks(const DomainDef *def, const MigrateCookie *from, Problems *p)
{
        for (size_t i = 0; i < from->disks.len; i++) {
                const MigrateDisk *there = &from->disks.items[i];
                const DiskDef *disk = domain_def_find_disk(def, there->target);
                AUTOFREE char *here = disk && disk->source.path ? block_device_identity(disk->source.path) : NULL;

                if (here && block_device_identities_differ(here, there->identity))
                        problem(p, ERR_MIGRATE_UNSAFE,
                                "disk '%s' (%s) is '%s' here and '%s' on the host that the guest comes from; give the "
                                "same unit the same path on both, or use --unsafe",
                                there->target, disk->source.path, here, there->identity);
        }
}

/* What its interfaces are connected to, and filtered by. */
static void check_interfaces(Driver *driver, const DomainDef *def, Problems *p)
{
        for (uint32_t i = 0; i < def->n_interfaces; i++) {
                const InterfaceDef *nic = def->interfaces[i];
                const Network *network = nic->type == INTERFACE_TYPE_NETWORK ? network_find(driver, nic->network)
                                                                             : NULL;

                if (nic->type == INTERFACE_TYPE_BRIDGE && !net_link_is_bridge(nic->bridge))
                        problem(p, ERR_OPERATION_FAILED, "there is no bridge '%s' here", nic->bridge);
                if (nic->type == INTERFACE_TYPE_NETWORK && !network)
                        problem(p, ERR_NO_NETWORK, "there is no network '%s' here", nic->network);
                else if (network && !network->active)
                        problem(p, ERR_OPERATION_INVALID, "network '%s' is not active here", nic->network);
                if (nic->filterref && !nw_filters_find(driver->nwfilters, nic->filterref->filter))
                        problem(p, ERR_NO_NWFILTER, "there is no network filter '%s' here", nic->filterref->filter);
        }
}

/* MIG-69: images in pools are those that an administrator can see to. */
static void tell_pools(const Driver *driver, const DomainDef *def)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *disk = def->disks[i];
                Pool *pool;

                if (!disk->source.path || disk->device == DISK_DEVICE_CDROM || disk->device == DISK_DEVICE_FLOPPY)
                        continue;
                if (storage_find_volume(driver->storage, NULL, disk->source.path, &pool))
                        log_info("guest '%s' moves in: disk '%s' (%s) is in pool '%s'", def->name, disk->target_dev,
                                 disk->source.path, pool->name);
                else
                        log_warning("guest '%s' moves in: disk '%s' (%s) is in no storage pool of this host",
                                    def->name, disk->target_dev, disk->source.path);
        }
}

/* "9.0" */
static bool read_version(const char *text, uint64_t *major, uint64_t *minor)
{
        AUTO_STRLIST parts = str_split(text, ".");

        return str_list_len(parts) >= 2 && str_to_u64(parts[0], major) == 0 && str_to_u64(parts[1], minor) == 0;
}

/*
 * MIG-24: what makes an older or newer host fit is the machine type, whose devices and stream both QEMUs must know. One
 * says its version at its end: "pc-i440fx-9.0".
 */
static void check_machine(const QemuCaps *caps, const char *machine, Problems *p)
{
        uint64_t own = qemu_caps_version(caps), major, minor;
        unsigned own_major = (unsigned)(own / 1000000), own_minor = (unsigned)(own / 1000 % 1000);
        const char *version = machine ? strrchr(machine, '-') : NULL;
        const char *why = "";

        if (qemu_caps_find_machine(caps, machine))
                return;
        if (version && read_version(version + 1, &major, &minor))
                why = major > own_major || (major == own_major && minor > own_minor)
                              ? ": it came with a later QEMU. Update QEMU here, or start the guest with an older machine"
                              : ": it is of an older QEMU and was dropped since. Start the guest with a newer machine";
        problem(p, ERR_CONFIG_UNSUPPORTED, "QEMU %u.%u.%u here has no machine '%s'%s", own_major, own_minor,
                (unsigned)(own % 1000), machine, why);
}

int migrate_check_destination(Driver *driver, DomainDef *def, uint32_t flags, const MigrateCookie *from, Error *err)
{
        const QemuDriver *qemu = qemu_driver(driver);
        Problems p = { 0 };
        AUTO(Error) why = { 0 };

        if (!qemu->caps) {
                problem(&p, ERR_CONFIG_UNSUPPORTED, "there is no usable QEMU here");
        } else {
                check_machine(qemu->caps, def->os.machine, &p);
                if (def->type == DOMAIN_TYPE_KVM && !qemu_caps_has_kvm(qemu->caps))
                        problem(&p, ERR_CONFIG_UNSUPPORTED, "KVM cannot be used here");
                check_cpu(qemu->caps, def, from, &p);
        }
        check_interfaces(driver, def, &p);
        if (volume_disks_resolve(driver->storage, def, &why) < 0)
                problem(&p, why.code, "%s", why.text);
        if (!(flags & VIR_MIGRATE_UNSAFE))
                check_same_disks(def, from, &p);
        if (flags & VIR_MIGRATE_POSTCOPY && !userfaultfd_is_allowed(&qemu->env.user))
                problem(&p, ERR_CONFIG_UNSUPPORTED,
                        "post-copy needs userfaultfd, which this kernel keeps from QEMU's user; set "
                        "vm.unprivileged_userfaultfd = 1 (sysctl)");
        if (settle(&p, err) < 0)
                return -1;
        tell_pools(driver, def);
        return 0;
}
