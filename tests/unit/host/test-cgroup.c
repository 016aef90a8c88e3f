#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "host/cgroup.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A directory that looks like a machine: mountinfo and the files of one guest's group. */
typedef struct Machine {
        char root[64];
        CgroupHost *host;
        Cgroup *guest;
} Machine;

static void put(Machine *m, const char *path, const char *text)
{
        AUTOFREE char *full = str_format("%s/%s", m->root, path);
        AUTOFREE char *dir = str_dup_n(full, (size_t)(strrchr(full, '/') - full));

        CHECK_INT(dir_make(dir, 0755, NULL), 0);
        CHECK_INT(file_write_atomic(full, text, strlen(text), 0644, NULL), 0);
}

static const char *get(Machine *m, const char *path)
{
        static char text[256];
        AUTOFREE char *full = str_format("%s/%s", m->root, path);
        AUTO(Buf) buf = { 0 };

        CHECK_INT(file_read(full, sizeof(text) - 1, &buf, NULL), 0);
        snprintf(text, sizeof(text), "%s", buf_text(&buf));
        return text;
}

static void begin(Machine *m)
{
        *m = (Machine){ .root = "/tmp/drover-test-XXXXXX" };
        CHECK(mkdtemp(m->root));
}

static void enter(Machine *m)
{
        AUTO(Error) err = { 0 };

        m->host = cgroup_host_new(m->root, "drover.slice", "", &err);
        CHECK(m->host);
        m->guest = cgroup_new(m->host, "g1", &err);
        CHECK(m->guest);
}

static void end(Machine *m)
{
        AUTOFREE char *command = str_format("rm -rf %s", m->root);

        cgroup_free(m->guest);
        cgroup_host_free(m->host);
        CHECK_INT(system(command), 0);
}

TEST(two_owners_have_groups_of_their_own)
{
        AUTO(Error) err = { 0 };
        CgroupHost *other;
        Cgroup *same;
        Machine m;

        begin(&m);
        put(&m, "proc/self/mountinfo", "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw,nsdelegate\n");
        put(&m, "cg/cgroup.controllers", "pids\n");
        put(&m, "cg/drover.slice/g1/pids.max", "max\n");
        put(&m, "cg/drover.slice/g1-b/pids.max", "max\n");
        enter(&m);
        other = cgroup_host_new(m.root, "drover.slice", "-b", &err);
        CHECK(other);
        same = cgroup_new(other, "g1", &err);
        CHECK(same);
        CHECK_INT(cgroup_set_pids(same, 9, &err), 0);
        CHECK_STR(get(&m, "cg/drover.slice/g1-b/pids.max"), "9");
        CHECK_STR(get(&m, "cg/drover.slice/g1/pids.max"), "max\n");
        cgroup_free(same);
        cgroup_host_free(other);
        end(&m);
}

TEST(v2_settings_go_to_the_unified_files_MEM_09)
{
        AUTO(Error) err = { 0 };
        Machine m;
        uint64_t period, shares;
        int64_t quota;

        begin(&m);
        put(&m, "proc/self/mountinfo", "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw,nsdelegate\n");
        put(&m, "cg/cgroup.controllers", "cpuset cpu io memory pids\n");
        put(&m, "cg/drover.slice/g1/cpu.weight", "100\n");
        put(&m, "cg/drover.slice/g1/cpu.max", "max 100000\n");
        put(&m, "cg/drover.slice/g1/cpuset.cpus", "\n");
        put(&m, "cg/drover.slice/g1/memory.max", "max\n");
        put(&m, "cg/drover.slice/g1/memory.high", "max\n");
        put(&m, "cg/drover.slice/g1/memory.swap.max", "max\n");
        put(&m, "cg/drover.slice/g1/io.max", "");
        put(&m, "cg/drover.slice/g1/cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\n");
        put(&m, "cg/drover.slice/g1/cgroup.procs", "");
        enter(&m);
        CHECK_INT(cgroup_set_cpu_shares(m.guest, 500, &err), 0);
        CHECK_STR(get(&m, "cg/drover.slice/g1/cpu.weight"), "500");
        CHECK_INT(cgroup_get_cpu_shares(m.guest, &shares, &err), 0);
        CHECK_INT(shares, 500);
        CHECK_INT(cgroup_set_cpu_shares(m.guest, 10001, &err), -1);
        CHECK_INT(cgroup_set_cpu_quota(m.guest, 100000, 50000, &err), 0);
        CHECK_STR(get(&m, "cg/drover.slice/g1/cpu.max"), "50000 100000");
        CHECK_INT(cgroup_get_cpu_quota(m.guest, &period, &quota, &err), 0);
        CHECK_INT(quota, 50000);
        CHECK_INT(cgroup_set_cpu_quota(m.guest, 100000, -1, &err), 0);
        CHECK_INT(cgroup_get_cpu_quota(m.guest, &period, &quota, &err), 0);
        CHECK_INT(quota, -1);
        CHECK_INT(cgroup_set_memory(m.guest, &(CgroupMemory){ 1 << 30, CGROUP_NO_LIMIT, (1 << 30) + 4096 }, &err), 0);
        CHECK_STR(get(&m, "cg/drover.slice/g1/memory.max"), "1073741824");
        CHECK_STR(get(&m, "cg/drover.slice/g1/memory.swap.max"), "4096");
        CHECK_INT(cgroup_set_io_throttle(m.guest, makedev(8, 0), &(CgroupThrottle){ .read_bytes = 1000 }, &err), 0);
        CHECK_STR(get(&m, "cg/drover.slice/g1/io.max"), "8:0 rbps=1000 wbps=max riops=max wiops=max");
        CHECK(cgroup_is_empty(m.guest));
        end(&m);
}

