/*
 * host/cgroup-limits.c - weights, quotas and limits of a group, and what it used
 */
#include "host/cgroup-private.h"

#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MOST_TEXT = 1 << 16 };

static int absent(CgroupController controller, Error *err)
{
        return err_set(err, ERR_OPERATION_UNSUPPORTED, "this host has no cgroup controller '%s' for guests",
                       cgroup_controller_name(controller));
}

static int put(Cgroup *cgroup, CgroupController controller, const char *v1, const char *v2, const char *text,
               Error *err)
{
        AUTOFREE char *path = cgroup_file(cgroup, controller, v1, v2);

        if (!path || access(path, F_OK) < 0)
                return absent(controller, err);
        return cgroup_put(path, text, err);
}

static int put_number(Cgroup *cgroup, CgroupController controller, const char *v1, const char *v2, uint64_t value,
                      Error *err)
{
        AUTOFREE char *text = str_format("%" PRIu64, value);

        return put(cgroup, controller, v1, v2, text, err);
}

static int get(const Cgroup *cgroup, CgroupController controller, const char *v1, const char *v2, Buf *ret,
               Error *err)
{
        AUTOFREE char *path = cgroup_file(cgroup, controller, v1, v2);

        if (!path || access(path, F_OK) < 0)
                return absent(controller, err);
        if (file_read(path, MOST_TEXT, ret, err) < 0)
                return -1;
        if (ret->len > 0 && ret->data[ret->len - 1] == '\n')
                ret->data[--ret->len] = '\0';
        return 0;
}

/* A number, or "max". v1 says no limit with a number close to 2^63. */
static uint64_t read_limit(const char *text)
{
        uint64_t value;

        return str_to_u64(text, &value) < 0 || value >= UINT64_C(1) << 62 ? CGROUP_NO_LIMIT : value;
}

static int get_limit(const Cgroup *cgroup, CgroupController controller, const char *v1, const char *v2, uint64_t *ret,
                     Error *err)
{
        AUTO(Buf) text = { 0 };

        if (get(cgroup, controller, v1, v2, &text, err) < 0)
                return -1;
        *ret = read_limit(buf_text(&text));
        return 0;
}

int cgroup_set_cpu_shares(Cgroup *cgroup, uint64_t shares, Error *err)
{
        uint64_t least = cgroup_is_v2(cgroup, CGROUP_CPU) ? 1 : 2;
        uint64_t most = cgroup_is_v2(cgroup, CGROUP_CPU) ? 10000 : 262144;

        if (shares < least || shares > most)
                return err_set(err, ERR_INVALID_ARG, "cpu_shares %" PRIu64 " is not between %" PRIu64 " and %" PRIu64,
                               shares, least, most);
        return put_number(cgroup, CGROUP_CPU, "cpu.shares", "cpu.weight", shares, err);
}

int cgroup_get_cpu_shares(const Cgroup *cgroup, uint64_t *ret, Error *err)
{
        return get_limit(cgroup, CGROUP_CPU, "cpu.shares", "cpu.weight", ret, err);
}

int cgroup_set_cpu_quota(Cgroup *cgroup, uint64_t period_us, int64_t quota_us, Error *err)
{
        AUTOFREE char *quota = quota_us < 0 ? NULL : str_format("%" PRId64, quota_us);

        if (period_us < 1000 || period_us > 1000000)
                return err_set(err, ERR_INVALID_ARG, "the CPU period %" PRIu64 " is not between 1000 and 1000000 us",
                               period_us);
        if (quota_us >= 0 && quota_us < 1000)
                return err_set(err, ERR_INVALID_ARG, "the CPU quota %" PRId64 " is below 1000 us", quota_us);
        if (cgroup_is_v2(cgroup, CGROUP_CPU)) {
                AUTOFREE char *text = str_format("%s %" PRIu64, quota ?: "max", period_us);

                return put(cgroup, CGROUP_CPU, NULL, "cpu.max", text, err);
        }
        if (put_number(cgroup, CGROUP_CPU, "cpu.cfs_period_us", NULL, period_us, err) < 0)
                return -1;
        return put(cgroup, CGROUP_CPU, "cpu.cfs_quota_us", NULL, quota ?: "-1", err);
}

