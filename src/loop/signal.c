/*
 * loop/signal.c - signals as turns of the loop
 *
 * Each watch has a descriptor of its own, so that freeing one changes nothing for the others. A signal that was not blocked
 * before its watch is not blocked after it either.
 */
#include "base/fd.h"
#include "base/mem.h"
#include "loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct SignalWatch {
        Fd fd;
        Watch *watch;
        sigset_t set; /* this one signal */
        bool blocks;  /* it is, because of us */
        void (*fn)(void *arg);
        void *arg;
};

static void on_signal(void *arg, uint32_t revents UNUSED)
{
        SignalWatch *watch = arg;
        struct signalfd_siginfo info;

        if (read(watch->fd, &info, sizeof(info)) == sizeof(info))
                watch->fn(watch->arg);
}

SignalWatch *signal_watch_new(Loop *loop, int signum, void (*fn)(void *arg), void *arg, Error *err)
{
        AUTO(SignalWatch) *watch = mem_new(SignalWatch);
        sigset_t before;

        *watch = (SignalWatch){ .fd = -1, .fn = fn, .arg = arg };
        sigemptyset(&watch->set);
        if (sigaddset(&watch->set, signum) < 0 || sigprocmask(SIG_BLOCK, &watch->set, &before) < 0) {
                err_errno(err, errno, "cannot watch signal %d", signum);
                return NULL;
        }
        watch->blocks = !sigismember(&before, signum);
        watch->fd = signalfd(-1, &watch->set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (watch->fd < 0) {
                err_errno(err, errno, "cannot watch signal %d", signum);
                return NULL;
        }
        watch->watch = watch_new(loop, watch->fd, EPOLLIN, on_signal, watch);
        return TAKE(watch);
}

SignalWatch *signal_watch_free(SignalWatch *watch)
{
        struct signalfd_siginfo info;

        if (!watch)
                return NULL;
        watch_free(watch->watch);
        /* one that came too late to be reported was meant for the watch */
        while (watch->fd >= 0 && read(watch->fd, &info, sizeof(info)) == sizeof(info))
                ;
        if (watch->blocks)
                sigprocmask(SIG_UNBLOCK, &watch->set, NULL);
        fd_close(&watch->fd);
        free(watch);
        return NULL;
}
