/*
 * app/drover/main.c - the drover program: options, then commands
 */
#include "app/drover/help.h"
#include "app/drover/session.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

typedef struct Options {
        bool json;
        bool done; /* --help or --version: nothing else to do */
        Fd log;
        Session session;
} Options;

static int number_option(const char *name, const char *text, int least, int *ret, Error *err)
{
        int32_t number;

        if (str_to_i32(text, &number) < 0 || number < least)
                return err_set(err, ERR_INVALID_ARG, "option %s takes a number of at least %d, not '%s'", name, least,
                               text);
        *ret = number;
        return 0;
}

static int set_escape(Session *session, const char *text, Error *err)
{
        size_t n = strlen(text);

        if (n == 2 && text[0] == '^' && text[1] >= '@' && text[1] <= '_')
                session->escape = (char)(text[1] - '@');
        else if (n == 1)
                session->escape = text[0];
        else
                return err_set(err, ERR_INVALID_ARG, "Invalid string '%s' for escape sequence: use X or ^X", text);
        return 0;
}

static int set_log(Options *options, const char *path, Error *err)
{
        options->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (options->log < 0)
                return err_errno(err, errno, "cannot open the log file '%s'", path);
        log_set_fd(options->log);
        return 0;
}

static int set_debug(const char *text, Error *err)
{
        int level;

        if (number_option("-d", text, 0, &level, err) < 0)
                return -1;
        log_set_level(MIN(level, LOG_LEVEL_ERROR - LOG_LEVEL_DEBUG) + LOG_LEVEL_DEBUG);
        return 0;
}

static int set_format(Options *options, const char *text, Error *err)
{
        if (!str_eq(text, "json") && !str_eq(text, "table"))
                return err_set(err, ERR_INVALID_ARG, "unknown output format '%s': there are 'table' and 'json'",
                               text);
        options->json = str_eq(text, "json");
        return 0;
}

static int print_version(Options *options, const char *type, Error *err)
{
        options->done = true;
        if (!type || str_eq(type, "short"))
                printf("%s\n", DROVER_VERSION);
        else if (str_eq(type, "long"))
                printf("drover %s, a command line for virtual machines\n\n"
                       "Speaks the libvirt protocol, as of version 9.0, over: unix, tcp, ssh\n"
                       "Output formats: table, json\n",
                       DROVER_VERSION);
        else
                return err_set(err, ERR_INVALID_ARG, "unsupported version type '%s': there are 'short' and 'long'",
                               type);
        return 0;
}

static void print_help(Options *options)
{
        AUTO(Buf) text = { 0 };

        help_program(&text);
        fputs(buf_text(&text), stdout);
        options->done = true;
}

static int take_option(Options *options, int letter, const char *value, Error *err)
{
        switch (letter) {
        case 'c':
                str_replace(&options->session.uri, value);
                return 0;
        case 'd':
                return set_debug(value, err);
        case 'e':
                return set_escape(&options->session, value, err);
        case 'h':
                print_help(options);
                return 0;
        case 'k':
                return number_option("-k", value, 0, &options->session.keepalive_interval_s, err);
        case 'K':
                return number_option("-K", value, 0, &options->session.keepalive_count, err);
        case 'l':
                return set_log(options, value, err);
        case 'o':
                return set_format(options, value, err);
        case 'q':
                options->session.quiet = true;
                return 0;
        case 'r':
                options->session.readonly = true;
                return 0;
        case 't':
                options->session.timing = true;
                return 0;
        case 'v':
                return print_version(options, value, err);
        case 'V':
                return print_version(options, "long", err);
        default:
                return -1;
        }
}

enum { MOST_OPTIONS = 32 };

/* getopt's tables, from the one list that help shows too. */
static void fill_tables(char *letters, struct option *names)
{
        *letters++ = '+';
        *letters++ = ':';
        for (const ProgramOption *option = program_options; option->doc; option++) {
                bool optional = option->value && option->value[0] == '[';

                if (option->letter) {
                        *letters++ = option->letter;
                        if (option->value && !optional)
                                *letters++ = ':';
                }
                if (option->name)
                        *names++ = (struct option){ .name = option->name,
                                                    .has_arg = optional        ? optional_argument
                                                               : option->value ? required_argument
                                                                               : no_argument,
                                                    .val = option->letter ? option->letter : 'v' };
        }
        *letters = '\0';
}

static int read_options(int argc, char **argv, Options *options, Error *err)
{
        char letters[MOST_OPTIONS * 2 + 3] = { 0 };
        struct option names[MOST_OPTIONS] = { 0 };
        int letter;

        fill_tables(letters, names);
        opterr = 0;
        while ((letter = getopt_long(argc, argv, letters, names, NULL)) != -1) {
                const char *word = argv[optind - 1];

                if (letter == ':')
                        return err_set(err, ERR_INVALID_ARG, "option '%s' requires an argument", word);
                if (letter == '?' && optopt)
                        return err_set(err, ERR_INVALID_ARG, "unsupported option '-%c'. See --help.", optopt);
                if (letter == '?')
                        return err_set(err, ERR_INVALID_ARG, "unsupported option '%s'. See --help.", word);
                if (take_option(options, letter, optarg, err) < 0)
                        return -1;
                if (options->done)
                        return 0;
        }
        return 0;
}

static void set_default_uri(Session *session)
{
        static const char *const variables[] = { "DROVER_DEFAULT_URI", "VIRSH_DEFAULT_CONNECT_URI",
                                                 "LIBVIRT_DEFAULT_URI" };

        for (size_t i = 0; i < ARRAY_LEN(variables) && !session->uri; i++) {
                const char *value = getenv(variables[i]);

                if (value && *value)
                        session->uri = str_dup(value);
        }
}

static int run(Session *session, int argc, char **argv)
{
        if (argc == 0)
                return session_run_shell(session);
        if (argc == 1)
                return session_run_text(session, argv[0]);
        return session_run_words(session, (const char *const *)argv, (size_t)argc);
}

/* What was said must have arrived, whenever it was. Where the reader has gone away nobody is told. */
static int flush_output(void)
{
        struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

        if (fflush(stdout) == 0 && !ferror(stdout))
                return 0;
        if (poll(&out, 1, 0) < 0 || !(out.revents & POLLERR))
                fputs("error: the output cannot be written completely\n", stderr);
        return -1;
}

int main(int argc, char **argv)
{
        AUTO(Error) err = { 0 };
        Options options = { .log = -1,
                            .session = { .escape = ']' - '@', .keepalive_interval_s = 5, .keepalive_count = 6 } };
        int result = 0;

        setlocale(LC_ALL, "");
        setlocale(LC_NUMERIC, "C");
        signal(SIGPIPE, SIG_IGN);
        if (read_options(argc, argv, &options, &err) < 0) {
                session_tell_error(&err);
                result = -1;
        } else if (!options.done) {
                options.session.out = output_new(options.json, options.session.quiet, stdout);
                set_default_uri(&options.session);
                result = run(&options.session, argc - optind, argv + optind);
        }
        session_done(&options.session);
        fd_close(&options.log);
        if (flush_output() < 0)
                result = -1;
        return result < 0 ? EXIT_COMMAND_FAILED : EXIT_DONE;
}
