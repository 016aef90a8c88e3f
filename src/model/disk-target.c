/*
 * model/disk-target.c - what the name of a disk says
 *
 * 'vdb' is the second disk on virtio, 'sdaa' the twenty-seventh on SCSI.
 */
#include "model/complete.h"

#include "base/str.h"

static const struct {
        const char *prefix;
        DiskBus bus;
} prefixes[] = {
        { "hd", DISK_BUS_IDE },  { "sd", DISK_BUS_SCSI },   { "vd", DISK_BUS_VIRTIO },  { "fd", DISK_BUS_FDC },
        { "xvd", DISK_BUS_XEN }, { "ubd", DISK_BUS_UNSET }, { "nvme", DISK_BUS_UNSET },
};

static size_t prefix_of(const char *target)
{
        for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
                if (target && str_starts(target, prefixes[i].prefix))
                        return i;
        }
        return ARRAY_LEN(prefixes);
}

DiskBus disk_bus_of_target(const char *target)
{
        size_t i = prefix_of(target);

        return i < ARRAY_LEN(prefixes) ? prefixes[i].bus : DISK_BUS_UNSET;
}

int disk_target_index(const char *target)
{
        size_t i = prefix_of(target);
        const char *letters;
        int n = 0;

        if (i == ARRAY_LEN(prefixes))
                return -1;
        letters = target + strlen(prefixes[i].prefix);
        for (const char *c = letters; *c; c++) {
                if (*c < 'a' || *c > 'z' || c - letters > 3)
                        return -1;
                n = n * 26 + (*c - 'a' + 1);
        }
        return n - 1;
}
