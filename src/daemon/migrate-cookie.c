/*
 * daemon/migrate-cookie.c - what one side of a migration tells the other
 *
 * Lines of "key value", the first one names the format. A key that is not known
 * here comes from a later drover and is passed over, unless it begins with "!":
 * that one must be understood.
 */
#include "base/str.h"
#include "daemon/migrate.h"

#include <inttypes.h>

#define FIRST_LINE "drover-migration 1"

void migrate_cookie_done(MigrateCookie *cookie)
{
        free(cookie->name);
        free(cookie->hostname);
        free(cookie->ask);
        free(cookie->nonce);
        *cookie = (MigrateCookie){ 0 };
}

static void put_text(Buf *buf, const char *key, const char *value)
{
        if (value)
                buf_format(buf, "%s %s\n", key, value);
}

void migrate_cookie_format(const MigrateCookie *cookie, Buf *ret)
{
        char uuid[UUID_TEXT_LEN + 1];

        buf_put_text(ret, FIRST_LINE "\n");
        put_text(ret, "name", cookie->name);
        put_text(ret, "uuid", uuid_format(&cookie->uuid, uuid));
        put_text(ret, "hostname", cookie->hostname);
        put_text(ret, "hostuuid", uuid_format(&cookie->host_uuid, uuid));
        put_text(ret, "nonce", cookie->nonce);
        put_text(ret, "ask", cookie->ask);
        if (cookie->nbd_port)
                buf_format(ret, "nbd-port %d\n", cookie->nbd_port);
        if (cookie->stopped_us)
                buf_format(ret, "stopped-us %" PRId64 "\n", cookie->stopped_us);
        if (cookie->resumed_us)
                buf_format(ret, "resumed-us %" PRId64 "\n", cookie->resumed_us);
        buf_put_char(ret, '\0');
}

static int set_uuid(const char *value, Uuid *ret, Error *err)
{
        if (uuid_parse(value, ret) < 0)
                return err_set(err, ERR_INTERNAL, "migration cookie: '%s' is not a UUID", value);
        return 0;
}

static int set_number(const char *value, int64_t *ret, Error *err)
{
        if (str_to_i64(value, ret) < 0 || *ret < 0)
                return err_set(err, ERR_INTERNAL, "migration cookie: '%s' is not a number", value);
        return 0;
}

static int set_nonce(const char *value, char **ret, Error *err)
{
        if (strlen(value) != 32 || strspn(value, "0123456789abcdef") != 32)
                return err_set(err, ERR_INTERNAL, "migration cookie: the nonce is malformed");
        str_replace(ret, value);
        return 0;
}

static int take_line(const char *key, const char *value, MigrateCookie *ret, Error *err)
{
        int64_t port = 0;

        if (str_eq(key, "name"))
                str_replace(&ret->name, value);
        else if (str_eq(key, "hostname"))
                str_replace(&ret->hostname, value);
        else if (str_eq(key, "ask"))
                str_replace(&ret->ask, value);
        else if (str_eq(key, "nonce"))
                return set_nonce(value, &ret->nonce, err);
        else if (str_eq(key, "uuid"))
                return set_uuid(value, &ret->uuid, err);
        else if (str_eq(key, "hostuuid"))
                return set_uuid(value, &ret->host_uuid, err);
        else if (str_eq(key, "stopped-us"))
                return set_number(value, &ret->stopped_us, err);
        else if (str_eq(key, "resumed-us"))
                return set_number(value, &ret->resumed_us, err);
        else if (str_eq(key, "nbd-port")) {
                if (set_number(value, &port, err) < 0 || port > UINT16_MAX)
                        return err_set(err, ERR_INTERNAL, "migration cookie: '%s' is not a port", value);
                ret->nbd_port = (int)port;
        } else if (*key == '!')
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "the other host needs '%s' to be understood here; this drover is too old", key + 1);
        return 0;
}

int migrate_cookie_parse(const void *data, size_t len, MigrateCookie *ret, Error *err)
{
        AUTOFREE char *text = NULL;
        char *line, *end;

        if (!len)
                return err_set(err, ERR_INVALID_ARG, "the migration cookie is missing");
        if (len > MIGRATE_COOKIE_MOST)
                return err_set(err, ERR_INTERNAL, "the migration cookie has %zu bytes; at most %d are taken", len,
                               MIGRATE_COOKIE_MOST);
        text = str_dup_n(data, len);
        if (!str_is_utf8(text, strlen(text)))
                return err_set(err, ERR_INTERNAL, "the migration cookie is not text");
        if (!str_starts(text, FIRST_LINE "\n"))
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "the migration cookie is not drover's: guests move between two droverd only");
        for (line = text + strlen(FIRST_LINE "\n"); *line; line = end) {
                char *value = strchr(line, ' ');

                end = strchr(line, '\n');
                if (!end || !value || value > end)
                        return err_set(err, ERR_INTERNAL, "the migration cookie is cut off");
                *end++ = '\0';
                *value++ = '\0';
                if (take_line(line, value, ret, err) < 0)
                        return -1;
        }
        return 0;
}
