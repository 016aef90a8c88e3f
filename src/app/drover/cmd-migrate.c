/*
 * app/drover/cmd-migrate.c - the migrate command: options in, an order out
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/migrate.h"

#include "base/str.h"

static const SwitchFlag migrate_switches[] = {
        { "live", VIR_MIGRATE_LIVE },
        { "offline", VIR_MIGRATE_OFFLINE },
        { "p2p", VIR_MIGRATE_PEER2PEER },
        { "tunnelled", VIR_MIGRATE_TUNNELLED },
        { "persistent", VIR_MIGRATE_PERSIST_DEST },
        { "undefinesource", VIR_MIGRATE_UNDEFINE_SOURCE },
        { "suspend", VIR_MIGRATE_PAUSED },
        { "copy-storage-all", VIR_MIGRATE_NON_SHARED_DISK },
        { "copy-storage-inc", VIR_MIGRATE_NON_SHARED_INC },
        { "copy-storage-synchronous-writes", VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES },
        { "change-protection", VIR_MIGRATE_CHANGE_PROTECTION },
        { "unsafe", VIR_MIGRATE_UNSAFE },
        { "compressed", VIR_MIGRATE_COMPRESSED },
        { "auto-converge", VIR_MIGRATE_AUTO_CONVERGE },
        { "rdma-pin-all", VIR_MIGRATE_RDMA_PIN_ALL },
        { "abort-on-error", VIR_MIGRATE_ABORT_ON_ERROR },
        { "postcopy", VIR_MIGRATE_POSTCOPY },
        { "postcopy-resume", VIR_MIGRATE_POSTCOPY_RESUME },
        { "zerocopy", VIR_MIGRATE_ZEROCOPY },
        { "tls", VIR_MIGRATE_TLS },
        { "parallel", VIR_MIGRATE_PARALLEL },
        { 0 },
};

/* Options that are one parameter, as they are. */
static const struct {
        const char *option, *field;
        int type; /* VIR_TYPED_PARAM_ */
} migrate_params[] = {
        { "migrateuri", VIR_MIGRATE_PARAM_URI, VIR_TYPED_PARAM_STRING },
        { "graphicsuri", VIR_MIGRATE_PARAM_GRAPHICS_URI, VIR_TYPED_PARAM_STRING },
        { "listen-address", VIR_MIGRATE_PARAM_LISTEN_ADDRESS, VIR_TYPED_PARAM_STRING },
        { "dname", VIR_MIGRATE_PARAM_DEST_NAME, VIR_TYPED_PARAM_STRING },
        { "disks-port", VIR_MIGRATE_PARAM_DISKS_PORT, VIR_TYPED_PARAM_INT },
        { "disks-uri", VIR_MIGRATE_PARAM_DISKS_URI, VIR_TYPED_PARAM_STRING },
        { "comp-mt-level", VIR_MIGRATE_PARAM_COMPRESSION_MT_LEVEL, VIR_TYPED_PARAM_INT },
        { "comp-mt-threads", VIR_MIGRATE_PARAM_COMPRESSION_MT_THREADS, VIR_TYPED_PARAM_INT },
        { "comp-mt-dthreads", VIR_MIGRATE_PARAM_COMPRESSION_MT_DTHREADS, VIR_TYPED_PARAM_INT },
        { "comp-xbzrle-cache", VIR_MIGRATE_PARAM_COMPRESSION_XBZRLE_CACHE, VIR_TYPED_PARAM_ULLONG },
        { "comp-zlib-level", VIR_MIGRATE_PARAM_COMPRESSION_ZLIB_LEVEL, VIR_TYPED_PARAM_INT },
        { "comp-zstd-level", VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL, VIR_TYPED_PARAM_INT },
        { "auto-converge-initial", VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL, VIR_TYPED_PARAM_INT },
        { "auto-converge-increment", VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT, VIR_TYPED_PARAM_INT },
        { "postcopy-bandwidth", VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY, VIR_TYPED_PARAM_ULLONG },
        { "available-switchover-bandwidth", VIR_MIGRATE_PARAM_BANDWIDTH_AVAIL_SWITCHOVER, VIR_TYPED_PARAM_ULLONG },
        { "parallel-connections", VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, VIR_TYPED_PARAM_INT },
        { "bandwidth", VIR_MIGRATE_PARAM_BANDWIDTH, VIR_TYPED_PARAM_ULLONG },
        { "tls-destination", VIR_MIGRATE_PARAM_TLS_DESTINATION, VIR_TYPED_PARAM_STRING },
};

