/*
 * daemon/migrate-params.c - what a migration was asked to be
 */
#include "base/str.h"
#include "daemon/migrate-source.h"

#define ROW(name, type, member)                                                                                      \
        {                                                                                                            \
                name, type, offsetof(MigrateParams, member), 0, false                                                \
        }
#define ROW_HAS(name, type, member)                                                                                  \
        {                                                                                                            \
                name, type, offsetof(MigrateParams, member), offsetof(MigrateParams, has_##member), false            \
        }
#define ROW_TEXTS(name, member)                                                                                      \
        {                                                                                                            \
                name, PARAM_STRING, offsetof(MigrateParams, member), 0, true                                         \
        }

static const ParamRow rows[] = {
        ROW(VIR_MIGRATE_PARAM_URI, PARAM_STRING, migrate_uri),
        ROW(VIR_MIGRATE_PARAM_DEST_NAME, PARAM_STRING, dest_name),
        ROW(VIR_MIGRATE_PARAM_DEST_XML, PARAM_STRING, dest_xml),
        ROW(VIR_MIGRATE_PARAM_PERSIST_XML, PARAM_STRING, persist_xml),
        ROW(VIR_MIGRATE_PARAM_GRAPHICS_URI, PARAM_STRING, graphics_uri),
        ROW(VIR_MIGRATE_PARAM_LISTEN_ADDRESS, PARAM_STRING, listen_address),
        ROW(VIR_MIGRATE_PARAM_DISKS_URI, PARAM_STRING, disks_uri),
        ROW(VIR_MIGRATE_PARAM_TLS_DESTINATION, PARAM_STRING, tls_destination),
        ROW_TEXTS(VIR_MIGRATE_PARAM_MIGRATE_DISKS, disks),
        ROW_TEXTS(VIR_MIGRATE_PARAM_COMPRESSION, compression),
        ROW(VIR_MIGRATE_PARAM_DISKS_PORT, PARAM_INT, disks_port),
        ROW(VIR_MIGRATE_PARAM_BANDWIDTH, PARAM_ULLONG, bandwidth_mib),
        ROW(VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY, PARAM_ULLONG, bandwidth_postcopy_mib),
        ROW(VIR_MIGRATE_PARAM_BANDWIDTH_AVAIL_SWITCHOVER, PARAM_ULLONG, switchover_mib),
        ROW(VIR_MIGRATE_PARAM_COMPRESSION_XBZRLE_CACHE, PARAM_ULLONG, xbzrle_cache),
        ROW(VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL, PARAM_INT, throttle_initial),
        ROW(VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT, PARAM_INT, throttle_increment),
        ROW(VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, PARAM_INT, channels),
        ROW_HAS(VIR_MIGRATE_PARAM_COMPRESSION_ZLIB_LEVEL, PARAM_INT, zlib_level),
        ROW_HAS(VIR_MIGRATE_PARAM_COMPRESSION_ZSTD_LEVEL, PARAM_INT, zstd_level),
        ROW_HAS(VIR_MIGRATE_PARAM_COMPRESSION_MT_LEVEL, PARAM_INT, mt_level),
        ROW_HAS(VIR_MIGRATE_PARAM_COMPRESSION_MT_THREADS, PARAM_INT, mt_threads),
        ROW_HAS(VIR_MIGRATE_PARAM_COMPRESSION_MT_DTHREADS, PARAM_INT, mt_dthreads),
};

int migrate_params_read(const WireTypedParam *params, uint32_t n, MigrateParams *ret, Arena *arena, Error *err)
{
        return params_read(params, n, rows, ARRAY_LEN(rows), ret, arena, err);
}

static void write_row(const MigrateParams *params, const ParamRow *row, Params *ret)
{
        const void *at = (const char *)params + row->offset;
        const ParamTexts *texts = at;

        if (row->repeats) {
                for (uint32_t i = 0; i < texts->n; i++)
                        params_put_string(ret, row->name, texts->items[i]);
                return;
        }
        switch (row->type) {
        case PARAM_STRING:
                params_put_string(ret, row->name, *(const char *const *)at);
                return;
        case PARAM_ULLONG:
                if (*(const uint64_t *)at)
                        params_put_ullong(ret, row->name, *(const uint64_t *)at);
                return;
        default:
                if (row->has_offset ? *(const bool *)((const char *)params + row->has_offset) : *(const int32_t *)at)
                        params_put_int(ret, row->name, *(const int32_t *)at);
        }
}

void migrate_params_write(const MigrateParams *params, Params *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                write_row(params, &rows[i], ret);
}

void migrate_params_copy(MigrateParams *to, const MigrateParams *from, Arena *arena)
{
        *to = *from;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                void *at = (char *)to + rows[i].offset;
                ParamTexts *texts = at;

                if (rows[i].type == PARAM_STRING && !rows[i].repeats) {
                        *(const char **)at = arena_dup(arena, *(const char **)at);
                } else if (rows[i].repeats && texts->n) {
                        const char **items = arena_new_array(arena, const char *, texts->n);

                        for (uint32_t t = 0; t < texts->n; t++)
                                items[t] = arena_dup(arena, texts->items[t]);
                        texts->items = items;
                }
        }
}

