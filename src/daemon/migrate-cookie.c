/*
 * daemon/migrate-cookie.c - what one side of a migration tells the other
 *
 * XML as libvirt writes it, so that guests move between drover and libvirt too; what only two drover understand is in an
 * element of its own, <drover>, which libvirt passes over. An element that is not known here comes from a later one and is
 * passed over, unless a <feature> says that it must be understood.
 */
#include "base/str.h"
#include "daemon/migrate.h"
#include "model/xml.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

static const int64_t most_figure = INT64_MAX / 1000000; /* so that no sum and no other unit of it overflows */

void migrate_cookie_done(MigrateCookie *cookie)
{
        free(cookie->name);
        free(cookie->hostname);
        free(cookie->ask);
        free(cookie->nonce);
        free(cookie->cpu);
        for (size_t i = 0; i < cookie->disks.len; i++) {
                free(cookie->disks.items[i].target);
                free(cookie->disks.items[i].identity);
        }
        vec_done(&cookie->disks);
        vec_done(&cookie->learned);
        *cookie = (MigrateCookie){ 0 };
}

static void put_element(Buf *buf, const char *name, const char *value)
{
        buf_format(buf, "  <%s>", name);
        xml_put_escaped(buf, value ?: "");
        buf_format(buf, "</%s>\n", name);
}

static void put_learned(const NwLearned *learned, Buf *ret)
{
        char mac[MAC_TEXT_LEN + 1], address[NET_ADDRESS_TEXT_LEN + 1];

        buf_format(ret, "    <address mac='%s' ip='%s' left-s='%" PRId64 "'/>\n", mac_format(&learned->mac, mac),
                   net_address_format(&learned->address, address), learned->left_s);
}

static void put_own(const MigrateCookie *cookie, Buf *ret)
{
        buf_put_text(ret, "  <drover");
        if (cookie->nonce)
                buf_format(ret, " nonce='%s'", cookie->nonce);
        if (cookie->ask) {
                buf_put_text(ret, " ask='");
                xml_put_escaped(ret, cookie->ask);
                buf_put_text(ret, "'");
        }
        if (cookie->cpu) {
                buf_put_text(ret, " cpu='");
                xml_put_escaped(ret, cookie->cpu);
                buf_put_text(ret, "'");
        }
        if (cookie->stopped_us)
                buf_format(ret, " stopped-us='%" PRId64 "'", cookie->stopped_us);
        if (cookie->resumed_us)
                buf_format(ret, " resumed-us='%" PRId64 "'", cookie->resumed_us);
        if (!cookie->disks.len && !cookie->learned.len) {
                buf_put_text(ret, "/>\n");
                return;
        }
        buf_put_text(ret, ">\n");
        for (size_t i = 0; i < cookie->disks.len; i++) {
                buf_put_text(ret, "    <disk target='");
                xml_put_escaped(ret, cookie->disks.items[i].target);
                buf_put_text(ret, "' is='");
                xml_put_escaped(ret, cookie->disks.items[i].identity);
                buf_put_text(ret, "'/>\n");
        }
        for (size_t i = 0; i < MIN(cookie->learned.len, (size_t)MIGRATE_COOKIE_MOST_LEARNED); i++)
                put_learned(&cookie->learned.items[i], ret);
        buf_put_text(ret, "  </drover>\n");
}

