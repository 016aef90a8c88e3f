#pragma once
/*
 * host/cgroup.h - the control group of one guest
 *
 * The same calls for cgroup v2 and for the v1 hierarchies: each controller is used where this machine
 * has it. Guests live under one parent group beside the daemon's own, so that whatever ends the daemon's
 * group leaves them alone. A setting whose controller is absent fails and names the controller.
 */
#include "base/bitmap.h"
#include "base/fd.h"

#include <sys/types.h>

typedef struct CgroupHost CgroupHost; /* what this machine offers; found once */
typedef struct Cgroup Cgroup;

typedef enum CgroupController {
        CGROUP_CPU,
        CGROUP_CPUACCT,
        CGROUP_CPUSET,
        CGROUP_MEMORY,
        CGROUP_BLKIO,
        CGROUP_PIDS,
        CGROUP_N_CONTROLLERS,
} CgroupController;

enum {
        CGROUP_MOST_DIRS = 8, /* hierarchies a group may be in */
};
#define CGROUP_NO_LIMIT UINT64_MAX

/*
 * root: "" for this machine, a directory in tests. parent: for example "drover.slice". owner: what is put behind the name
 * of each group, so that daemons on one machine never share one; "" for none.
 */
CgroupHost *cgroup_host_new(const char *root, const char *parent, const char *owner, Error *err);
CgroupHost *cgroup_host_free(CgroupHost *host); /* the groups stay; returns NULL */
bool cgroup_host_has(const CgroupHost *host, CgroupController controller);

/* Make (or find again) a group under the parent. host must outlive it. */
Cgroup *cgroup_new(CgroupHost *host, const char *name, Error *err);
/* Make a group for threads of the guest inside it: vcpu0, emulator, iothread1. */
Cgroup *cgroup_new_part(Cgroup *guest, const char *name, Error *err);
Cgroup *cgroup_free(Cgroup *cgroup); /* the group itself stays; returns NULL */
/* Remove an empty group and the parts in it; one that is gone is fine. */
int cgroup_remove(Cgroup *cgroup, Error *err);

/* Descriptors to which a process writes "0" to enter; -1 at the end. For between fork and exec. */
int cgroup_open_procs(const Cgroup *cgroup, Fd ret[CGROUP_MOST_DIRS + 1], Error *err);
int cgroup_add_process(Cgroup *cgroup, pid_t pid, Error *err);
int cgroup_add_thread(Cgroup *part, pid_t tid, Error *err);
bool cgroup_is_empty(const Cgroup *cgroup);
int cgroup_kill(Cgroup *cgroup, Error *err); /* SIGKILL to all in it */

int cgroup_set_cpu_shares(Cgroup *cgroup, uint64_t shares, Error *err); /* v1 shares, v2 weight */
int cgroup_get_cpu_shares(const Cgroup *cgroup, uint64_t *ret, Error *err);
int cgroup_set_cpu_quota(Cgroup *cgroup, uint64_t period_us, int64_t quota_us, Error *err); /* quota < 0: none */
int cgroup_get_cpu_quota(const Cgroup *cgroup, uint64_t *period_us, int64_t *quota_us, Error *err);
int cgroup_set_cpus(Cgroup *cgroup, const Bitmap *cpus, Error *err);
int cgroup_set_mems(Cgroup *cgroup, const Bitmap *cells, Error *err);

typedef struct CgroupMemory {
        uint64_t hard, soft, swap_hard; /* bytes; swap_hard counts memory and swap; CGROUP_NO_LIMIT */
} CgroupMemory;
int cgroup_set_memory(Cgroup *cgroup, const CgroupMemory *limits, Error *err);
int cgroup_get_memory(const Cgroup *cgroup, CgroupMemory *ret, Error *err);

int cgroup_set_io_weight(Cgroup *cgroup, uint64_t weight, Error *err);
int cgroup_get_io_weight(const Cgroup *cgroup, uint64_t *ret, Error *err);
typedef struct CgroupThrottle {
        uint64_t read_bytes, write_bytes, read_ops, write_ops; /* per second; 0: no limit */
} CgroupThrottle;
int cgroup_set_io_throttle(Cgroup *cgroup, dev_t device, const CgroupThrottle *limits, Error *err);
int cgroup_set_io_device_weight(Cgroup *cgroup, dev_t device, uint64_t weight, Error *err);

int cgroup_set_pids(Cgroup *cgroup, uint64_t most, Error *err);

typedef struct CgroupUsage {
        uint64_t cpu_ns, user_ns, system_ns;
        uint64_t memory_bytes; /* 0 where the controller is absent */
} CgroupUsage;
int cgroup_usage(const Cgroup *cgroup, CgroupUsage *ret, Error *err);

DEFINE_AUTO(CgroupHost, cgroup_host_free)
DEFINE_AUTO(Cgroup, cgroup_free)
