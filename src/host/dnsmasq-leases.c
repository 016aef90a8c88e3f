/*
 * host/dnsmasq-leases.c - the leases that a dnsmasq gave out, as its file has them
 *
 * A line is 'expiry mac address name client-id'; behind a line 'duid ...' come
 * those of IPv6, 'expiry iaid address name duid'. '*' stands for nothing.
 */
#include "base/str.h"
#include "host/dnsmasq.h"

#include <ctype.h>

enum { MOST_WORD = 1024 };

/* The next word of a line, in the arena; NULL: there is none, or it is too long to be one. */
static const char *next_word(const char **at, Arena *arena)
{
        const char *start = *at + strspn(*at, " ");
        size_t n = strcspn(start, " \n");

        *at = start + n;
        return n == 0 || n > MOST_WORD ? NULL : arena_dup_n(arena, start, n);
}

static const char *unless_star(const char *word)
{
        return !word || str_eq(word, "*") ? NULL : word;
}

static bool is_hex_words(const char *text)
{
        return strspn(text, "0123456789abcdefABCDEF:") == strlen(text);
}

/* Terminals show it: it is text without control characters. */
static bool is_printable(const char *text)
{
        AUTOFREE char *shown = str_printable(text, "");

        return str_eq(shown, text);
}

/* DUIDs made from a link's address end with it: types 1 (with a time) and 3. */
static void mac_of_duid(const char *duid, Mac *ret)
{
        size_t n = strlen(duid);
        bool timed = str_starts(duid, "00:01:00:01:") && n == 41, plain = str_starts(duid, "00:03:00:01:") && n == 29;

        if (timed || plain)
                mac_parse(duid + n - MAC_TEXT_LEN, ret);
}

static bool parse_line(const char *line, bool six, Arena *arena, DnsmasqLease *ret)
{
        DnsmasqLease lease = { 0 };
        const char *expiry = next_word(&line, arena), *who = next_word(&line, arena),
                   *address = next_word(&line, arena), *name = next_word(&line, arena), *id = next_word(&line, arena);

        if (!expiry || !who || !address || str_to_i64(expiry, &lease.expires_s) < 0 || lease.expires_s < 0 ||
            net_address_parse(address, &lease.address) < 0 || six != (lease.address.family == AF_INET6))
                return false;
        if (name && is_printable(name))
                lease.hostname = unless_star(name);
        if (id && is_hex_words(id))
                lease.client_id = unless_star(id);
        if (!six && mac_parse(who, &lease.mac) < 0)
                return false;
        if (six) {
                /* 'T' marks a temporary address */
                lease.iaid = *who == 'T' ? who + 1 : who;
                if (!*lease.iaid || strspn(lease.iaid, "0123456789") != strlen(lease.iaid))
                        return false;
                if (lease.client_id)
                        mac_of_duid(lease.client_id, &lease.mac);
        }
        *ret = lease;
        return true;
}

void dnsmasq_parse_leases(const char *text, Arena *arena, DnsmasqLease **ret, size_t *ret_n)
{
        size_t lines = 0, n = 0;
        bool six = false;

        for (const char *c = text; *c; c++)
                lines += *c == '\n';
        lines = MIN(lines + 1, (size_t)DNSMASQ_MOST_LEASES);
        *ret = arena_new_array(arena, DnsmasqLease, lines);
        for (const char *line = text; *line && n < lines;) {
                const char *end = strchrnul(line, '\n');

                if (str_starts(line, "duid "))
                        six = true;
                else if (parse_line(line, six, arena, &(*ret)[n]))
                        n++;
                line = *end ? end + 1 : end;
        }
        *ret_n = n;
}