int migrate_check_call(const Call *call, uint32_t flags, Error *err)
{
        static const struct {
                uint32_t flag;
                const char *sentence;
        } missing[] = {
                { VIR_MIGRATE_TLS,
                  "--tls is not supported: use --p2p --tunnelled with a qemu+ssh:// or qemu+tls:// URI" },
                { VIR_MIGRATE_RDMA_PIN_ALL, "--rdma-pin-all is not supported: memory goes over TCP here" },
        };

        if (call_driver(call)->ops != &driver_qemu_ops)
                return err_set(err, ERR_NO_SUPPORT, "%s: guests of %s cannot be migrated",
                               call_proc(call)->api ?: call_proc(call)->name, call_driver(call)->ops->uri);
        for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
                if (flags & missing[i].flag)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED, "%s", missing[i].sentence);
        }
        return call_check_flags(call, flags, MIGRATE_FLAGS, err);
}

static int check_uri(const char *uri, Error *err)
{
        AUTOFREE char *host = NULL;
        int port;

        return uri ? migrate_parse_uri(uri, &host, &port, err) : 0;
}

/* Parameters that do nothing on their own, or that nothing here does. */
static int check_lone_params(uint32_t flags, const MigrateParams *params, Error *err)
{
        if (params->graphics_uri)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "--graphicsuri leads viewers of a SPICE display, which guests here do not have; VNC "
                               "viewers connect again by themselves");
        if (params->tls_destination)
                return err_set(err, ERR_INVALID_ARG, "--tls-destination needs --tls");
        if (params->has_mt_level || params->has_mt_threads || params->has_mt_dthreads)
                return err_set(
                        err, ERR_CONFIG_UNSUPPORTED,
                        "the options --comp-mt-... belong to compression method 'mt', which left QEMU; use zlib "
                        "or zstd with --parallel");
        if ((params->disks_port || params->disks_uri || flags & VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES) &&
            !(flags & MIGRATE_COPIES_DISKS))
                return err_set(err, ERR_INVALID_ARG, "%s needs --copy-storage-all or --copy-storage-inc",
                               params->disks_port  ? "--disks-port"
                               : params->disks_uri ? "--disks-uri"
                                                   : "--copy-storage-synchronous-writes");
        if (params->disks_port < 0 || params->disks_port > UINT16_MAX)
                return err_set(err, ERR_INVALID_ARG, "--disks-port takes a port, 1 to %d", UINT16_MAX);
        if (params->disks_port && params->disks_uri)
                return err_set(err, ERR_INVALID_ARG, "--disks-port and --disks-uri exclude each other");
        if (check_uri(params->migrate_uri, err) < 0 || check_uri(params->disks_uri, err) < 0)
                return -1;
        if (params->persist_xml && !(flags & VIR_MIGRATE_PERSIST_DEST))
                return err_set(err, ERR_INVALID_ARG, "--persistent-xml needs --persistent");
        if (params->switchover_mib > (uint64_t)INT64_MAX >> 20)
                return err_set(err, ERR_OVERFLOW, "--available-switchover-bandwidth must be less than %lld MiB/s",
                               (long long)(INT64_MAX >> 20));
        if (params->bandwidth_postcopy_mib && !(flags & VIR_MIGRATE_POSTCOPY))
                return err_set(err, ERR_INVALID_ARG, "--postcopy-bandwidth needs --postcopy");
        return 0;
}

static bool has_compression(const MigrateParams *params, const char *method)
{
        for (uint32_t i = 0; i < params->compression.n; i++) {
                if (str_eq(params->compression.items[i], method))
                        return true;
        }
        return false;
}

