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

void migrate_cookie_done(MigrateCookie *cookie)
{
        free(cookie->name);
        free(cookie->hostname);
        free(cookie->ask);
        free(cookie->nonce);
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
        const char *nonce = xml_attr(node, "nonce"), *ask = xml_attr(node, "ask");

        if (nonce && (strlen(nonce) != 32 || strspn(nonce, "0123456789abcdef") != 32))
                return err_set(err, ERR_INTERNAL, "migration cookie: the nonce is malformed");
        /* it becomes a line of the guest's status file, so it must not be two */
        if (ask && strpbrk(ask, " \t\r\n"))
                return err_set(err, ERR_INTERNAL, "migration cookie: the address to ask at is malformed");
        str_replace(&ret->nonce, nonce);
        str_replace(&ret->ask, ask);
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
        const XmlNode *nbd, *own;
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
        own = xml_find(doc.root, "drover");
        return own ? take_own(own, ret, err) : 0;
}
