/*
 * daemon/handle-console.c - consoles and channels of a running guest, as streams
 *
 * One client at a time uses a console or channel: two readers would each get
 * half of what the guest says. A second one is refused, or takes over by force.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/qemu-act.h"
#include "daemon/stream.h"
#include "wire/constants.h"

#include <errno.h>
#include <fcntl.h>

enum { CONSOLE_FLAGS = VIR_DOMAIN_CONSOLE_FORCE | VIR_DOMAIN_CONSOLE_SAFE };

struct ConsoleUse {
        QemuRun *run; /* NULL: it ended */
        char *alias;
        Stream *stream;
};

static void on_stream_ended(void *arg, const Error *failure UNUSED)
{
        ConsoleUse *use = arg;

        if (use->run)
                vec_remove_item(&use->run->consoles, use);
        free(use->alias);
        free(use);
}

void qemu_consoles_let_go(QemuRun *run)
{
        for (size_t i = 0; i < run->consoles.len; i++)
                run->consoles.items[i]->run = NULL;
        vec_done(&run->consoles);
}

static ConsoleUse *find_use(const QemuRun *run, const char *alias)
{
        for (size_t i = 0; i < run->consoles.len; i++) {
                if (str_eq(run->consoles.items[i]->alias, alias))
                        return run->consoles.items[i];
        }
        return NULL;
}

/* Nobody else uses it, or by force not any more. */
static int claim(QemuRun *run, const char *alias, bool force, Error *err)
{
        ConsoleUse *use = find_use(run, alias);
        AUTO(Error) taken = { 0 };

        if (!use)
                return 0;
        if (!force)
                return err_set(err, ERR_OPERATION_FAILED,
                               "Active console session exists for this domain (device '%s'); --force takes it over",
                               alias);
        err_set(&taken, ERR_OPERATION_ABORTED, "another client took over the console");
        stream_fail(use->stream, &taken);
        return 0;
}

/* The name came from QEMU: nothing but a pseudo terminal is opened. */
static int open_tty(const char *path, Fd *ret, Error *err)
{
        if (!path || !str_starts(path, "/dev/pts/") || strspn(path + 9, "0123456789") != strlen(path + 9))
                return err_set(err, ERR_OPERATION_FAILED, "'%s' is no pseudo terminal", path ?: "(none)");
        *ret = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (*ret < 0)
                return err_errno(err, errno, "cannot open the console's terminal '%s'", path);
        return 0;
}

/* fd is taken. Somebody else may have come while it was opened. */
static int begin_stream(Call *call, QemuRun *run, const char *alias, Fd fd, bool force, Error *err)
{
        AUTO(Fd) own = fd;
        ConsoleUse *use;

        if (claim(run, alias, force, err) < 0)
                return -1;
        use = mem_new(ConsoleUse);
        use->stream = stream_new(call, fd_take(&own), true, true, on_stream_ended, use, err);
        if (!use->stream) {
                free(use);
                return -1;
        }
        use->run = run;
        use->alias = str_dup(alias);
        vec_push(&run->consoles, use);
        call_reply(call, NULL);
        return 0;
}

/* A socket is being connected; the guest may end meanwhile. */
typedef struct Opening {
        Call *call;
        Domain *dom;
        char *alias;
        bool force;
        PathDial *dial;
} Opening;

static void on_dialled(void *arg, Fd fd, const Error *failure)
{
        Opening *o = arg;
        AUTO(Error) err = { 0 };
        AUTO(Fd) own = fd;
        QemuRun *run = qemu_act_run(o->call, o->dom, &err);

        if (failure)
                err_copy(&err, failure);
        if (failure || !run || begin_stream(o->call, run, o->alias, fd_take(&own), o->force, &err) < 0)
                call_fail(o->call, &err);
        path_dial_free(o->dial);
        domain_unref(o->dom);
        free(o->alias);
        free(o);
}

static int open_stream(Call *call, QemuRun *run, const ChardevDef *chardev, bool force, Error *err)
{
        const char *alias = chardev->info.alias;
        Opening *o;
        Fd fd;

        if (claim(run, alias, force, err) < 0)
                return -1;
        if (chardev->type == CHARDEV_TYPE_PTY)
                return open_tty(chardev->tty, &fd, err) < 0 ? -1 : begin_stream(call, run, alias, fd, force, err);
        o = mem_new(Opening);
        *o = (Opening){ .call = call, .dom = domain_ref(run->dom), .alias = str_dup(alias), .force = force };
        o->dial = qemu_act_dial(run, chardev, on_dialled, o, err);
        if (o->dial)
                return 0;
        domain_unref(o->dom);
        free(o->alias);
        free(o);
        return -1;
}

static const ChardevDef *find_alias(ChardevDef *const *list, uint32_t n, const char *alias)
{
        for (uint32_t i = 0; i < n; i++) {
                if (str_eq(list[i]->info.alias, alias))
                        return list[i];
        }
        return NULL;
}

/* The one of that alias; NULL: the first console. A console that is the first serial port is that port. */
static const ChardevDef *find_console(const DomainDef *def, const char *alias)
{
        const ChardevDef *found = NULL;

        if (alias) {
                found = find_alias(def->serials, def->n_serials, alias);
                if (!found)
                        found = find_alias(def->consoles, def->n_consoles, alias);
                return found ?: find_alias(def->parallels, def->n_parallels, alias);
        }
        if (def->n_consoles && def->consoles[0]->target_type && !str_eq(def->consoles[0]->target_type, "serial"))
                return def->consoles[0];
        if (def->n_serials)
                return def->serials[0];
        return def->n_consoles ? def->consoles[0] : NULL;
}

int handle_domain_open_console(Call *call, const WireDomainOpenConsoleArgs *args, Error *err)
{
        const ChardevDef *console;
        Domain *dom;
        QemuRun *run;

        if (call_check_flags(call, args->flags, CONSOLE_FLAGS, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(run = qemu_act_run(call, dom, err)))
                return -1;
        console = find_console(dom->live, args->dev_name);
        if (!console && args->dev_name)
                return err_set(err, ERR_INVALID_ARG, "domain '%s' has no console device '%s'", dom->name,
                               args->dev_name);
        if (!console)
                return err_set(err, ERR_INTERNAL, "domain '%s' has no console", dom->name);
        return open_stream(call, run, console, args->flags & VIR_DOMAIN_CONSOLE_FORCE, err);
}

static const ChardevDef *find_channel(const DomainDef *def, const char *name)
{
        for (uint32_t i = 0; i < def->n_channels; i++) {
                const ChardevDef *channel = def->channels[i];

                if (!name || str_eq(channel->target_name, name) || str_eq(channel->info.alias, name))
                        return channel;
        }
        return NULL;
}

int handle_domain_open_channel(Call *call, const WireDomainOpenChannelArgs *args, Error *err)
{
        const ChardevDef *channel;
        Domain *dom;
        QemuRun *run;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_CHANNEL_FORCE, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(run = qemu_act_run(call, dom, err)))
                return -1;
        channel = find_channel(dom->live, args->name);
        if (!channel)
                return err_set(err, ERR_INVALID_ARG, "domain '%s' has no channel '%s'", dom->name, args->name ?: "");
        if (channel->type != CHARDEV_TYPE_UNIX)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "channel '%s' is not a unix socket",
                               channel->info.alias);
        return open_stream(call, run, channel, args->flags & VIR_DOMAIN_CHANNEL_FORCE, err);
}