static int check_compression(uint32_t flags, const MigrateParams *params, Error *err)
{
        static const char *const known[] = { "xbzrle", "mt", "zlib", "zstd" };
        bool multifd_method = has_compression(params, "zlib") || has_compression(params, "zstd");

        for (uint32_t i = 0; i < params->compression.n; i++) {
                size_t k = 0;

                while (k < ARRAY_LEN(known) && !str_eq(known[k], params->compression.items[i]))
                        k++;
                if (k == ARRAY_LEN(known))
                        return err_set(err, ERR_INVALID_ARG,
                                       "compression method '%s' is not one of xbzrle, zlib, zstd",
                                       params->compression.items[i]);
        }
        if (has_compression(params, "mt"))
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "compression method 'mt' left QEMU; use zlib or zstd with --parallel");
        if (params->xbzrle_cache && (!(flags & VIR_MIGRATE_COMPRESSED) || flags & VIR_MIGRATE_PARALLEL))
                return err_set(err, ERR_INVALID_ARG, "--comp-xbzrle-cache needs --compressed, and no --parallel");
        if (params->has_zlib_level && !has_compression(params, "zlib"))
                return err_set(err, ERR_INVALID_ARG, "--comp-zlib-level needs --comp-methods zlib");
        if (params->has_zstd_level && !has_compression(params, "zstd"))
                return err_set(err, ERR_INVALID_ARG, "--comp-zstd-level needs --comp-methods zstd");
        if (params->compression.n && !(flags & VIR_MIGRATE_COMPRESSED))
                return err_set(err, ERR_INVALID_ARG, "a compression method needs --compressed");
        if (multifd_method && !(flags & VIR_MIGRATE_PARALLEL))
                return err_set(err, ERR_INVALID_ARG, "compression methods zlib and zstd need --parallel");
        if (flags & VIR_MIGRATE_COMPRESSED && flags & VIR_MIGRATE_PARALLEL && !multifd_method)
                return err_set(err, ERR_INVALID_ARG,
                               "xbzrle cannot be used with --parallel; name zlib or zstd by --comp-methods");
        if (has_compression(params, "zlib") && has_compression(params, "zstd"))
                return err_set(err, ERR_INVALID_ARG, "only one of zlib and zstd can be used");
        /* QEMU 7.2 takes levels it cannot use without a word */
        if (params->has_zlib_level && (params->zlib_level < 0 || params->zlib_level > 9))
                return err_set(err, ERR_INVALID_ARG, "the zlib level must be between 0 and 9");
        if (params->has_zstd_level && (params->zstd_level < 0 || params->zstd_level > 20))
                return err_set(err, ERR_INVALID_ARG, "the zstd level must be between 0 and 20");
        return 0;
}

int migrate_check_flags(uint32_t flags, const MigrateParams *params, Error *err)
{
        static const struct {
                uint32_t flag, needs, not_with;
                const char *sentence;
        } rules[] = {
                { VIR_MIGRATE_TUNNELLED, VIR_MIGRATE_PEER2PEER, 0, "--tunnelled needs --p2p" },
                { VIR_MIGRATE_OFFLINE, VIR_MIGRATE_PERSIST_DEST, 0, "--offline needs --persistent" },
                { VIR_MIGRATE_OFFLINE, 0, VIR_MIGRATE_LIVE, "--offline and --live exclude each other" },
                { VIR_MIGRATE_OFFLINE, 0, MIGRATE_COPIES_DISKS, "--offline copies no disks" },
                { VIR_MIGRATE_OFFLINE, 0, VIR_MIGRATE_TUNNELLED, "--offline sends nothing that could be tunnelled" },
                { VIR_MIGRATE_NON_SHARED_DISK, 0, VIR_MIGRATE_NON_SHARED_INC,
                  "--copy-storage-all and --copy-storage-inc exclude each other" },
                { VIR_MIGRATE_TUNNELLED, 0, MIGRATE_COPIES_DISKS, "disks cannot be copied through a tunnel" },
                { VIR_MIGRATE_TUNNELLED, 0, VIR_MIGRATE_PARALLEL,
                  "--parallel opens connections of its own; it cannot be tunnelled" },
                { VIR_MIGRATE_TUNNELLED, 0, VIR_MIGRATE_POSTCOPY,
                  "post-copy needs a way back; it cannot be tunnelled" },
                { VIR_MIGRATE_POSTCOPY, 0, VIR_MIGRATE_PARALLEL,
                  "this QEMU loses pages when post-copy and --parallel are used together" },
                { VIR_MIGRATE_POSTCOPY_RESUME, VIR_MIGRATE_POSTCOPY, 0, "--postcopy-resume needs --postcopy" },
                { VIR_MIGRATE_ZEROCOPY, VIR_MIGRATE_PARALLEL, 0, "--zerocopy needs --parallel" },
                { VIR_MIGRATE_ZEROCOPY, 0, VIR_MIGRATE_COMPRESSED, "--zerocopy and --compressed exclude each other" },
        };

        for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
                bool given = flags & rules[i].flag;

                if (given && ((rules[i].needs && !(flags & rules[i].needs)) || flags & rules[i].not_with))
                        return err_set(err, ERR_INVALID_ARG, "%s", rules[i].sentence);
        }
        if (params->disks.n && !(flags & MIGRATE_COPIES_DISKS))
                return err_set(err, ERR_INVALID_ARG,
                               "--migrate-disks needs --copy-storage-all or --copy-storage-inc"); /* CON-03 */
        if (flags & VIR_MIGRATE_TUNNELLED && (params->migrate_uri || params->listen_address))
                return err_set(err, ERR_INVALID_ARG,
                               "--migrateuri and --listen-address name a connection that --tunnelled does not make");
        if (params->channels && !(flags & VIR_MIGRATE_PARALLEL))
                return err_set(err, ERR_INVALID_ARG, "--parallel-connections needs --parallel");
        if (params->channels < 0 || params->channels > 255)
                return err_set(err, ERR_INVALID_ARG, "a parallel migration has 1 to 255 connections");
        if (params->throttle_initial < 0 || params->throttle_initial > 99 || params->throttle_increment < 0 ||
            params->throttle_increment > 99)
                return err_set(err, ERR_INVALID_ARG, "throttling is between 1 and 99 percent");
        if (check_lone_params(flags, params, err) < 0)
                return -1;
        return check_compression(flags, params, err);
}
