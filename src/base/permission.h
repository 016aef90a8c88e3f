#pragma once
/*
 * base/permission.h - what keeps this process from a file: a directory on the way, its mode, an entry of an ACL, or none
 * of these
 *
 * Nothing here allocates: a child asks before it becomes another program.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

typedef struct PermissionUser {
        uid_t uid;
        gid_t gid;
        const gid_t *groups; /* borrowed; beside gid */
        size_t n_groups;
} PermissionUser;

/* The part of mode or ACL that decides about a user. */
typedef struct PermissionRule {
        const char *kind; /* "user", "group", "other", as getfacl(1) writes them */
        bool named;       /* it is for the one with this id */
        unsigned id;
        unsigned allows; /* R_OK, W_OK, X_OK */
        bool is_masked;  /* only what the mask allows too holds */
        unsigned mask;
} PermissionRule;

/*
 * Whether mode and ACL let the user do what is wanted (R_OK, W_OK, X_OK), and which rule says so. acl is the attribute
 * system.posix_acl_access as the kernel gives it, any bytes; what cannot be read of it counts as if it were not there.
 */
bool permission_decide(const struct stat *st, const void *acl, size_t n, const PermissionUser *user, unsigned wanted,
                       PermissionRule *ret);

/*
 * Why this process, as it is now, may not do what is wanted with an absolute path: "may not pass the directory ...", "may
 * not write ...", with mode, owner and the ACL's entry, or whether SELinux or AppArmor is about it. The file that blocks is
 * written to at, PATH_MAX bytes, when at is given. false: it may, or it cannot be told.
 */
bool permission_explain(const char *path, unsigned wanted, char *at, char *text, size_t room);
/* The same for a path that was refused although access(2) sees nothing in the way: AppArmor is asked at open(2) only. */
bool permission_suspect(const char *path, char *text, size_t room);
