/*
 * daemon/main.c - droverd's command line, and its life
 */
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/service.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/options.h"
#include "daemon/server.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MOST_TURN_US = 5000 };

typedef struct Options {
        DaemonDirs dirs;
        bool check_config, verbose;
} Options;

static void options_done(Options *options)
{
        free(options->dirs.config);
        free(options->dirs.state);
        free(options->dirs.run);
        free(options->dirs.log);
}
DEFINE_AUTO_VALUE(Options, options_done)

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, Options *options)
{
        int c;

        while ((c = getopt_long(argc, argv, option_letters, option_table, NULL)) >= 0) {
                switch (c) {
                case OPTION_CONFIG_DIR:
                        str_replace(&options->dirs.config, optarg);
                        break;
                case OPTION_STATE_DIR:
                        str_replace(&options->dirs.state, optarg);
                        break;
                case OPTION_RUN_DIR:
                        str_replace(&options->dirs.run, optarg);
                        break;
                case OPTION_LOG_DIR:
                        str_replace(&options->dirs.log, optarg);
                        break;
                case OPTION_CHECK_CONFIG:
                        options->check_config = true;
                        break;
                case OPTION_VERBOSE:
                        options->verbose = true;
                        break;
                case OPTION_VERSION:
                        printf("droverd %s\n", DROVER_VERSION);
                        return 0;
                case OPTION_HELP:
                        printf("usage: droverd [OPTION]...\n"
                               "Run QEMU guests on this host; clients speak the libvirt protocol to it.\n"
                               "\n%s\n"
                               "droverd stays in the foreground. It ends on SIGTERM or SIGINT; guests go on.\n",
                               option_help);
                        return 0;
                default:
                        fputs("droverd --help lists the options\n", stderr);
                        return 2;
                }
        }
        if (optind < argc) {
                fprintf(stderr, "droverd: '%s' is not an option; droverd --help lists them\n", argv[optind]);
                return 2;
        }
        return -1;
}

/* Relative directories would move when the daemon changes its own. */
static int make_absolute(char **path, Error *err)
{
        char *absolute;

        if (**path == '/')
                return 0;
        absolute = realpath(".", NULL);
        if (!absolute)
                return err_errno(err, errno, "cannot tell the working directory");
        {
                AUTOFREE char *base = absolute;

                absolute = str_format("%s/%s", base, *path);
        }
        free(*path);
        *path = absolute;
        return 0;
}

static void on_config_warning(void *arg UNUSED, const char *sentence)
{
        log_warning("%s", sentence);
}

/* Every client, guest and migration takes descriptors; the default of 1,024 would end it early. */
static void raise_fd_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
}

/*
 * One daemon per run directory; the lock lives as long as the descriptor. It is the process's own: a child that has not
 * reached its exec yet must not hold it when its daemon was killed, or the next start would be refused.
 */
static int claim_pidfile(const char *dir, Fd *ret, Error *err)
{
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        AUTOFREE char *path = str_format("%s/droverd.pid", dir);
        AUTO(Fd) fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        if (fd < 0)
                return err_errno(err, errno, "cannot open '%s'", path);
        if (fcntl(fd, F_SETLK, &lock) < 0) {
                if (errno == EAGAIN || errno == EACCES)
                        return err_set(err, ERR_OPERATION_INVALID, "another droverd holds '%s'", path);
                return err_errno(err, errno, "cannot lock '%s'", path);
        }
        if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", getpid()) < 0)
                return err_errno(err, errno, "cannot write '%s'", path);
        *ret = fd_take(&fd);
        return 0;
}

static void on_stop(void *arg)
{
        loop_stop(arg);
}

/* arg: where the daemon is, or NULL before there is one. */
static void on_reload(void *arg)
{
        Daemon **daemon = arg;

        if (*daemon)
                daemon_reload(*daemon);
        log_info("definitions and guests are as they were; droverd.conf is read at the next start");
}

/* arg: as above. */
static void on_report(void *arg)
{
        Daemon **daemon = arg;

        if (*daemon)
                server_report((*daemon)->server);
}

/* One thread owns all state, so whoever keeps it busy lets all clients wait: that is a bug to be found. */
static void on_slow_turn(void *arg UNUSED, uint64_t cpu_us, const char *doing)
{
        log_warning("the event loop was busy for %llu ms with %s", (unsigned long long)cpu_us / 1000,
                    doing ?: "something that is no call");
}

static void tell_manager(const char *state)
{
        AUTO(Error) err = { 0 };

        if (service_notify(state, &err) < 0)
                log_warning("%s", err.text);
}

static int serve(Options *options, Config *config, Error *err)
{
        AUTO(Config) *own_config = config;
        AUTO(Loop) *loop = loop_new(err);
        AUTO(SignalWatch) *term = NULL, *intr = NULL, *hup = NULL, *usr1 = NULL;
        AUTO(Daemon) *daemon = NULL;
        AUTO(Fd) pidfile = -1;

        if (!loop)
                return -1;
        term = signal_watch_new(loop, SIGTERM, on_stop, loop, err);
        intr = term ? signal_watch_new(loop, SIGINT, on_stop, loop, err) : NULL;
        hup = intr ? signal_watch_new(loop, SIGHUP, on_reload, &daemon, err) : NULL;
        usr1 = hup ? signal_watch_new(loop, SIGUSR1, on_report, &daemon, err) : NULL;
        if (!usr1 || dir_make(options->dirs.run, 0755, err) < 0 ||
            claim_pidfile(options->dirs.run, &pidfile, err) < 0)
                return -1;
        daemon = daemon_new(loop, TAKE(own_config), options->dirs, err);
        options->dirs = (DaemonDirs){ 0 };
        if (!daemon)
                return -1;
        tell_manager("READY=1");
        log_info("droverd %s is ready", DROVER_VERSION);
        malloc_trim(0); /* reading the definitions and the capabilities took more than they need */
        loop_watch_turns(loop, MOST_TURN_US, on_slow_turn, NULL);
        if (loop_run(loop, err) < 0)
                return -1;
        tell_manager("STOPPING=1");
        log_info("droverd ends; guests go on");
        return 0;
}

static int run(Options *options, Error *err)
{
        AUTOFREE char *path = NULL;
        AUTO(Config) *config = NULL;

        if (make_absolute(&options->dirs.config, err) < 0 || make_absolute(&options->dirs.state, err) < 0 ||
            make_absolute(&options->dirs.run, err) < 0 || make_absolute(&options->dirs.log, err) < 0)
                return -1;
        path = str_format("%s/droverd.conf", options->dirs.config);
        config = config_load(path, on_config_warning, NULL, err);
        if (!config)
                return -1;
        if (options->check_config) {
                printf("%s: no errors\n", path);
                return 0;
        }
        if (geteuid() != 0)
                return err_set(err, ERR_OPERATION_DENIED,
                               "droverd runs the guests of the whole system and needs root");
        log_set_level(options->verbose ? LOG_LEVEL_DEBUG : (LogLevel)config->log_level);
        raise_fd_limit();
        signal(SIGPIPE, SIG_IGN);
        return serve(options, TAKE(config), err);
}

int main(int argc, char **argv)
{
        AUTO(Options)
        options = { .dirs = { .config = str_dup("/etc/drover"),
                              .state = str_dup(SYSTEM_STATE_DIR),
                              .run = str_dup("/run/drover"),
                              .log = str_dup("/var/log/drover") } };
        AUTO(Error) err = { 0 };
        int status = parse_options(argc, argv, &options);

        if (status >= 0)
                return status;
        if (run(&options, &err) < 0) {
                log_error("%s", err.text);
                return 1;
        }
        return 0;
}
