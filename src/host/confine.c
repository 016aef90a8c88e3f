/*
 * host/confine.c - what a server that drover starts may still do
 */
#include "host/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 1
#define MOUNT_ATTR_NOSUID 2
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

struct attributes { /* as struct mount_attr */
        uint64_t set, clear, propagation, userns_fd;
};

static int set_attributes(const char *path, unsigned flags, uint64_t set, uint64_t clear)
{
        struct attributes a = { .set = set, .clear = clear };

        return (int)syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &a, sizeof(a));
}

static int limit_writing(const char *const *writable)
{
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                return -1;
        for (const char *const *dir = writable; *dir; dir++) {
                if (mount(*dir, *dir, NULL, MS_BIND, NULL) < 0)
                        return -1;
        }
        if (set_attributes("/", AT_RECURSIVE, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0) < 0)
                return -1;
        for (const char *const *dir = writable; *dir; dir++) {
                if (set_attributes(*dir, 0, 0, MOUNT_ATTR_RDONLY) < 0)
                        return -1;
        }
        return 0;
}

/* Binding low ports, raw sockets and neighbours are its work; the others let it change its user. */
static int limit_capabilities(void)
{
        static const int kept[] = { CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SETUID,
                                    CAP_SETGID,           CAP_CHOWN,     CAP_SETPCAP };

        for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
                int keep = 0;

                for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
                        keep |= kept[i] == cap;
                if (!keep && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
                        return -1;
        }
        return 0;
}

int confine_server(const char *const *writable)
{
        const struct rlimit none = { 0, 0 }, files = { 16 << 20, 16 << 20 };

        if (limit_writing(writable) < 0 || limit_capabilities() < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
            setrlimit(RLIMIT_FSIZE, &files) < 0)
                return -1;
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
