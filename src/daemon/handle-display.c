/*
 * daemon/handle-display.c - screenshots, displays, keys and the NMI button
 *
 * QEMU draws a screenshot into memory of ours that it is given as a descriptor,
 * so that no path of the host is involved.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/feed.h"
#include "daemon/handlers.h"
#include "daemon/keys.h"
#include "daemon/qemu-act.h"
#include "daemon/stream.h"
#include "wire/constants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* --- screenshot --- */

typedef struct Screenshot {
        Call *call;
        Fd memory;
        int64_t fdset;
        char *device; /* NULL: the first screen */
        Error failure;
} Screenshot;

static void screenshot_free(Screenshot *shot)
{
        fd_close(&shot->memory);
        err_done(&shot->failure);
        free(shot->device);
        free(shot);
}

static void on_sent(void *arg, const Error *failure UNUSED)
{
        feed_free(arg);
}

static int send_picture(Screenshot *shot, Error *err)
{
        Feed *feed;
        Fd reader;

        feed = feed_new(call_daemon(shot->call)->loop, fd_take(&shot->memory), &reader, err);
        if (!feed)
                return -1;
        if (!stream_new(shot->call, reader, true, false, on_sent, feed, err)) {
                feed_free(feed);
                return -1;
        }
        return 0;
}

static void answer(Screenshot *shot)
{
        AUTO(Error) err = { 0 };

        if (err_is_set(&shot->failure))
                call_fail(shot->call, &shot->failure);
        else if (send_picture(shot, &err) < 0)
                call_fail(shot->call, &err);
        else
                call_reply(shot->call, &(WireDomainScreenshotRet){ .mime = "image/x-portable-pixmap" });
        screenshot_free(shot);
}

static void on_fd_removed(void *arg, const Error *failure UNUSED)
{
        answer(arg);
}

static void on_drawn(void *arg, const Error *failure)
{
        Screenshot *shot = arg;
        QmpRemoveFd remove = { .fdset_id = shot->fdset };
        AUTO(Error) gone = { 0 };
        QmpClient *qmp = qemu_act_monitor(shot->call, call_domain(shot->call), &gone);

        if (failure)
                err_copy(&shot->failure, failure);
        if (qmp)
                qmp_remove_fd(qmp, &remove, on_fd_removed, shot);
        else
                answer(shot);
}

static void on_fd_added(void *arg, const QmpAddedFd *added, const Error *failure)
{
        Screenshot *shot = arg;
        QmpClient *qmp = failure ? NULL : qemu_act_monitor(shot->call, call_domain(shot->call), &shot->failure);
        char path[64];

        if (failure)
                err_copy(&shot->failure, failure);
        if (!qmp) {
                answer(shot);
                return;
        }
        shot->fdset = added->fdset_id;
        snprintf(path, sizeof(path), "/dev/fdset/%lld", (long long)added->fdset_id);
        qmp_screendump(qmp, &(QmpScreendump){ .filename = path, .device = shot->device }, on_drawn, shot);
}

/* A second descriptor of the same memory, for writing only: QEMU picks one of a set by its mode. */
static int open_for_writing(int memory, Fd *ret, Error *err)
{
        char path[64];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
        *ret = open(path, O_WRONLY | O_CLOEXEC);
        return *ret < 0 ? err_errno(err, errno, "cannot open memory for a screenshot") : 0;
}

static int screenshot(Call *call, Domain *dom, const WireDomainScreenshotArgs *args, Error *err)
{
        QmpClient *qmp = qemu_act_monitor(call, dom, err);
        AUTO(Fd) memory = -1;
        AUTO(Fd) writer = -1;
        Screenshot *shot;

        if (!qmp)
                return -1;
        if (!dom->live->n_videos)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "domain '%s' has no video device to take a picture of",
                               dom->name);
        if (args->screen >= dom->live->n_videos)
                return err_set(err, ERR_INVALID_ARG, "domain '%s' has no screen %u", dom->name, args->screen);
        memory = memfd_create("screenshot", MFD_CLOEXEC);
        if (memory < 0)
                return err_errno(err, errno, "cannot get memory for a screenshot");
        if (open_for_writing(memory, &writer, err) < 0)
                return -1;
        shot = mem_new(Screenshot);
        shot->call = call;
        shot->memory = fd_take(&memory);
        if (args->screen)
                shot->device = str_dup(dom->live->videos[args->screen]->info.alias);
        qmp_add_fd(qmp, &(QmpAddFd){ 0 }, writer, on_fd_added, shot);
        return 0;
}

int handle_domain_screenshot(Call *call, const WireDomainScreenshotArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return screenshot(call, dom, args, err); /* a look: it waits for no job */
}

/* --- displays --- */

typedef struct Display {
        Call *call;
        const char *protocol;
        bool skip_auth;
        Fd ours; /* for the client; -1: it brought its own */
} Display;

#define DISPLAY_FD "drover-display"

static void on_client_added(void *arg, const Error *failure)
{
        Display *display = arg;

        if (failure)
                call_fail(display->call, failure);
        else if (display->ours < 0)
                call_reply(display->call, NULL);
        else
                call_reply_fds(display->call, NULL, &(Fd){ fd_take(&display->ours) }, 1);
        fd_close(&display->ours);
        free(display);
}

