/*
 * tests/fuzz/fuzz-leases.c - the lease file of a dnsmasq from any bytes
 *
 * What comes out has an address of a known family, and texts that can go to clients.
 */
#include "base/str.h"
#include "fuzz.h"
#include "host/dnsmasq.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTOFREE char *text = str_dup_n((const char *)data, size);
        AUTO(Arena) *arena = arena_new();
        DnsmasqLease *leases;
        size_t n;

        dnsmasq_parse_leases(text, arena, &leases, &n);
        for (size_t i = 0; i < n; i++) {
                const char *name = leases[i].hostname;

                if ((leases[i].address.family != AF_INET && leases[i].address.family != AF_INET6) ||
                    leases[i].expires_s < 0 || (name && !str_is_utf8(name, strlen(name))))
                        abort();
        }
        return 0;
}