static int add_plain_params(const Args *args, ParamList *params, Error *err)
{
        for (size_t i = 0; i < ARRAY_LEN(migrate_params); i++) {
                const char *option = migrate_params[i].option;
                uint64_t wide;
                int32_t number;

                if (!arg_has(args, option))
                        continue;
                switch (migrate_params[i].type) {
                case VIR_TYPED_PARAM_STRING:
                        params_add_text(params, migrate_params[i].field, arg_text(args, option));
                        break;
                case VIR_TYPED_PARAM_INT:
                        if (arg_i32(args, option, &number, err) < 0)
                                return -1;
                        params_add_i32(params, migrate_params[i].field, number);
                        break;
                default:
                        if (arg_u64(args, option, &wide, err) < 0)
                                return -1;
                        params_add_u64(params, migrate_params[i].field, wide);
                }
        }
        return 0;
}

static int add_file_param(const Args *args, const char *option, const char *field, ParamList *params, Error *err)
{
        AUTOFREE char *text = NULL;

        if (!arg_has(args, option))
                return 0;
        text = read_text_file(arg_text(args, option), err);
        if (!text)
                return fail(err, "cannot read file '%s'", arg_text(args, option));
        params_add_text(params, field, text);
        return 0;
}

/* One parameter for each word of a comma list. */
static void add_list_param(const Args *args, const char *option, const char *field, ParamList *params)
{
        AUTO_STRLIST words = str_split(arg_text(args, option) ?: "", ",");

        for (char **word = words; *word; word++)
                params_add_text(params, field, *word);
}

static int check_options(const Args *args, Error *err)
{
        static const char *const excluding[][2] = {
                { "live", "offline" },
                { "timeout-suspend", "timeout-postcopy" },
                { "copy-storage-all", "copy-storage-inc" },
                { "max-pause", "offline" },
                { "max-pause", "timeout" },
        };
        static const char *const needing[][2] = {
                { "postcopy-after-precopy", "postcopy" },
                { "postcopy-resume", "postcopy" },
                { "timeout-postcopy", "postcopy" },
                { "timeout-postcopy", "timeout" },
                { "timeout-suspend", "timeout" },
                { "persistent-xml", "persistent" },
                { "tls-destination", "tls" },
                { "parallel-connections", "parallel" },
                { "tunnelled", "p2p" },
                { "max-pause", "live" },
        };

        for (size_t i = 0; i < ARRAY_LEN(excluding); i++)
                if (refuse_both(args, excluding[i][0], excluding[i][1], err) < 0)
                        return -1;
        for (size_t i = 0; i < ARRAY_LEN(needing); i++)
                if (need_other(args, needing[i][0], needing[i][1], err) < 0)
                        return -1;
        if (arg_has(args, "timeout") && !arg_has(args, "live"))
                return err_set(err, ERR_INVALID_ARG, "migrate: Unexpected timeout for offline migration");
        if (arg_has(args, "migrate-disks") && !arg_has(args, "copy-storage-all") &&
            !arg_has(args, "copy-storage-inc"))
                return err_set(
                        err, ERR_INVALID_ARG,
                        "--migrate-disks names disks to copy: it needs --copy-storage-all or --copy-storage-inc");
        return 0;
}

static int watch_options(const Args *args, WatchOptions *watch, Error *err)
{
        uint64_t seconds = 0;

        if (arg_u64(args, "timeout", &seconds, err) < 0 || arg_u64(args, "max-pause", &watch->max_pause_ms, err) < 0)
                return -1;
        if (arg_has(args, "timeout") && (seconds == 0 || seconds > UINT32_MAX))
                return err_set(err, ERR_INVALID_ARG, "migrate: Invalid timeout");
        if (arg_has(args, "max-pause") && watch->max_pause_ms == 0)
                return err_set(err, ERR_INVALID_ARG, "--max-pause takes a number of milliseconds above 0");
        watch->timeout_ms = seconds * 1000;
        watch->at_timeout = arg_has(args, "timeout-postcopy") ? WATCH_POSTCOPY : WATCH_SUSPEND;
        watch->postcopy_after_first = arg_has(args, "postcopy-after-precopy");
        watch->verbose = arg_has(args, "verbose");
        return 0;
}

static int read_order(Session *s, const Args *args, MigrateOrder *order, Error *err)
{
        order->dest_uri = arg_text(args, "desturi");
        order->flags = switch_flags(args, migrate_switches);
        order->direct = arg_has(args, "direct");
        order->params.arena = session_arena(s);
        if (check_options(args, err) < 0 || watch_options(args, &order->watch, err) < 0 ||
            add_plain_params(args, &order->params, err) < 0 ||
            add_file_param(args, "xml", VIR_MIGRATE_PARAM_DEST_XML, &order->params, err) < 0 ||
            add_file_param(args, "persistent-xml", VIR_MIGRATE_PARAM_PERSIST_XML, &order->params, err) < 0)
                return -1;
        add_list_param(args, "migrate-disks", VIR_MIGRATE_PARAM_MIGRATE_DISKS, &order->params);
        add_list_param(args, "comp-methods", VIR_MIGRATE_PARAM_COMPRESSION, &order->params);
        migrate_order_keep_pause(order);
        return 0;
}

