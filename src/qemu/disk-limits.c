/*
 * qemu/disk-limits.c - the limits of a disk, as QEMU takes them
 */
#include "qemu/disk-limits.h"

#include "qemu/command-line.h"

/* QEMU counts bursts from one second on. */
QmpCall *disk_limits_set(QmpClient *qmp, const DiskDef *disk, void (*done)(void *arg, const Error *failure),
                         void *arg)
{
        const IotuneDef *t = disk->iotune;
        AUTOFREE char *device = qemu_disk_qdev(disk);
        QmpBlockSetIoThrottle args = {
                .id = device,
                .group = t->group_name ?: disk->info.alias,
                .bps = t->total_bytes_sec,
                .bps_rd = t->read_bytes_sec,
                .bps_wr = t->write_bytes_sec,
                .iops = t->total_iops_sec,
                .iops_rd = t->read_iops_sec,
                .iops_wr = t->write_iops_sec,
        };
        const struct {
                uint64_t value;
                bool *has;
                uint64_t *slot;
        } rows[] = {
                { t->total_bytes_sec_max, &args.has_bps_max, &args.bps_max },
                { t->read_bytes_sec_max, &args.has_bps_rd_max, &args.bps_rd_max },
                { t->write_bytes_sec_max, &args.has_bps_wr_max, &args.bps_wr_max },
                { t->total_iops_sec_max, &args.has_iops_max, &args.iops_max },
                { t->read_iops_sec_max, &args.has_iops_rd_max, &args.iops_rd_max },
                { t->write_iops_sec_max, &args.has_iops_wr_max, &args.iops_wr_max },
                { t->total_bytes_sec_max_length, &args.has_bps_max_length, &args.bps_max_length },
                { t->read_bytes_sec_max_length, &args.has_bps_rd_max_length, &args.bps_rd_max_length },
                { t->write_bytes_sec_max_length, &args.has_bps_wr_max_length, &args.bps_wr_max_length },
                { t->total_iops_sec_max_length, &args.has_iops_max_length, &args.iops_max_length },
                { t->read_iops_sec_max_length, &args.has_iops_rd_max_length, &args.iops_rd_max_length },
                { t->write_iops_sec_max_length, &args.has_iops_wr_max_length, &args.iops_wr_max_length },
                { t->size_iops_sec, &args.has_iops_size, &args.iops_size },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                *rows[i].has = rows[i].value != 0;
                *rows[i].slot = rows[i].value;
        }
        return qmp_block_set_io_throttle(qmp, &args, done, arg);
}
