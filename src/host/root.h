#pragma once
/*
 * host/root.h - the acts that need root, all of them
 *
 * A closed list of verbs: the seam along which the daemon will be split into an unprivileged core and a
 * small broker. Verbs that touch a path which a user named run in a forked child, never on the loop, and
 * are written for there: they call nothing that is not async-signal-safe.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct RootUser {
        uid_t uid;
        gid_t gid;
        const gid_t *groups; /* supplementary ones, owned by whoever made the list */
        size_t n_groups;
} RootUser;

typedef struct MemLock {
        uint64_t soft, hard; /* bytes */
} MemLock;

/*
 * Let user open a file or device, by owning it when its mode does not allow it otherwise. Who owned it before, and which
 * holders (words without a blank) need it, is kept with the file. To give it to one holder twice is to give it once.
 * 0, or an errno that QEMU will meet again.
 */
int root_give_file(const char *path, const RootUser *user, const char *holder, bool write);
/* This holder is done with it: after the last one the owner before gets it back. */
int root_take_back_file(const char *path, const RootUser *user, const char *holder);
/* How many bytes of memory the process may lock: now, and of its own will; *ret_before is what it was. 0 or errno. */
int root_set_memlock(pid_t pid, const MemLock *now, MemLock *ret_before);
/* Become user for good and give up every way back. 0 or errno. */
int root_drop_to(const RootUser *user);
