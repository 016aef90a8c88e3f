/*
 * img/confine.c - rlimits, Landlock and a list of system calls
 *
 * The system call filter is written by hand: a list of numbers compared one by
 * one, because starting up must stay cheap. What is not on the list fails with
 * EPERM. Landlock is used where the kernel has it.
 */
#include "img/confine.h"

#include "img/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER
#endif

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#error "the system call filter knows x86-64 and arm64"
#endif

static const unsigned allowed[] = {
        SYS_read,
        SYS_pread64,
        SYS_readv,
        SYS_preadv,
        SYS_write,
        SYS_pwrite64,
        SYS_writev,
        SYS_pwritev,
        SYS_lseek,
        SYS_close,
        SYS_fstat,
        SYS_newfstatat,
        SYS_statx,
        SYS_fdatasync,
        SYS_fsync,
        SYS_sync_file_range,
        SYS_ftruncate,
        SYS_fallocate,
        SYS_fcntl,
        SYS_ioctl,
        SYS_copy_file_range,
        SYS_fadvise64,
        SYSCALL_CACHESTAT,
        SYS_flock,
        SYS_dup,
        SYS_dup3,
        SYS_mmap,
        SYS_munmap,
        SYS_mremap,
        SYS_mprotect,
        SYS_madvise,
        SYS_brk,
        SYS_futex,
        SYS_clone,
        SYS_clone3,
        SYS_set_robust_list,
        SYS_rseq,
        SYS_exit,
        SYS_exit_group,
        SYS_sched_yield,
        SYS_sched_getaffinity,
        SYS_gettid,
        SYS_getpid,
        SYS_tgkill,
        SYS_rt_sigaction,
        SYS_rt_sigprocmask,
        SYS_rt_sigreturn,
        SYS_sigaltstack,
        SYS_restart_syscall,
        SYS_clock_gettime,
        SYS_clock_nanosleep,
        SYS_nanosleep,
        SYS_getrandom,
        SYS_prlimit64,
        SYS_uname,
        SYS_sysinfo,
        SYS_getcwd,
};

/* Needed only where files may still be opened and put in place. */
static const unsigned opening[] = {
        SYS_openat, SYS_getdents64, SYS_linkat,   SYS_mkdirat,   SYS_statfs,    SYS_fstatfs,    SYS_fgetxattr,
        SYS_ppoll,  SYS_umask,      SYS_unlinkat, SYS_renameat2, SYS_renameat,  SYS_readlinkat, SYS_faccessat,
        SYS_fchmod, SYS_fchown,     SYS_geteuid,  SYS_getegid,   SYS_getgroups, SYS_getxattr,
#ifdef SYS_open
        SYS_open,   SYS_unlink,     SYS_rename,   SYS_readlink,  SYS_access,    SYS_poll,       SYS_mkdir,
        SYS_stat,   SYS_lstat,
#endif
};

/* Needed only where a server is talked to. */
static const unsigned networking[] = {
        SYS_socket,  SYS_connect,    SYS_getsockopt, SYS_setsockopt, SYS_getsockname, SYS_getpeername,
        SYS_sendto,  SYS_recvfrom,   SYS_sendmsg,    SYS_recvmsg,    SYS_sendmmsg,    SYS_shutdown,
        SYS_bind,    SYS_ppoll,      SYS_pselect6,   SYS_getuid,     SYS_geteuid,     SYS_getgid,
        SYS_getegid, SYS_getdents64, SYS_fstatfs,    SYS_statfs,     SYS_pipe2,       SYS_gettimeofday,
#ifdef SYS_poll
        SYS_poll,
#endif
};

/* Needed where clients are served. */
static const unsigned serving[] = {
        SYS_accept4,    SYS_accept,      SYS_recvfrom,    SYS_recvmsg, SYS_sendto,   SYS_sendmsg,  SYS_shutdown,
        SYS_setsockopt, SYS_getsockname, SYS_getpeername, SYS_ppoll,   SYS_unlinkat, SYS_eventfd2,
#ifdef SYS_poll
        SYS_poll,       SYS_unlink,
#endif
};

