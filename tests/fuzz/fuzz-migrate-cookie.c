/*
 * tests/fuzz/fuzz-migrate-cookie.c - the cookie of a migration: what is taken is said again and taken the same
 */
#include "base/str.h"
#include "daemon/migrate.h"
#include "fuzz.h"

static bool is_same(const char *a, const char *b)
{
        return a ? b && str_eq(a, b) : !b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(MigrateCookie) first = { 0 };
        AUTO(MigrateCookie) second = { 0 };
        AUTO(Buf) text = { 0 };
        AUTO(Error) err = { 0 };

        if (migrate_cookie_parse(data, size, &first, &err) < 0)
                return 0;
        migrate_cookie_format(&first, &text);
        if (text.len > MIGRATE_COOKIE_MOST)
                return 0;
        if (migrate_cookie_parse(text.data, text.len, &second, &err) < 0 || !is_same(first.nonce, second.nonce) ||
            !uuid_eq(&first.uuid, &second.uuid) || first.nbd_port != second.nbd_port ||
            first.stopped_us != second.stopped_us || first.disks.len != second.disks.len ||
            first.learned.len != second.learned.len || first.has_stats != second.has_stats ||
            first.stats.ram.total != second.stats.ram.total)
                abort();
        for (size_t i = 0; i < first.disks.len; i++) {
                if (!is_same(first.disks.items[i].target, second.disks.items[i].target) ||
                    !is_same(first.disks.items[i].identity, second.disks.items[i].identity))
                        abort();
        }
        return 0;
}