/* Elements of <statistics>, named as libvirt names the figures for clients too; each is a number of 64 bits. */
static const struct {
        const char *name;
        size_t at;
} figures[] = {
        { VIR_DOMAIN_JOB_SETUP_TIME, offsetof(MigrateStats, setup_ms) },
        { VIR_DOMAIN_JOB_MEMORY_TOTAL, offsetof(MigrateStats, ram.total) },
        { VIR_DOMAIN_JOB_MEMORY_PROCESSED, offsetof(MigrateStats, ram.transferred) },
        { VIR_DOMAIN_JOB_MEMORY_REMAINING, offsetof(MigrateStats, ram.remaining) },
        { VIR_DOMAIN_JOB_MEMORY_CONSTANT, offsetof(MigrateStats, ram.duplicate) },
        { VIR_DOMAIN_JOB_MEMORY_NORMAL, offsetof(MigrateStats, ram.normal) },
        { VIR_DOMAIN_JOB_MEMORY_NORMAL_BYTES, offsetof(MigrateStats, ram.normal_bytes) },
        { VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, offsetof(MigrateStats, ram.dirty_pages_rate) },
        { VIR_DOMAIN_JOB_MEMORY_ITERATION, offsetof(MigrateStats, ram.dirty_sync_count) },
        { VIR_DOMAIN_JOB_MEMORY_POSTCOPY_REQS, offsetof(MigrateStats, ram.postcopy_requests) },
        { VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, offsetof(MigrateStats, ram.page_size) },
        { VIR_DOMAIN_JOB_DISK_TOTAL, offsetof(MigrateStats, disk_total) },
        { VIR_DOMAIN_JOB_DISK_PROCESSED, offsetof(MigrateStats, disk_done) },
        { VIR_DOMAIN_JOB_DISK_BPS, offsetof(MigrateStats, disk_bps) },
        { VIR_DOMAIN_JOB_COMPRESSION_CACHE, offsetof(MigrateStats, xbzrle.cache_size) },
        { VIR_DOMAIN_JOB_COMPRESSION_BYTES, offsetof(MigrateStats, xbzrle.bytes) },
        { VIR_DOMAIN_JOB_COMPRESSION_PAGES, offsetof(MigrateStats, xbzrle.pages) },
        { VIR_DOMAIN_JOB_COMPRESSION_CACHE_MISSES, offsetof(MigrateStats, xbzrle.cache_miss) },
        { VIR_DOMAIN_JOB_COMPRESSION_OVERFLOW, offsetof(MigrateStats, xbzrle.overflow) },
        { VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, offsetof(MigrateStats, throttle_percent) },
};

static void put_figure(const char *name, int64_t value, Buf *ret)
{
        if (value > 0)
                buf_format(ret, "    <%s>%" PRId64 "</%s>\n", name, value, name);
}

/* libvirt makes its own times of when it began, when the guest stopped and when this was said. */
static void put_statistics(const MigrateCookie *cookie, Buf *ret)
{
        const MigrateStats *stats = &cookie->stats;
        int64_t elapsed_ms = (int64_t)(stats->ended_ms - stats->began_ms);

        buf_put_text(ret, "  <statistics>\n");
        put_figure("started", cookie->sent_ms - elapsed_ms, ret);
        put_figure("stopped", cookie->stopped_us / 1000, ret);
        put_figure("sent", cookie->sent_ms, ret);
        put_figure(VIR_DOMAIN_JOB_TIME_ELAPSED, elapsed_ms, ret);
        put_figure(VIR_DOMAIN_JOB_MEMORY_BPS, (int64_t)(stats->ram.mbps * 1000 * 1000 / 8), ret);
        put_figure(VIR_DOMAIN_JOB_DISK_REMAINING, (int64_t)(stats->disk_total - stats->disk_done), ret);
        for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
                int64_t value;

                memcpy(&value, (const char *)stats + figures[i].at, sizeof(value));
                put_figure(figures[i].name, value, ret);
        }
        buf_put_text(ret, "  </statistics>\n");
}

void migrate_cookie_format(const MigrateCookie *cookie, Buf *ret)
{
        char uuid[UUID_TEXT_LEN + 1];

        buf_put_text(ret, "<qemu-migration>\n");
        put_element(ret, "name", cookie->name);
        put_element(ret, "uuid", uuid_format(&cookie->uuid, uuid));
        put_element(ret, "hostname", cookie->hostname);
        put_element(ret, "hostuuid", uuid_format(&cookie->host_uuid, uuid));
        if (cookie->nbd_port)
                buf_format(ret, "  <nbd port='%d'/>\n", cookie->nbd_port);
        if (cookie->has_stats)
                put_statistics(cookie, ret);
        put_own(cookie, ret);
        buf_put_text(ret, "</qemu-migration>\n");
        buf_put_char(ret, '\0');
}

