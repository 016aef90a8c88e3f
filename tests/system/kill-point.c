/*
 * tests/system/kill-point.c - a library to preload: the daemon dies at a chosen act
 *
 * Each act of the process that can be seen from outside - a file appears or goes, a
 * child is made, QEMU or a helper is told something - is a point. The test counts them
 * in a file that both map, and says at which one the process is killed, just before it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Control {
        uint64_t kill_at; /* 0: never */
        uint64_t passed;
        char last[112];
} Control;

static Control *control;
static pid_t process;

__attribute__((constructor)) static void begin(void)
{
        const char *path = getenv("KILL_POINT_FILE");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0)
                return;
        control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (control == MAP_FAILED)
                control = NULL;
        close(fd);
        process = getpid();
}

static void point(const char *act, const char *what)
{
        uint64_t number;

        if (!control || getpid() != process)
                return;
        number = __atomic_add_fetch(&control->passed, 1, __ATOMIC_SEQ_CST);
        if (number != __atomic_load_n(&control->kill_at, __ATOMIC_SEQ_CST))
                return;
        strncpy(control->last, act, sizeof(control->last) - 1);
        strncat(control->last, " ", sizeof(control->last) - strlen(control->last) - 1);
        strncat(control->last, what, sizeof(control->last) - strlen(control->last) - 1);
        kill(process, SIGKILL);
        for (;;)
                pause();
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int rename(const char *from, const char *to)
{
        point("rename", to);
        return NEXT(rename)(from, to);
}

int unlink(const char *path)
{
        point("unlink", path);
        return NEXT(unlink)(path);
}

int symlink(const char *target, const char *path)
{
        point("symlink", path);
        return NEXT(symlink)(target, path);
}

int mkdir(const char *path, mode_t mode)
{
        point("mkdir", path);
        return NEXT(mkdir)(path, mode);
}

int rmdir(const char *path)
{
        point("rmdir", path);
        return NEXT(rmdir)(path);
}

pid_t fork(void)
{
        pid_t pid;

        point("fork", "");
        pid = NEXT(fork)();
        if (pid > 0)
                point("forked", "");
        return pid;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
        point("sendmsg", "");
        return NEXT(sendmsg)(fd, message, flags);
}

/* Changes of the kernel's links, addresses and routes; questions change nothing. */
ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to, socklen_t to_len)
{
        const struct nlmsghdr *message = data;

        if (to && to->sa_family == AF_NETLINK && n >= sizeof(*message) && !(message->nlmsg_flags & NLM_F_DUMP))
                point("netlink", "");
        return NEXT(sendto)(fd, data, n, flags, to, to_len);
}

/* The one byte that commits a save. */
ssize_t write(int fd, const void *data, size_t n)
{
        if (n == 1 && *(const char *)data == 'c')
                point("write", "c");
        return NEXT(write)(fd, data, n);
}
