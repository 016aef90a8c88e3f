#pragma once
/*
 * host/root.h - the acts that need root, all of them
 *
 * A closed list of verbs: the seam along which the daemon will be split into an unprivileged core and a
 * small broker. Verbs that touch a path which a user named run in a forked child, never on the loop, and
 * are written for there: they call nothing that is not async-signal-safe.
 */
#include <stdbool.h>
#include <sys/types.h>

typedef struct RootUser {
        uid_t uid;
        gid_t gid;
        const gid_t *groups; /* supplementary ones, owned by whoever made the list */
        size_t n_groups;
} RootUser;

/*
 * Let user open a file or device, by owning it when its mode does not allow it otherwise. Who owned it
 * before, and how many guests use it, is kept with the file. 0, or an errno that QEMU will meet again.
 */
int root_give_file(const char *path, const RootUser *user, bool write);
/* The last guest that used it is done: the owner before gets it back. */
int root_take_back_file(const char *path, const RootUser *user);
/* Become user for good and give up every way back. 0 or errno. */
int root_drop_to(const RootUser *user);
