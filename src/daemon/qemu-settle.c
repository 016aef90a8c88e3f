/*
 * daemon/qemu-settle.c - devices that came or went while no daemon looked
 *
 * The status of a guest names a device before QEMU is given the first part of it, and until QEMU has told that the
 * last is gone. So a device that QEMU does not have when its guest is found again was never plugged in, or was let go
 * of meanwhile: what there is of it - images, the other end of a network - is taken away.
 */
#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/qemu-plug.h"

typedef VEC(char *) Names;

static void names_done(Names *names)
{
        for (size_t i = 0; i < names->len; i++)
                free(names->items[i]);
        vec_done(names);
}
DEFINE_AUTO_VALUE(Names, names_done)

static bool has(const QmpObjectProperty *list, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++) {
                if (str_eq(list[i].name, name))
                        return true;
        }
        return false;
}

/* QEMU would have an object of this name for it. */
static bool has_object(const DomainDef *def, DeviceKind kind, const void *device, const char *alias)
{
        AUTO(QemuParts) parts = { 0 };
        bool found = false;

        if (qemu_plug_parts(def, "", kind, device, &parts, NULL) < 0)
                return false;
        for (size_t i = 0; i < parts.items.len; i++)
                found = found ||
                        (parts.items.items[i].kind == QEMU_PART_DEVICE && str_eq(parts.items.items[i].id, alias));
        return found;
}

static void find_missing(const DomainDef *def, const QmpObjectProperty *there, size_t n, Names *ret)
{
        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                        void *device = domain_def_device(def, kind, i);
                        const DeviceInfo *info = device_info(kind, device);

                        if (info && info->alias && !has(there, n, info->alias) &&
                            has_object(def, kind, device, info->alias))
                                vec_push(ret, str_dup(info->alias));
                }
        }
}

static void on_listed(void *arg, const QmpObjectProperty *there, size_t n, const Error *failure)
{
        QemuRun *run = arg;
        AUTO(Names) missing = { 0 };

        if (failure || !run->dom->live)
                return;
        find_missing(run->dom->live, there, n, &missing);
        for (size_t i = 0; i < missing.len; i++) {
                log_info("guest '%s' has no device '%s' any more", run->dom->name, missing.items[i]);
                qemu_device_gone(run, missing.items[i]);
        }
}

void qemu_settle_devices(QemuRun *run)
{
        QmpClient *qmp = guest_qmp(run->guest);

        if (qmp)
                qmp_qom_list(qmp, &(QmpQomList){ .path = "/machine/peripheral" }, on_listed, run);
}
