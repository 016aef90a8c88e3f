/*
 * model/complete-disks.c - defaults and rules of disks (DOM-16 to DOM-24)
 */
#include "model/complete-internal.h"

#include "base/str.h"

static bool is_xen_driver(const char *name)
{
        static const char *const names[] = { "tap", "tap2", "file", "phy" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                if (str_eq(name, names[i]))
                        return true;
        }
        return false;
}

static int complete_driver(DiskDef *disk, Error *err)
{
        if (is_xen_driver(disk->driver_name) || disk->format == DISK_FORMAT_AIO)
                return err_set(
                        err, ERR_CONFIG_UNSUPPORTED,
                        "disk '%s': <driver name='%s'%s> is Xen's; for QEMU write name='qemu' and the format of "
                        "the image as type, like type='raw'",
                        disk->target_dev, disk->driver_name ?: "",
                        disk->format == DISK_FORMAT_AIO ? " type='aio'" : "");
        if (disk->driver_name && !str_eq(disk->driver_name, "qemu"))
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "disk '%s': there is no driver '%s', only 'qemu'",
                               disk->target_dev, disk->driver_name);
        disk->driver_name = "qemu";
        /* Never guessed from the image: a guest could write a header that names a file of the host. */
        if (!disk->format && disk->type != DISK_TYPE_VOLUME)
                disk->format = DISK_FORMAT_RAW;
        if (disk->io == DISK_IO_NATIVE && disk->cache && disk->cache != DISK_CACHE_NONE &&
            disk->cache != DISK_CACHE_DIRECTSYNC)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "disk '%s': io='native' needs cache='none' or 'directsync', not '%s'",
                               disk->target_dev, disk_cache_text(disk->cache));
        return 0;
}

static DiskBus default_bus(const DomainDef *def, const DiskDef *disk)
{
        DiskBus bus = disk_bus_of_target(disk->target_dev);

        if (disk->device == DISK_DEVICE_FLOPPY)
                return DISK_BUS_FDC;
        /* There is no IDE on q35: what would be there goes to SATA. */
        if (bus == DISK_BUS_IDE && machine_kind(def) == MACHINE_Q35)
                return DISK_BUS_SATA;
        return bus;
}

static int check_bus(const DomainDef *def, const DiskDef *disk, Error *err)
{
        bool is_floppy = disk->device == DISK_DEVICE_FLOPPY;

        if (!disk->target_bus)
                return err_set(err, ERR_XML, "disk '%s': the name implies no bus; write one like bus='virtio'",
                               disk->target_dev);
        if (is_floppy != (disk->target_bus == DISK_BUS_FDC))
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "disk '%s': a %s cannot be on bus '%s'", disk->target_dev,
                               disk_device_text(disk->device), disk_bus_text(disk->target_bus));
        if (disk->device == DISK_DEVICE_CDROM && disk->target_bus == DISK_BUS_VIRTIO)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "disk '%s': a cdrom cannot be on bus 'virtio'; use 'sata' or 'scsi'",
                               disk->target_dev);
        if (disk->target_bus == DISK_BUS_XEN && def->type != DOMAIN_TYPE_XEN)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "disk '%s': bus 'xen' is for Xen guests",
                               disk->target_dev);
        if (disk->target_bus == DISK_BUS_IDE && machine_kind(def) == MACHINE_Q35)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "disk '%s': machine '%s' has no IDE controller; use bus 'sata'", disk->target_dev,
                               def->os.machine);
        if (disk_target_index(disk->target_dev) < 0)
                return err_set(err, ERR_XML, "disk '%s': the name of a target is like vda, sdb or hdc",
                               disk->target_dev);
        if (disk->device == DISK_DEVICE_LUN && disk->target_bus != DISK_BUS_SCSI &&
            disk->target_bus != DISK_BUS_VIRTIO)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "disk '%s': a lun is on bus 'scsi' or 'virtio'",
                               disk->target_dev);
        return 0;
}

static int check_source(const DiskDef *disk, Error *err)
{
        bool removable = disk->device == DISK_DEVICE_CDROM || disk->device == DISK_DEVICE_FLOPPY;
        const IotuneDef *tune = disk->iotune;

        if (!removable && !disk->source.path && (disk->type == DISK_TYPE_FILE || disk->type == DISK_TYPE_BLOCK))
                return err_set(err, ERR_XML, "disk '%s' has no source", disk->target_dev);
        /* clients that eject a medium leave the type and take the source away */
        if (disk->type == DISK_TYPE_VOLUME && (!disk->source.pool || !disk->source.volume) &&
            (!removable || disk->source.pool || disk->source.volume))
                return err_set(err, ERR_XML, "disk '%s': a source of type 'volume' needs pool and volume",
                               disk->target_dev);
        if (tune && ((tune->total_bytes_sec && (tune->read_bytes_sec || tune->write_bytes_sec)) ||
                     (tune->total_iops_sec && (tune->read_iops_sec || tune->write_iops_sec))))
                return err_set(err, ERR_XML, "disk '%s': a total limit excludes limits on reads or writes",
                               disk->target_dev);
        return 0;
}

static int check_clashes(const DomainDef *def, uint32_t i, Error *err)
{
        const DiskDef *disk = def->disks[i];

        for (uint32_t j = 0; j < i; j++) {
                const DiskDef *other = def->disks[j];

                if (str_eq(disk->target_dev, other->target_dev))
                        return err_set(err, ERR_XML, "two disks have the target '%s'", disk->target_dev); /* DOM-23 */
                if (disk->serial && str_eq(disk->wwn, other->wwn) && disk->wwn && str_eq(disk->serial, other->serial))
                        return err_set(err, ERR_XML, "disks '%s' and '%s' have the same wwn and serial",
                                       disk->target_dev, other->target_dev);
        }
        return 0;
}

int complete_disks(DomainDef *def, Error *err)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                DiskDef *disk = def->disks[i];

                if (!disk->target_bus)
                        disk->target_bus = default_bus(def, disk);
                if (check_clashes(def, i, err) < 0)
                        return -1;
                if (def->type == DOMAIN_TYPE_XEN)
                        continue;
                if (check_bus(def, disk, err) < 0 || complete_driver(disk, err) < 0 || check_source(disk, err) < 0)
                        return -1;
                if (disk->iothread) {
                        bool known = false;

                        for (uint32_t j = 0; j < def->n_iothreads; j++)
                                known = known || def->iothreads[j]->id == disk->iothread;
                        if (!known)
                                return err_set(err, ERR_XML, "disk '%s': there is no I/O thread %u", disk->target_dev,
                                               disk->iothread);
                }
        }
        return 0;
}