static int take_uuid(const XmlNode *root, const char *name, Uuid *ret, Error *err)
{
        const XmlNode *node = xml_find(root, name);

        if (!node || !node->text || uuid_parse(node->text, ret) < 0)
                return err_set(err, ERR_INTERNAL, "migration cookie: '%s' is not a UUID",
                               node && node->text ? node->text : name);
        return 0;
}

static int take_text(const XmlNode *root, const char *name, char **ret, Error *err)
{
        const XmlNode *node = xml_find(root, name);

        if (!node || !node->text)
                return err_set(err, ERR_INTERNAL, "migration cookie: there is no %s", name);
        str_replace(ret, node->text);
        return 0;
}

static int take_number(const XmlNode *node, const char *attr, int64_t most, int64_t *ret, Error *err)
{
        const char *value = xml_attr(node, attr);

        *ret = 0;
        if (value && (str_to_i64(value, ret) < 0 || *ret < 0 || *ret > most))
                return err_set(err, ERR_INTERNAL, "migration cookie: %s='%s' is not a number that can be right", attr,
                               value);
        return 0;
}

static int take_learned(const XmlNode *own, NwLearnedList *ret, Error *err)
{
        for (const XmlNode *node = xml_next(own->first, "address"); node; node = xml_next(node->next, "address")) {
                const char *mac = xml_attr(node, "mac"), *ip = xml_attr(node, "ip");
                NwLearned learned = { 0 };

                if (ret->len == MIGRATE_COOKIE_MOST_LEARNED)
                        return err_set(err, ERR_INTERNAL, "migration cookie: there are more than %d addresses",
                                       MIGRATE_COOKIE_MOST_LEARNED);
                if (!mac || mac_parse(mac, &learned.mac) < 0)
                        return err_set(err, ERR_INTERNAL, "migration cookie: '%s' is not a MAC address", mac ?: "");
                if (!ip || net_address_parse(ip, &learned.address) < 0)
                        return err_set(err, ERR_INTERNAL, "migration cookie: '%s' is not an address", ip ?: "");
                if (take_number(node, "left-s", UINT32_MAX, &learned.left_s, err) < 0)
                        return -1;
                vec_push(ret, learned);
        }
        return 0;
}

static int take_own(const XmlNode *node, MigrateCookie *ret, Error *err)
{
        const char *nonce = xml_attr(node, "nonce"), *ask = xml_attr(node, "ask"), *cpu = xml_attr(node, "cpu");

        if (nonce && (strlen(nonce) != 32 || strspn(nonce, "0123456789abcdef") != 32))
                return err_set(err, ERR_INTERNAL, "migration cookie: the nonce is malformed");
        /* it becomes a line of the guest's status file, so it must not be two */
        if (ask && strpbrk(ask, " \t\r\n"))
                return err_set(err, ERR_INTERNAL, "migration cookie: the address to ask at is malformed");
        /* an error shows them */
        if (cpu && cpu[strspn(cpu, "abcdefghijklmnopqrstuvwxyz0123456789.-_ ")])
                return err_set(err, ERR_INTERNAL, "migration cookie: the features of the CPU are malformed");
        str_replace(&ret->nonce, nonce);
        str_replace(&ret->ask, ask);
        str_replace(&ret->cpu, cpu);
        for (const XmlNode *disk = xml_next(node->first, "disk"); disk; disk = xml_next(disk->next, "disk")) {
                const char *target = xml_attr(disk, "target"), *identity = xml_attr(disk, "is");

                if (!target || !identity)
                        return err_set(err, ERR_INTERNAL, "migration cookie: a <disk> without target or is");
                vec_push(&ret->disks, ((MigrateDisk){ str_dup(target), str_dup(identity) }));
        }
        if (take_number(node, "stopped-us", INT64_MAX, &ret->stopped_us, err) < 0)
                return -1;
        if (take_number(node, "resumed-us", INT64_MAX, &ret->resumed_us, err) < 0)
                return -1;
        return take_learned(node, &ret->learned, err);
}