TEST(a_host_with_thousands_of_mounts_has_groups_too)
{
        AUTO(Buf) mounts = { 0 };
        Machine m;

        for (int i = 0; i < 20000; i++)
                buf_format(&mounts, "%d 1 0:%d / /var/lib/containers/overlay/%032d/merged rw - overlay overlay rw\n",
                           i, i, i);
        buf_put_text(&mounts, "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw,nsdelegate\n");
        begin(&m);
        put(&m, "proc/self/mountinfo", buf_text(&mounts));
        put(&m, "cg/cgroup.controllers", "cpuset cpu io memory pids\n");
        enter(&m);
        CHECK(cgroup_host_has(m.host, CGROUP_MEMORY));
        end(&m);
}

TEST(v1_settings_go_to_their_own_hierarchies_MEM_09)
{
        AUTO(Error) err = { 0 };
        CgroupUsage usage;
        Machine m;
        Bitmap cpus = { 0 };

        begin(&m);
        put(&m, "proc/self/mountinfo",
            "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n33 31 0:31 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
            "34 31 0:37 / /cg/systemd rw - cgroup cgroup rw,name=systemd\n"
            "41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n");
        put(&m, "cg/unified/cgroup.controllers", "hugetlb\n");
        put(&m, "cg/cpuset/cpuset.cpus", "0-3\n");
        put(&m, "cg/cpuset/drover.slice/cpuset.cpus", "\n");
        put(&m, "cg/cpuset/drover.slice/g1/cpuset.cpus", "\n");
        put(&m, "cg/cpu/drover.slice/g1/cpu.shares", "1024\n");
        put(&m, "cg/cpu/drover.slice/g1/cpu.cfs_quota_us", "-1\n");
        put(&m, "cg/cpu/drover.slice/g1/cpu.cfs_period_us", "100000\n");
        put(&m, "cg/cpu/drover.slice/g1/cpuacct.usage", "12345\n");
        put(&m, "cg/cpu/drover.slice/g1/cpuacct.stat", "user 1\nsystem 2\n");
        enter(&m);
        CHECK_STR(get(&m, "cg/cpuset/drover.slice/g1/cpuset.cpus"), "0-3\n");
        bitmap_set(&cpus, 2);
        CHECK_INT(cgroup_set_cpus(m.guest, &cpus, &err), 0);
        CHECK_STR(get(&m, "cg/cpuset/drover.slice/g1/cpuset.cpus"), "2");
        CHECK_INT(cgroup_set_cpu_quota(m.guest, 50000, 20000, &err), 0);
        CHECK_STR(get(&m, "cg/cpu/drover.slice/g1/cpu.cfs_quota_us"), "20000");
        CHECK_INT(cgroup_usage(m.guest, &usage, &err), 0);
        CHECK_INT(usage.cpu_ns, 12345);
        CHECK_INT(cgroup_set_io_weight(m.guest, 500, &err), -1);
        CHECK_INT(cgroup_set_memory(m.guest, &(CgroupMemory){ 1, 1, 1 }, &err), -1);
        CHECK_STR(err.text, "this host has no cgroup controller 'memory' for guests");
        end(&m);
}
