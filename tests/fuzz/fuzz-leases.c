/*
 * tests/fuzz/fuzz-leases.c - the lease file of a dnsmasq from any bytes
 *
 * What comes out has an address of a known family, and texts that can go to clients and
 * their terminals.
 */
#include "base/str.h"
#include "fuzz.h"
#include "host/dnsmasq.h"

static bool consists_of(const char *text, const char *characters)
{
        return strspn(text, characters) == strlen(text);
}

static bool can_be_told(const DnsmasqLease *lease)
{
        AUTOFREE char *name = lease->hostname ? str_printable(lease->hostname, "") : NULL;

        return str_eq(name, lease->hostname) && lease->expires_s >= 0 &&
               (!lease->client_id || consists_of(lease->client_id, "0123456789abcdefABCDEF:")) &&
               (!lease->iaid || (*lease->iaid && consists_of(lease->iaid, "0123456789")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTOFREE char *text = str_dup_n((const char *)data, size);
        AUTO(Arena) *arena = arena_new();
        DnsmasqLease *leases;
        size_t n;

        dnsmasq_parse_leases(text, arena, &leases, &n);
        for (size_t i = 0; i < n; i++) {
                if ((leases[i].address.family != AF_INET && leases[i].address.family != AF_INET6) ||
                    !can_be_told(&leases[i]))
                        abort();
        }
        return 0;
}
