/*
 * app/drover-nbd/options.c - the command line of the NBD server
 *
 * The table of app/drover-img/serve-options.h is parsed by and printed as help.
 */
#include "app/drover-nbd/options.h"

#include "app/drover-img/serve-options.h"
#include "base/str.h"

#include <stdio.h>

enum { USUAL_THREADS = 8 };

static void help(void)
{
        printf("usage: drover-img serve [OPTIONS] FILENAME\n"
               "Export a disk image over NBD. Options are those of qemu-nbd.\n\n");
        for (size_t i = 0; i < SERVE_ROWS; i++) {
                AUTOFREE char *name = serve_rows[i].value
                                              ? str_format("%s=%s", serve_rows[i].name, serve_rows[i].value)
                                              : str_dup(serve_rows[i].name);

                if (serve_rows[i].letter < SERVE_FORK)
                        printf("  -%c, --%-24s %s\n", serve_rows[i].letter, name, serve_rows[i].help);
                else
                        printf("      --%-24s %s\n", name, serve_rows[i].help);
        }
        printf("\nWith LISTEN_FDS and LISTEN_PID set (systemd), the sockets passed in are listened on.\n");
}

static int parse_number(const char *text, const char *what, uint32_t least, uint32_t most, unsigned *ret, Error *err)
{
        uint32_t number;

        if (str_to_u32(text, &number) < 0 || number < least || number > most)
                return err_set(err, ERR_INVALID_ARG, "'%s' is not a number from %u to %u for --%s", text, least, most,
                               what);
        *ret = number;
        return 0;
}

static int parse_zeroes(const char *text, NbdExport *export, Error *err)
{
        export->unmap_zeroes = str_eq(text, "unmap");
        export->detect_zeroes = export->unmap_zeroes || str_eq(text, "on");
        if (export->detect_zeroes || str_eq(text, "off"))
                return 0;
        return err_set(err, ERR_INVALID_ARG, "Failed to parse detect_zeroes mode: invalid parameter value: %s", text);
}

static int parse_discard(const char *text, NbdExport *export, Error *err)
{
        export->ignore_trim = str_eq(text, "ignore") || str_eq(text, "off");
        if (export->ignore_trim || str_eq(text, "unmap") || str_eq(text, "on"))
                return 0;
        return err_set(err, ERR_INVALID_ARG, "Invalid discard argument: %s", text);
}

static int parse_aio(const char *text, Error *err)
{
        if (str_eq(text, "threads") || str_eq(text, "native") || str_eq(text, "io_uring"))
                return 0;
        return err_set(err, ERR_INVALID_ARG, "Invalid aio mode: %s", text);
}

static int set_text(const char **to, const char *what, Error *err)
{
        if (strlen(optarg) > NBD_MOST_STRING)
                return err_set(err, ERR_INVALID_ARG, "%s is longer than %d bytes", what, NBD_MOST_STRING);
        *to = optarg;
        return 0;
}

/* What is served, and how. 1: it was not one of these. */
static int export_option(ServeOptions *o, int c, Error *err)
{
        switch (c) {
        case 'x':
                return set_text(&o->export.name, "the name of the export", err);
        case 'D':
                return set_text(&o->export.description, "the description", err);
        case 'r':
                o->export.read_only = true;
                return 0;
        case 'o':
                return size_from_text(optarg, "offset", &o->export.offset, err);
        case 'A':
                o->export.show_depth = true;
                return 0;
        case 'B':
                vec_push(&o->bitmaps, optarg);
                return 0;
        case 'l':
                o->snapshot = str_starts(optarg, "snapshot.id=")     ? optarg + strlen("snapshot.id=")
                              : str_starts(optarg, "snapshot.name=") ? optarg + strlen("snapshot.name=")
                                                                     : optarg;
                o->export.read_only = true;
                return 0;
        case SERVE_CACHE:
                return policy_set_cache(&o->source.policy, optarg, err);
        case 'n':
                return policy_set_cache(&o->source.policy, "none", err);
        case SERVE_AIO:
                return parse_aio(optarg, err);
        case SERVE_DISCARD:
                return parse_discard(optarg, &o->export, err);
        case SERVE_DETECT_ZEROES:
                return parse_zeroes(optarg, &o->export, err);
        case SERVE_UNTRUSTED:
                o->source.policy.untrusted = true;
                return 0;
        case 'f':
                o->source.format = optarg;
                return 0;
        case SERVE_IMAGE_OPTS:
                o->source.image_opts = true;
                return 0;
        case SERVE_FORCE_SHARE:
                o->source.policy.no_locks = true;
                return 0;
        default:
                return 1;
        }
}

typedef struct Named { /* objects may come behind the options that name them */
        const char *creds;
        VEC(const char *) authz;
} Named;