int cgroup_get_cpu_quota(const Cgroup *cgroup, uint64_t *period_us, int64_t *quota_us, Error *err)
{
        AUTO(Buf) first = { 0 }, second = { 0 };
        char quota[32];

        if (get(cgroup, CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max", &first, err) < 0)
                return -1;
        if (cgroup_is_v2(cgroup, CGROUP_CPU)) {
                if (sscanf(buf_text(&first), "%31s %" SCNu64, quota, period_us) != 2)
                        return err_set(err, ERR_INTERNAL, "cpu.max reads '%s'", buf_text(&first));
                if (str_to_i64(quota, quota_us) < 0)
                        *quota_us = -1;
                return 0;
        }
        if (get(cgroup, CGROUP_CPU, "cpu.cfs_period_us", NULL, &second, err) < 0)
                return -1;
        if (str_to_i64(buf_text(&first), quota_us) < 0 || str_to_u64(buf_text(&second), period_us) < 0)
                return err_set(err, ERR_INTERNAL, "the CPU quota of the group cannot be read");
        return 0;
}

int cgroup_set_cpus(Cgroup *cgroup, const Bitmap *cpus, Error *err)
{
        AUTOFREE char *text = bitmap_format(cpus);

        return put(cgroup, CGROUP_CPUSET, "cpuset.cpus", "cpuset.cpus", text, err);
}

int cgroup_set_mems(Cgroup *cgroup, const Bitmap *cells, Error *err)
{
        AUTOFREE char *text = bitmap_format(cells);

        return put(cgroup, CGROUP_CPUSET, "cpuset.mems", "cpuset.mems", text, err);
}

static int put_limit(Cgroup *cgroup, const char *v1, const char *v2, uint64_t value, Error *err)
{
        if (value == CGROUP_NO_LIMIT)
                return put(cgroup, CGROUP_MEMORY, v1, v2, cgroup_is_v2(cgroup, CGROUP_MEMORY) ? "max" : "-1", err);
        return put_number(cgroup, CGROUP_MEMORY, v1, v2, value, err);
}

static int put_swap(Cgroup *cgroup, const CgroupMemory *limits, Error *err)
{
        uint64_t swap = limits->swap_hard;

        /* v2 limits swap alone, v1 memory and swap together */
        if (cgroup_is_v2(cgroup, CGROUP_MEMORY) && swap != CGROUP_NO_LIMIT)
                swap -= MIN(limits->hard, swap);
        return put_limit(cgroup, "memory.memsw.limit_in_bytes", "memory.swap.max", swap, err);
}

/* v1 keeps memory <= memory+swap at every moment, so the order depends on whether the limits grow. */
int cgroup_set_memory(Cgroup *cgroup, const CgroupMemory *limits, Error *err)
{
        CgroupMemory now;
        bool grows;

        if (limits->swap_hard < limits->hard)
                return err_set(err, ERR_INVALID_ARG, "swap_hard_limit is below hard_limit");
        if (cgroup_get_memory(cgroup, &now, err) < 0)
                return -1;
        grows = limits->swap_hard > now.swap_hard;
        if (grows && put_swap(cgroup, limits, err) < 0)
                return -1;
        if (limits->hard != now.hard &&
            put_limit(cgroup, "memory.limit_in_bytes", "memory.max", limits->hard, err) < 0)
                return -1;
        if (limits->soft != now.soft &&
            put_limit(cgroup, "memory.soft_limit_in_bytes", "memory.high", limits->soft, err) < 0)
                return -1;
        return !grows && limits->swap_hard != now.swap_hard ? put_swap(cgroup, limits, err) : 0;
}

int cgroup_get_memory(const Cgroup *cgroup, CgroupMemory *ret, Error *err)
{
        CgroupMemory is = { .swap_hard = CGROUP_NO_LIMIT };

        if (get_limit(cgroup, CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max", &is.hard, err) < 0 ||
            get_limit(cgroup, CGROUP_MEMORY, "memory.soft_limit_in_bytes", "memory.high", &is.soft, err) < 0)
                return -1;
        /* kernels without swap accounting lack this file */
        get_limit(cgroup, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max", &is.swap_hard, NULL);
        if (cgroup_is_v2(cgroup, CGROUP_MEMORY) && is.swap_hard != CGROUP_NO_LIMIT)
                is.swap_hard = is.hard == CGROUP_NO_LIMIT ? CGROUP_NO_LIMIT : is.swap_hard + is.hard;
        *ret = is;
        return 0;
}

/* The scheduler of the disks decides which of these files exists. */
static const struct {
        const char *v1, *v2;
} weight_files[] = { { "blkio.weight", "io.weight" }, { "blkio.bfq.weight", "io.bfq.weight" } };

static int find_weight(const Cgroup *cgroup, size_t *ret, Error *err)
{
        for (size_t i = 0; i < ARRAY_LEN(weight_files); i++) {
                AUTOFREE char *path = cgroup_file(cgroup, CGROUP_BLKIO, weight_files[i].v1, weight_files[i].v2);

                if (path && access(path, F_OK) == 0) {
                        *ret = i;
                        return 0;
                }
        }
        return err_set(err, ERR_OPERATION_UNSUPPORTED,
                       "this host cannot weigh the I/O of guests (cgroup controller 'blkio', no weight)");
}

int cgroup_set_io_weight(Cgroup *cgroup, uint64_t weight, Error *err)
{
        AUTOFREE char *text = str_format(cgroup_is_v2(cgroup, CGROUP_BLKIO) ? "default %" PRIu64 : "%" PRIu64,
                                         weight);
        size_t i;

        if (weight < 10 || weight > 1000)
                return err_set(err, ERR_INVALID_ARG, "the I/O weight %" PRIu64 " is not between 10 and 1000", weight);
        if (find_weight(cgroup, &i, err) < 0)
                return -1;
        return put(cgroup, CGROUP_BLKIO, weight_files[i].v1, weight_files[i].v2, text, err);
}

int cgroup_get_io_weight(const Cgroup *cgroup, uint64_t *ret, Error *err)
{
        AUTO(Buf) text = { 0 };
        const char *at;
        size_t i;

        if (find_weight(cgroup, &i, err) < 0 ||
            get(cgroup, CGROUP_BLKIO, weight_files[i].v1, weight_files[i].v2, &text, err) < 0)
                return -1;
        at = buf_text(&text);
        at += str_starts(at, "default ") ? strlen("default ") : 0;
        if (sscanf(at, "%" SCNu64, ret) != 1)
                return err_set(err, ERR_INTERNAL, "the I/O weight reads '%s'", at);
        return 0;
}

int cgroup_set_io_device_weight(Cgroup *cgroup, dev_t device, uint64_t weight, Error *err)
{
        AUTOFREE char *text = str_format("%u:%u %" PRIu64, major(device), minor(device), weight);

        return put(cgroup, CGROUP_BLKIO, "blkio.weight_device", "io.weight", text, err);
}

static char *limit_text(uint64_t value)
{
        return value ? str_format("%" PRIu64, value) : str_dup("max");
}

int cgroup_set_io_throttle(Cgroup *cgroup, dev_t device, const CgroupThrottle *limits, Error *err)
{
        const struct {
                const char *v1;
                uint64_t value;
        } rows[] = {
                { "blkio.throttle.read_bps_device", limits->read_bytes },
                { "blkio.throttle.write_bps_device", limits->write_bytes },
                { "blkio.throttle.read_iops_device", limits->read_ops },
                { "blkio.throttle.write_iops_device", limits->write_ops },
        };

        if (cgroup_is_v2(cgroup, CGROUP_BLKIO)) {
                AUTOFREE char *rbps = limit_text(limits->read_bytes), *wbps = limit_text(limits->write_bytes);
                AUTOFREE char *riops = limit_text(limits->read_ops), *wiops = limit_text(limits->write_ops);
                AUTOFREE char *text = str_format("%u:%u rbps=%s wbps=%s riops=%s wiops=%s", major(device),
                                                 minor(device), rbps, wbps, riops, wiops);

                return put(cgroup, CGROUP_BLKIO, NULL, "io.max", text, err);
        }
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTOFREE char *text = str_format("%u:%u %" PRIu64, major(device), minor(device), rows[i].value);

                if (put(cgroup, CGROUP_BLKIO, rows[i].v1, NULL, text, err) < 0)
                        return -1;
        }
        return 0;
}

int cgroup_set_pids(Cgroup *cgroup, uint64_t most, Error *err)
{
        return put_number(cgroup, CGROUP_PIDS, "pids.max", "pids.max", most, err);
}

/* "name value" lines, as in cpu.stat and cpuacct.stat. */
static uint64_t line_value(const char *text, const char *name)
{
        AUTO_STRLIST lines = str_split(text, "\n");

        for (char **line = lines; *line; line++) {
                uint64_t value;
                size_t len = strlen(name);

                if (str_starts(*line, name) && (*line)[len] == ' ' && str_to_u64(*line + len + 1, &value) == 0)
                        return value;
        }
        return 0;
}

int cgroup_usage(const Cgroup *cgroup, CgroupUsage *ret, Error *err)
{
        CgroupUsage usage = { 0 };
        AUTO(Buf) stat = { 0 };

        if (get(cgroup, CGROUP_CPUACCT, "cpuacct.stat", "cpu.stat", &stat, err) < 0)
                return -1;
        if (cgroup_is_v2(cgroup, CGROUP_CPUACCT)) {
                usage.cpu_ns = line_value(buf_text(&stat), "usage_usec") * 1000;
                usage.user_ns = line_value(buf_text(&stat), "user_usec") * 1000;
                usage.system_ns = line_value(buf_text(&stat), "system_usec") * 1000;
        } else {
                uint64_t tick_ns = 1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK);

                usage.user_ns = line_value(buf_text(&stat), "user") * tick_ns;
                usage.system_ns = line_value(buf_text(&stat), "system") * tick_ns;
                if (get_limit(cgroup, CGROUP_CPUACCT, "cpuacct.usage", NULL, &usage.cpu_ns, err) < 0)
                        return -1;
        }
        get_limit(cgroup, CGROUP_MEMORY, "memory.usage_in_bytes", "memory.current", &usage.memory_bytes, NULL);
        *ret = usage;
        return 0;
}
