/*
 * host/confine.c - what a server that drover starts may still do
 */
#include "host/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
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

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
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

/* What a server of names and addresses has no business with, and what has opened kernels to others before. */
static const unsigned refused[] = {
        SYS_ptrace,
        SYS_process_vm_readv,
        SYS_process_vm_writev,
        SYS_kcmp,
        SYS_bpf,
        SYS_perf_event_open,
        SYS_userfaultfd,
        SYS_io_uring_setup,
        SYS_add_key,
        SYS_request_key,
        SYS_keyctl,
        SYS_unshare,
        SYS_setns,
        SYS_mount,
        SYS_umount2,
        SYS_pivot_root,
        SYS_move_mount,
        SYS_open_tree,
        SYS_fsopen,
        SYS_fsmount,
        SYS_mount_setattr,
        SYS_init_module,
        SYS_finit_module,
        SYS_delete_module,
        SYS_kexec_load,
        SYS_reboot,
        SYS_swapon,
        SYS_swapoff,
        SYS_acct,
        SYS_settimeofday,
        SYS_clock_settime,
        SYS_adjtimex,
        SYS_quotactl,
        SYS_open_by_handle_at,
#if defined(__x86_64__)
        SYS_iopl,
        SYS_ioperm,
        SYS_modify_ldt,
#endif
};

enum { N_REFUSED = sizeof(refused) / sizeof(refused[0]), FIRST_OF_X32 = 0x40000000 };

/* The calls above fail with EPERM; calls of another architecture, under other numbers, end the process. */
static int limit_calls(void)
{
        struct sock_filter program[N_REFUSED + 7] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST_OF_X32, N_REFUSED + 1, 0),
        };
        struct sock_fprog filter = { .len = N_REFUSED + 7, .filter = program };
        struct sock_filter *at = program + 5;

        for (unsigned i = 0; i < N_REFUSED; i++)
                *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused[i],
                                                     (unsigned char)(N_REFUSED - i), 0);
        *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        *at = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}

int confine_server(const char *const *writable)
{
        const struct rlimit none = { 0, 0 }, files = { 16 << 20, 16 << 20 };

        if (limit_writing(writable) < 0 || limit_capabilities() < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
            setrlimit(RLIMIT_FSIZE, &files) < 0)
                return -1;
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -1 : limit_calls();
}
