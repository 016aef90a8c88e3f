/*
 * app/drover/console.c - connect this terminal with a guest's console
 *
 * The terminal is raw meanwhile, so that every key reaches the guest; it is put
 * back whatever ends the connection, a signal too. Input that is no terminal is
 * sent as well, as fast as the guest takes it, and its end does not end the
 * console: the guest may still have something to say.
 */
#include "app/drover/console.h"

#include "base/fd.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

enum { INPUT_BYTES = 4096, ENDINGS = 4 };

static const int endings[ENDINGS] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };

typedef struct Console {
        Session *session;
        const WireDomain *dom;
        ClientStream *stream;
        Watch *input; /* NULL: of a file, or ended */
        SignalWatch *signals[ENDINGS];
        int killed_by; /* 0: nobody did */
        Error failure;
        bool opened, finished, input_ended, from_file;
} Console;

static void server_sent(void *arg, const void *data, size_t len)
{
        Console *console = arg;

        /* nobody sees it any more */
        if (!err_is_set(&console->failure) && fd_write_all(STDOUT_FILENO, data, len, &console->failure) < 0)
                client_stream_abort(console->stream);
}

static void server_ended(void *arg)
{
        Console *console = arg;

        client_stream_finish(console->stream);
}

static void finished(void *arg, const Error *failure)
{
        Console *console = arg;

        if (failure && !err_is_set(&console->failure))
                err_copy(&console->failure, failure);
        console->finished = true;
}

static void tell_escape(const Session *s, const WireDomain *dom)
{
        unsigned char key = (unsigned char)s->escape;

        out_print(s->out, "Connected to domain '%s'\n", dom->name);
        if (key < ' ')
                out_print(s->out, "Escape character is ^%c (Ctrl + %c)\n", key + '@', key + '@');
        else
                out_print(s->out, "Escape character is %c\n", key);
        fflush(stdout);
}

/* The guest's first bytes may have come with the answer, and follow at once. */
static void opened(void *arg, ClientReply *reply)
{
        Console *console = arg;

        console->opened = true;
        if (reply->failure) {
                err_copy(&console->failure, reply->failure);
                console->finished = true;
        } else {
                tell_escape(console->session, console->dom);
        }
}

static void stop_input(Console *console)
{
        console->input_ended = true;
        console->input = watch_free(console->input);
}

static void typed(void *arg, uint32_t revents UNUSED)
{
        Console *console = arg;
        char keys[INPUT_BYTES];
        ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
        char *escape;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                stop_input(console);
                return;
        }
        escape = memchr(keys, console->session->escape, (size_t)n);
        if (escape)
                n = escape - keys;
        if (n > 0)
                client_stream_send(console->stream, keys, (size_t)n);
        if (escape) {
                stop_input(console);
                client_stream_abort(console->stream);
        } else if (console->input && !client_stream_has_room(console->stream)) {
                watch_set_events(console->input, 0);
        }
}

/* A file or /dev/null cannot be waited for, and need not be: what there is room for is typed at once. */
static bool can_be_waited_for(int fd)
{
        AUTO(Fd) epoll = epoll_create1(EPOLL_CLOEXEC);

        return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ 0 }) == 0;
}

static void type_file(Console *console)
{
        while (!console->input_ended && client_stream_has_room(console->stream))
                typed(console, EPOLLIN);
}

static void has_room(void *arg)
{
        Console *console = arg;

        if (console->from_file)
                type_file(console);
        else if (console->input)
                watch_set_events(console->input, EPOLLIN);
}

static const ClientStreamHooks stream_hooks = {
        .data = server_sent,
        .end = server_ended,
        .room = has_room,
        .finished = finished,
};

static int run_until(Console *console, const bool *flag, Error *err)
{
        while (!*flag && !console->session->lost)
                if (loop_turn(console->session->loop, -1, err) < 0)
                        return -1;
        if (!*flag)
                return err_set(err, ERR_INTERNAL, "the connection to the daemon ended");
        return 0;
}

static int open_console(Console *console, const char *device, uint32_t flags, Error *err)
{
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, WIRE_PROC_DOMAIN_OPEN_CONSOLE);
        WireDomainOpenConsoleArgs call = { *console->dom, device, flags };

        console->stream = client_stream_new(console->session->client, proc, &call, &stream_hooks, opened, console);
        if (run_until(console, &console->opened, err) < 0)
                return -1;
        return err_is_set(&console->failure) ? err_move(err, &console->failure) : 0;
}

static int serve(Console *console, Error *err)
{
        console->from_file = !can_be_waited_for(STDIN_FILENO);
        if (console->from_file)
                type_file(console);
        else
                console->input = watch_new(console->session->loop, STDIN_FILENO, EPOLLIN, typed, console);
        if (run_until(console, &console->finished, err) < 0)
                return -1;
        return err_is_set(&console->failure) ? err_move(err, &console->failure) : 0;
}

static void killed(Console *console, int signum)
{
        console->killed_by = signum;
        console->finished = true;
}

static void terminated(void *arg)
{
        killed(arg, SIGTERM);
}

static void hung_up(void *arg)
{
        killed(arg, SIGHUP);
}

static void interrupted(void *arg)
{
        killed(arg, SIGINT);
}

static void quit(void *arg)
{
        killed(arg, SIGQUIT);
}

/* What would end the program ends the console first; what it was told to ignore (nohup) stays ignored. */
static int watch_signals(Console *console, Error *err)
{
        static void (*const end_by[ENDINGS])(void *) = { terminated, hung_up, interrupted, quit };
        struct sigaction now;

        for (size_t i = 0; i < ENDINGS; i++) {
                if (sigaction(endings[i], NULL, &now) == 0 && now.sa_handler == SIG_IGN)
                        continue;
                console->signals[i] = signal_watch_new(console->session->loop, endings[i], end_by[i], console, err);
                if (!console->signals[i])
                        return -1;
        }
        return 0;
}

static int serve_raw(Console *console, const struct termios *before, Error *err)
{
        struct termios raw = *before;
        int result = watch_signals(console, err);

        if (result == 0) {
                cfmakeraw(&raw);
                tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
                result = serve(console, err);
                tcsetattr(STDIN_FILENO, TCSAFLUSH, before);
        }
        for (size_t i = 0; i < ENDINGS; i++)
                console->signals[i] = signal_watch_free(console->signals[i]);
        if (console->killed_by)
                raise(console->killed_by);
        return result;
}

int console_run(Session *s, const WireDomain *dom, const char *device, uint32_t flags, Error *err)
{
        Console console = { .session = s, .dom = dom };
        bool terminal = isatty(STDIN_FILENO);
        struct termios before;
        int result;

        if (terminal && tcgetattr(STDIN_FILENO, &before) < 0)
                return err_errno(err, errno, "unable to get tty attributes");
        result = open_console(&console, device, flags, err);
        if (result == 0)
                result = terminal ? serve_raw(&console, &before, err) : serve(&console, err);
        stop_input(&console);
        client_stream_free(console.stream);
        err_done(&console.failure);
        return result;
}
