/*
 * app/drover-nbd/options.c - the command line of the NBD server
 *
 * One table is parsed from and printed as help.
 */
#include "app/drover-nbd/options.h"

#include "base/str.h"

#include <stdio.h>

enum { USUAL_THREADS = 8 };

enum { /* letters of options that have only a long name */
       OPT_FORK = 256,
       OPT_PID_FILE,
       OPT_STDIN,
       OPT_CACHE,
       OPT_AIO,
       OPT_DISCARD,
       OPT_DETECT_ZEROES,
       OPT_TLS_CREDS,
       OPT_TLS_AUTHZ,
       OPT_TLS_ALLOW,
       OPT_THREADS,
       OPT_UNTRUSTED,
       OPT_OBJECT,
       OPT_IMAGE_OPTS,
       OPT_FORCE_SHARE,
};

static const struct {
        int letter;
        const char *name, *value, *help;
} rows[] = {
        { 'h', "help", NULL, "Display this help and exit" },
        { 'V', "version", NULL, "Output version information and exit" },
        { 'v', "verbose", NULL, "Say on standard error what clients did wrong" },
        { 'k', "socket", "PATH", "Listen on this UNIX socket" },
        { 'p', "port", "PORT", "Listen on this TCP port (default 10809)" },
        { 'b', "bind", "ADDRESS", "Listen on this address (default: 127.0.0.1, with --tls-creds every address)" },
        { OPT_STDIN, "stdin", NULL, "Serve the one client that is connected to standard input" },
        { 'e', "shared", "NUM", "Let so many connections in at a time (default 1, 0: any number)" },
        { 't', "persistent", NULL, "Do not exit with the last connection" },
        { OPT_FORK, "fork", NULL, "Return once clients can connect, serve in the background" },
        { OPT_PID_FILE, "pid-file", "PATH", "Write the process id there once clients can connect" },
        { 'x', "export-name", "NAME", "Name of the export (default: the empty one)" },
        { 'D', "description", "TEXT", "Description of the export for people" },
        { 'r', "read-only", NULL, "Let nobody write" },
        { 'o', "offset", "OFFSET", "Export the image from there on" },
        { 'A', "allocation-depth", NULL, "Tell in which image of the chain data stands (qemu:allocation-depth)" },
        { 'B', "bitmap", "NAME", "Tell what this dirty bitmap recorded (qemu:dirty-bitmap:NAME)" },
        { OPT_TLS_CREDS, "tls-creds", "ID", "Let in encrypted connections only, with these credentials" },
        { OPT_TLS_AUTHZ, "tls-authz", "ID", "Let in only whom this object names" },
        { OPT_TLS_ALLOW, "tls-allow", "PATTERN", "Let in only clients with such a name; can be given again" },
        { OPT_OBJECT, "object", "TYPE,ID,...", "secret, tls-creds-x509, tls-creds-psk or authz-simple" },
        { 'f', "format", "FORMAT", "Format of the image" },
        { OPT_IMAGE_OPTS, "image-opts", NULL, "FILENAME is driver=...,file.filename=..." },
        { OPT_UNTRUSTED, "untrusted", NULL, "Refuse an image that names other files" },
        { OPT_FORCE_SHARE, "force-share", NULL, "Do not lock the image" },
        { 'l', "load-snapshot", "SNAPSHOT", "Show this internal snapshot, read-only" },
        { OPT_CACHE, "cache", "MODE", "none, writeback (default), writethrough, directsync or unsafe" },
        { 'n', "nocache", NULL, "The same as --cache=none" },
        { OPT_AIO, "aio", "MODE", "threads, native, io_uring: taken, of no effect" },
        { OPT_DISCARD, "discard", "MODE", "unmap (default) gives room back that is discarded, ignore does not" },
        { OPT_DETECT_ZEROES, "detect-zeroes", "MODE",
          "off (default), on: zeros are stored as such, unmap: as holes" },
        { OPT_THREADS, "threads", "NUM", "Requests of a connection that are worked on at a time (1-16, default 8)" },
};

static void help(void)
{
        printf("usage: drover-img serve [OPTIONS] FILENAME\n"
               "Export a disk image over NBD. Options are those of qemu-nbd.\n\n");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTOFREE char *name = rows[i].value ? str_format("%s=%s", rows[i].name, rows[i].value)
                                                    : str_dup(rows[i].name);

                if (rows[i].letter < 256)
                        printf("  -%c, --%-24s %s\n", rows[i].letter, name, rows[i].help);
                else
                        printf("      --%-24s %s\n", name, rows[i].help);
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
        case OPT_CACHE:
                return policy_set_cache(&o->source.policy, optarg, err);
        case 'n':
                return policy_set_cache(&o->source.policy, "none", err);
        case OPT_AIO:
                return parse_aio(optarg, err);
        case OPT_DISCARD:
                return parse_discard(optarg, &o->export, err);
        case OPT_DETECT_ZEROES:
                return parse_zeroes(optarg, &o->export, err);
        case OPT_UNTRUSTED:
                o->source.policy.untrusted = true;
                return 0;
        case 'f':
                o->source.format = optarg;
                return 0;
        case OPT_IMAGE_OPTS:
                o->source.image_opts = true;
                return 0;
        case OPT_FORCE_SHARE:
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
        case OPT_STDIN:
                o->use_stdin = true;
                return 0;
        case 'e':
                return parse_number(optarg, "shared", 0, 1024, &o->shared, err);
        case 't':
                o->persistent = true;
                return 0;
        case OPT_FORK:
                o->fork = true;
                return 0;
        case OPT_PID_FILE:
                o->pid_file = optarg;
                return 0;
        case OPT_THREADS:
                return parse_number(optarg, "threads", 1, NBD_MOST_THREADS, &o->threads, err);
        case OPT_TLS_CREDS:
                named->creds = optarg;
                return 0;
        case OPT_TLS_AUTHZ:
                vec_push(&named->authz, optarg);
                return 0;
        case OPT_TLS_ALLOW:
                vec_push(&o->allowed, optarg);
                return 0;
        case OPT_OBJECT:
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
                vec_push(&o->allowed, (char *)(uintptr_t)identity);
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
        struct option longs[ARRAY_LEN(rows) + 1] = { 0 };
        char shorts[2 * ARRAY_LEN(rows) + 1];
        size_t n = 0;
        int c, r;

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                longs[i] = (struct option){ rows[i].name, rows[i].value ? required_argument : no_argument, NULL,
                                            rows[i].letter };
                if (rows[i].letter < 256)
                        shorts[n++] = (char)rows[i].letter;
                if (rows[i].letter < 256 && rows[i].value)
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
