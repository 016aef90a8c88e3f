#pragma once
/*
 * host/cgroup-private.h - what cgroup.c and cgroup-limits.c share
 */
#include "base/vec.h"
#include "host/cgroup.h"

/* One mounted hierarchy that has controllers we use. */
typedef struct Hierarchy {
        char *dir; /* of the parent group in it */
        bool v2;
} Hierarchy;

struct CgroupHost {
        char *owner;
        VEC(Hierarchy) hierarchies;
        int at[CGROUP_N_CONTROLLERS]; /* index of the hierarchy, -1: this machine has none */
};

struct Cgroup {
        CgroupHost *host;
        char *name;   /* below the parent group */
        bool is_part; /* holds threads of the group above */
};

/* The path of a file of this group in the hierarchy of a controller; NULL: absent. Owned. */
char *cgroup_file(const Cgroup *cgroup, CgroupController controller, const char *v1, const char *v2);
bool cgroup_is_v2(const Cgroup *cgroup, CgroupController controller);
int cgroup_put(const char *path, const char *text, Error *err);
const char *cgroup_controller_name(CgroupController controller);