/* One that is missing, or that cannot be right, is 0: no move fails for what is only shown. */
static int64_t find_figure(const XmlNode *node, const char *name)
{
        const XmlNode *found = xml_find(node, name);
        int64_t value;

        return found && found->text && str_to_i64(found->text, &value) == 0 && value > 0 && value <= most_figure
                       ? value
                       : 0;
}

static void take_statistics(const XmlNode *node, MigrateCookie *ret)
{
        MigrateStats *stats = &ret->stats;

        for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
                int64_t value = find_figure(node, figures[i].name);

                memcpy((char *)stats + figures[i].at, &value, sizeof(value));
        }
        /* half a byte more, so that it is the same number of them when it is told */
        stats->ram.mbps = ((double)find_figure(node, VIR_DOMAIN_JOB_MEMORY_BPS) + 0.5) * 8 / 1000 / 1000;
        stats->disk_done = MIN(stats->disk_done, stats->disk_total);
        stats->throttle_percent = MIN(stats->throttle_percent, (uint64_t)100);
        stats->has_ram = stats->ram.total > 0;
        stats->has_xbzrle = stats->xbzrle.cache_size > 0;
        ret->sent_ms = find_figure(node, "sent");
        ret->stopped_us = find_figure(node, "stopped") * 1000; /* drover says it more precisely, in its own element */
        ret->has_stats = true;
}

/* libvirt demands it always; only a lock manager has something in it that would have to be taken over. */
static bool has_locks(const XmlNode *root)
{
        const XmlNode *node = xml_find(root, "lockstate");
        const char *driver = node ? xml_attr(node, "driver") : NULL;

        return node && (!driver || !str_eq(driver, "nop"));
}

/* What of libvirt's parts may be demanded: those that ask nothing of us beyond the definition. */
static int check_features(const XmlNode *root, Error *err)
{
        static const char *const known[] = { "persistent", "network", "nbd", "statistics", "cpu", "caps" };

        for (const XmlNode *node = xml_next(root->first, "feature"); node; node = xml_next(node->next, "feature")) {
                const char *name = xml_attr(node, "name");
                bool found = false;

                for (size_t i = 0; name && i < ARRAY_LEN(known); i++)
                        found = found || str_eq(name, known[i]);
                if (!found && !(name && str_eq(name, "lockstate") && !has_locks(root)))
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "the other host needs '%s' to be understood here, which it is not",
                                       name ?: "");
        }
        return 0;
}

int migrate_cookie_parse(const void *data, size_t len, MigrateCookie *ret, Error *err)
{
        AUTO(XmlDoc) doc = { 0 };
        const XmlNode *nbd, *own, *statistics;
        int64_t port = 0;

        if (!len)
                return err_set(err, ERR_INVALID_ARG, "the migration cookie is missing");
        if (len > MIGRATE_COOKIE_MOST)
                return err_set(err, ERR_INTERNAL, "the migration cookie has %zu bytes; at most %d are taken", len,
                               MIGRATE_COOKIE_MOST);
        if (xml_parse(data, strnlen(data, len), "migration cookie", &doc, err) < 0)
                return -1;
        if (!str_eq(doc.root->name, "qemu-migration"))
                return err_set(err, ERR_INTERNAL, "the migration cookie is a <%s>, not a <qemu-migration>",
                               doc.root->name);
        if (check_features(doc.root, err) < 0 || take_text(doc.root, "name", &ret->name, err) < 0 ||
            take_text(doc.root, "hostname", &ret->hostname, err) < 0 ||
            take_uuid(doc.root, "uuid", &ret->uuid, err) < 0 ||
            take_uuid(doc.root, "hostuuid", &ret->host_uuid, err) < 0)
                return -1;
        nbd = xml_find(doc.root, "nbd");
        if (nbd && take_number(nbd, "port", UINT16_MAX, &port, err) < 0)
                return -1;
        ret->nbd_port = (int)port;
        statistics = xml_find(doc.root, "statistics");
        if (statistics)
                take_statistics(statistics, ret);
        own = xml_find(doc.root, "drover");
        return own ? take_own(own, ret, err) : 0;
}