/* Needed to give up more. */
static const unsigned confining[] = { SYS_prctl, SYS_landlock_create_ruleset, SYS_landlock_add_rule,
                                      SYS_landlock_restrict_self };

static void put(struct sock_filter *program, size_t *n, struct sock_filter what)
{
        program[(*n)++] = what;
}

static void put_allowed(struct sock_filter *program, size_t *n, const unsigned *calls, size_t n_calls)
{
        for (size_t i = 0; i < n_calls; i++) {
                put(program, n, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1));
                put(program, n, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
        }
}

static int filter_calls(const Confinement *how, Error *err)
{
        struct sock_filter program[2 * (ARRAY_LEN(allowed) + ARRAY_LEN(opening) + ARRAY_LEN(networking) +
                                        ARRAY_LEN(serving) + ARRAY_LEN(confining)) +
                                   8];
        struct sock_fprog filter = { .filter = program };
        size_t n = 0;

        put(program, &n, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
        put(program, &n, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0));
        put(program, &n, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
        put(program, &n, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
        put_allowed(program, &n, allowed, ARRAY_LEN(allowed));
        if (how->may_open)
                put_allowed(program, &n, opening, ARRAY_LEN(opening));
        if (how->network)
                put_allowed(program, &n, networking, ARRAY_LEN(networking));
        if (how->serving)
                put_allowed(program, &n, serving, ARRAY_LEN(serving));
        if (how->more_later)
                put_allowed(program, &n, confining, ARRAY_LEN(confining));
        put(program, &n, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
        filter.len = (unsigned short)n;
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
                return err_errno(err, errno, "cannot limit the system calls");
        return 0;
}

static int allow_below(int rules, const char *path, uint64_t access, Error *err)
{
        struct landlock_path_beneath_attr rule = { .allowed_access = access };
        struct stat st;
        int r;

        rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
        if (rule.parent_fd < 0)
                return errno == ENOENT ? 0 : err_errno(err, errno, "cannot open '%s'", path);
        if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
                rule.allowed_access &= LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE;
        r = (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
        close(rule.parent_fd);
        return r < 0 ? err_errno(err, errno, "cannot limit the files to '%s'", path) : 0;
}

static int limit_files(const Confinement *how, Error *err)
{
        uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
        uint64_t writing = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                           LANDLOCK_ACCESS_FS_REMOVE_FILE;
        struct landlock_ruleset_attr attr = { .handled_access_fs = (1ULL << 13) - 1 };
        int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0), r = 0;

        if (rules < 0) /* this kernel has no Landlock, or it is switched off */
                return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : err_errno(err, errno, "cannot limit the files");
        if (how->may_open) {
                r = allow_below(rules, "/", reading, err);
                for (size_t i = 0; r == 0 && how->writable && how->writable[i]; i++)
                        r = allow_below(rules, how->writable[i], reading | writing, err);
        }
#if defined(UNDER_SANITIZER)
        if (r == 0 && !how->may_open) /* it looks for leaks there, at the end */
                r = allow_below(rules, "/proc", reading, err);
#endif
        if (r == 0 && how->removable)
                r = allow_below(rules, how->removable, LANDLOCK_ACCESS_FS_REMOVE_FILE, err);
        if (r == 0 && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
                r = err_errno(err, errno, "cannot limit the files");
        close(rules);
        return r;
}

static int limit(int what, uint64_t most, Error *err)
{
        struct rlimit limits = { .rlim_cur = most, .rlim_max = most };

        return most && setrlimit(what, &limits) < 0 ? err_errno(err, errno, "cannot set a resource limit") : 0;
}

int image_confine(const Confinement *how, Error *err)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return err_errno(err, errno, "cannot give up new privileges");
#if defined(UNDER_SANITIZER)
        /* The sanitizer reserves address space and traces itself at the end. */
        (void)filter_calls;
        (void)limit;
        return limit_files(how, err);
#else
        if (limit(RLIMIT_AS, how->memory_bytes, err) < 0 || limit(RLIMIT_CPU, how->cpu_seconds, err) < 0 ||
            limit_files(how, err) < 0)
                return -1;
        return filter_calls(how, err);
#endif
}