static void on_display_fd(void *arg, const Error *failure)
{
        Display *display = arg;
        AUTO(Error) err = { 0 };
        QmpClient *qmp = failure ? NULL : qemu_act_monitor(display->call, call_domain(display->call), &err);

        if (!qmp) {
                on_client_added(display, failure ?: &err);
                return;
        }
        qmp_add_client(qmp,
                       &(QmpAddClient){ .protocol = display->protocol,
                                        .fdname = DISPLAY_FD,
                                        .has_skipauth = true,
                                        .skipauth = display->skip_auth },
                       on_client_added, display);
}

static const char *find_protocol(const Domain *dom, uint32_t idx, Error *err)
{
        if (idx >= dom->live->n_graphics) {
                err_set(err, ERR_INTERNAL, "domain '%s' has no graphics display %u", dom->name, idx);
                return NULL;
        }
        if (dom->live->graphics[idx]->type == GRAPHICS_TYPE_VNC)
                return "vnc";
        if (dom->live->graphics[idx]->type == GRAPHICS_TYPE_SPICE)
                return "spice";
        err_set(err, ERR_OPERATION_UNSUPPORTED, "display %u of domain '%s' is no VNC or SPICE server", idx,
                dom->name);
        return NULL;
}

/* Give QEMU one end of a connection; the other one is already the client's, or goes to it. */
static int add_display(Call *call, Domain *dom, uint32_t idx, uint32_t flags, int theirs, Fd ours, Error *err)
{
        AUTO(Fd) own = ours;
        QmpClient *qmp = qemu_act_monitor(call, dom, err);
        const char *protocol = qmp ? find_protocol(dom, idx, err) : NULL;
        Display *display;

        if (!protocol)
                return -1;
        display = mem_new(Display);
        display->call = call;
        display->protocol = protocol;
        display->skip_auth = flags & VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH;
        display->ours = fd_take(&own);
        qmp_getfd(qmp, &(QmpGetfd){ .fdname = DISPLAY_FD }, theirs, on_display_fd, display);
        return 0;
}

static int open_graphics(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainOpenGraphicsArgs *args = arguments;
        size_t n_fds;
        Fd *fds = call_fds(call, &n_fds);

        return add_display(call, dom, args->idx, args->flags, fds[0], -1, err);
}

int handle_domain_open_graphics(Call *call, const WireDomainOpenGraphicsArgs *args, Error *err)
{
        Domain *dom;
        size_t n_fds;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        call_fds(call, &n_fds);
        if (n_fds != 1)
                return err_set(err, ERR_INVALID_ARG, "one connected socket has to come with the call");
        return call_run_job(call, dom, JOB_MODIFY, open_graphics);
}

static int open_graphics_fd(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainOpenGraphicsFdArgs *args = arguments;
        AUTO(Fd) theirs = -1;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
                return err_errno(err, errno, "cannot make a socket pair");
        theirs = ends[1];
        return add_display(call, dom, args->idx, args->flags, theirs, ends[0], err);
}

int handle_domain_open_graphics_fd(Call *call, const WireDomainOpenGraphicsFdArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, open_graphics_fd);
}

/* --- keys and buttons --- */

enum { MOST_KEYS = 16 };

static int send_key(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainSendKeyArgs *args = arguments;
        QmpClient *qmp = qemu_act_monitor(call, dom, err);
        QmpKeyValue keys[MOST_KEYS];
        QmpSendKey send = { .keys = keys, .n_keys = args->n_keycodes, .has_hold_time = true };

        if (!qmp)
                return -1;
        for (uint32_t i = 0; i < args->n_keycodes; i++) {
                int qnum = key_to_qnum(args->codeset, args->keycodes[i]);

                if (qnum < 0)
                        return err_set(err, ERR_INVALID_ARG, "cannot translate keycode %u of codeset %u to a key",
                                       args->keycodes[i], args->codeset);
                keys[i] = (QmpKeyValue){ .type = "number", .data = arena_format(call_arena(call), "%d", qnum) };
        }
        send.hold_time = args->holdtime;
        qmp_send_key(qmp, &send, call_done, call);
        return 0;
}

int handle_domain_send_key(Call *call, const WireDomainSendKeyArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        if (!args->n_keycodes || args->n_keycodes > MOST_KEYS)
                return err_set(err, ERR_INVALID_ARG, "between 1 and %d keys can be pressed at once", MOST_KEYS);
        if (!key_set_is_known(args->codeset))
                return err_set(err, ERR_INVALID_ARG, "keycodes of set %u are not supported", args->codeset);
        return call_run_job(call, dom, JOB_MODIFY, send_key);
}

static int inject_nmi(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        QmpClient *qmp = qemu_act_monitor(call, dom, err);

        if (!qmp)
                return -1;
        qmp_inject_nmi(qmp, call_done, call);
        return 0;
}

int handle_domain_inject_nmi(Call *call, const WireDomainInjectNmiArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        return call_run_job(call, dom, JOB_MODIFY, inject_nmi);
}