/* Who can connect, and where. */
static int server_option(ServeOptions *o, int c, Named *named, Error *err)
{
        switch (c) {
        case 'v':
                o->verbose = true;
                return 0;
        case 'k':
                o->socket_path = optarg;
                return 0;
        case 'p':
                o->port = optarg;
                return 0;
        case 'b':
                o->address = optarg;
                return 0;
        case SERVE_STDIN:
                o->use_stdin = true;
                return 0;
        case 'e':
                return parse_number(optarg, "shared", 0, 1024, &o->shared, err);
        case 't':
                o->persistent = true;
                return 0;
        case SERVE_FORK:
                o->fork = true;
                return 0;
        case SERVE_PID_FILE:
                o->pid_file = optarg;
                return 0;
        case SERVE_THREADS:
                return parse_number(optarg, "threads", 1, NBD_MOST_THREADS, &o->threads, err);
        case SERVE_STALL_TIMEOUT:
                return parse_number(optarg, "stall-timeout", 0, 86400, &o->stall_seconds, err);
        case SERVE_TLS_CREDS:
                named->creds = optarg;
                return 0;
        case SERVE_TLS_AUTHZ:
                vec_push(&named->authz, optarg);
                return 0;
        case SERVE_TLS_ALLOW:
                vec_push(&o->allowed, ((NbdTlsName){ .text = optarg, .is_pattern = true }));
                return 0;
        case SERVE_OBJECT:
                return object_add(optarg, err);
        default:
                return err_set(err, ERR_INVALID_ARG,
                               "an option is not known, or lacks its value: try 'drover-img serve "
                               "--help'");
        }
}

static int find_objects(ServeOptions *o, const Named *named, Error *err)
{
        if (named->creds) {
                o->tls = tls_creds_find(named->creds, true, err);
                if (!o->tls)
                        return -1;
        }
        for (size_t i = 0; i < named->authz.len; i++) {
                const char *identity = authz_find(named->authz.items[i], err);

                if (!identity)
                        return -1;
                vec_push(&o->allowed, ((NbdTlsName){ .text = identity }));
        }
        if (o->allowed.len && !o->tls)
                return err_set(err, ERR_INVALID_ARG, "TLS authorization is only possible with --tls-creds");
        return 0;
}

static int check(const ServeOptions *o, int argc, Error *err)
{
        if (optind != argc - 1)
                return err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
        if (o->source.image_opts && o->source.format)
                return err_set(err, ERR_INVALID_ARG, "--image-opts and -f are mutually exclusive");
        if ((o->socket_path && (o->port || o->address)) ||
            (o->use_stdin && (o->socket_path || o->port || o->address)))
                return err_set(err, ERR_INVALID_ARG, "of --socket, --port and --stdin only one can be given");
        if (o->use_stdin && (o->persistent || o->fork))
                return err_set(err, ERR_INVALID_ARG,
                               "--stdin serves one client: it cannot be given with --persistent "
                               "or --fork");
        return 0;
}

static int parse(ServeOptions *o, int argc, char **argv, Named *named, Error *err)
{
        struct option longs[SERVE_ROWS + 1] = { 0 };
        char shorts[2 * SERVE_ROWS + 1];
        size_t n = 0;
        int c, r;

        for (size_t i = 0; i < SERVE_ROWS; i++) {
                longs[i] = (struct option){ serve_rows[i].name, serve_rows[i].value ? required_argument : no_argument,
                                            NULL, serve_rows[i].letter };
                if (serve_rows[i].letter < SERVE_FORK)
                        shorts[n++] = (char)serve_rows[i].letter;
                if (serve_rows[i].letter < SERVE_FORK && serve_rows[i].value)
                        shorts[n++] = ':';
        }
        shorts[n] = '\0';
        while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
                if (c == 'h' || c == 'V') {
                        if (c == 'h')
                                help();
                        else
                                printf("drover-nbd version " DROVER_VERSION "\n");
                        return 1;
                }
                r = export_option(o, c, err);
                if (r < 0 || (r > 0 && server_option(o, c, named, err) < 0))
                        return -1;
        }
        return check(o, argc, err) < 0 ? -1 : find_objects(o, named, err);
}

int serve_options_parse(ServeOptions *o, int argc, char **argv, Error *err)
{
        Named named = { 0 };
        int r;

        *o = (ServeOptions){ .source.policy = policy_usual(), .shared = 1, .threads = USUAL_THREADS };
        o->stall_seconds = NBD_STALL_SECONDS;
        o->export.name = "";
        r = parse(o, argc, argv, &named, err);
        vec_done(&named.authz);
        if (r == 0)
                o->image = argv[optind];
        o->export.multi_conn = o->shared != 1;
        return r;
}

void serve_options_done(ServeOptions *o)
{
        vec_done(&o->bitmaps);
        vec_done(&o->allowed);
}