static int migrate(Session *s, const Args *args, Error *err)
{
        MigrateOrder order = { 0 };
        uint64_t start;

        if (read_order(s, args, &order, err) < 0 || find_domain(s, args, &order.dom, err) < 0)
                return -1;
        start = loop_now_ms(s->loop);
        if (migrate_run(s, &order, err) < 0)
                return -1;
        out_set_text(s->out, "domain", order.dom.name);
        out_set_text(s->out, "destination", order.dest_uri);
        out_set_u64(s->out, "elapsed_ms", loop_now_ms(s->loop) - start);
        return 0;
}

const Command migrate_commands[] = {
        { .name = "migrate",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN
          "DESTURI:URI  the destination's URI, or a host's name; with --p2p as the source sees it\n"
          "[--live]          the guest runs meanwhile\n"
          "[--offline]       move only the definition of a guest that does not run\n"
          "[--p2p]           the source's daemon talks to the destination's\n"
          "[--direct]        the hypervisor does it all\n"
          "[--tunnelled|tunneled]  the guest's memory goes through the daemons' connection\n"
          "[--persistent]    define it at the destination\n"
          "[--undefinesource]  undefine it here\n"
          "[--suspend]       leave it paused at the destination\n"
          "[--copy-storage-all]  copy its disks\n"
          "[--copy-storage-inc]  copy what its disks have that their backing images there do not\n"
          "[--copy-storage-synchronous-writes]  writes wait until both copies have them\n"
          "[--change-protection]  refuse changes of its definition meanwhile\n"
          "[--unsafe]        even if its disks may suffer\n"
          "[--verbose]       show how far it is\n"
          "[--compressed]    compress memory\n"
          "[--auto-converge]  slow the guest down until it can be moved\n"
          "[--rdma-pin-all]  pin all memory before an RDMA migration\n"
          "[--abort-on-error]  give up when a disk has an error\n"
          "[--postcopy]      allow post-copy: it runs there before all of its memory is\n"
          "[--postcopy-after-precopy]  go over to post-copy when memory has been sent once\n"
          "[--postcopy-resume]  take up a post-copy that broke off\n"
          "[--zerocopy]      send memory without copying it first\n"
          "[--migrateuri URI]  where memory is sent to\n"
          "[--graphicsuri URI]  where viewers of its screen go\n"
          "[--listen-address ADDRESS]  where the destination listens\n"
          "[--dname NAME]    its name at the destination\n"
          "[--timeout NUMBER]  seconds after which it is suspended so that it can be moved\n"
          "[--timeout-suspend]  ... suspended, as without these two\n"
          "[--timeout-postcopy]  ... moved by post-copy instead\n"
          "[--xml FILE]      its XML at the destination\n"
          "[--migrate-disks LIST]  targets of the disks to copy, with commas between\n"
          "[--disks-port NUMBER]  port for the copy of disks\n"
          "[--disks-uri URI]  where disks are copied to\n"
          "[--comp-methods LIST]  how memory is compressed: xbzrle, mt, zlib, zstd\n"
          "[--comp-mt-level NUMBER]  level, 0 to 9\n"
          "[--comp-mt-threads NUMBER]  threads that compress\n"
          "[--comp-mt-dthreads NUMBER]  threads that decompress\n"
          "[--comp-xbzrle-cache NUMBER]  bytes of cache\n"
          "[--auto-converge-initial NUMBER]  percent to begin with\n"
          "[--auto-converge-increment NUMBER]  percent more each time\n"
          "[--persistent-xml FILE]  its definition at the destination\n"
          "[--tls]           encrypt what is sent\n"
          "[--postcopy-bandwidth NUMBER]  MiB a second in post-copy\n"
          "[--parallel]      over several connections\n"
          "[--parallel-connections NUMBER]  how many\n"
          "[--bandwidth NUMBER]  MiB a second\n"
          "[--available-switchover-bandwidth NUMBER]  MiB a second that the line has for the last part\n"
          "[--tls-destination NAME]  name that the destination's certificate must have\n"
          "[--comp-zlib-level NUMBER]  level, 0 to 9\n"
          "[--comp-zstd-level NUMBER]  level, 0 to 20\n"
          "[--max-pause NUMBER]  milliseconds that it may stand still; it is moved in any case",
          .summary = "move a guest to another host",
          .text = "Without --live the guest is paused meanwhile. On a terminal a line shows rate, what is left, how fast the "
                  "guest changes memory, the pause to expect and the time to go, with a bar where it is wide enough; ^C "
                  "aborts the migration and the guest goes on here.",
          .run = migrate },
        { 0 },
};
