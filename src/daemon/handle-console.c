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

static int open_chardev(const QemuRun *run, const ChardevDef *chardev, const char *what, Fd *ret, Error *err)
{
        AUTOFREE char *path = NULL;

        if (chardev->type == CHARDEV_TYPE_PTY)
                return open_tty(chardev->tty, ret, err);
        path = qemu_act_socket_path(run, chardev);
        if (!path)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "%s '%s' is of type '%s'; only a pty or a listening unix socket can be opened", what,
                               chardev->info.alias, chardev_type_text(chardev->type));
        return qmp_client_connect(path, ret, err);
}

static int open_stream(Call *call, QemuRun *run, const ChardevDef *chardev, const char *what, bool force, Error *err)
{
        const char *alias = chardev->info.alias;
        ConsoleUse *use;
        Fd fd;

        if (claim(run, alias, force, err) < 0 || open_chardev(run, chardev, what, &fd, err) < 0)
                return -1;
        use = mem_new(ConsoleUse);
        use->stream = stream_new(call, fd, true, true, on_stream_ended, use, err);
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
        return open_stream(call, run, console, "console", args->flags & VIR_DOMAIN_CONSOLE_FORCE, err);
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
        return open_stream(call, run, channel, "channel", args->flags & VIR_DOMAIN_CHANNEL_FORCE, err);
}
