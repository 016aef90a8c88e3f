#pragma once
/*
 * host/dnsmasq.h - dnsmasq for one virtual network: its configuration, and what it wrote about leases
 *
 * Pure text both ways. Every text of a definition that gets into the
 * configuration has been checked by the model (model/network-check.c).
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/mac.h"
#include "model/network.h"

/* Where the files of one network are; all absolute. */
typedef struct DnsmasqFiles {
        const char *pid, *leases;
        const char *hosts; /* of <dns>: names by address */
        const char *fixed; /* of <dhcp>: guests with an address of their own */
        const char *user;  /* whom it becomes */
} DnsmasqFiles;

/* Does the network need one? DNS, DHCP, TFTP and router advertisements are its business. */
bool dnsmasq_is_needed(const NetworkDef *def);
void dnsmasq_put_config(const NetworkDef *def, const DnsmasqFiles *files, Buf *ret);
void dnsmasq_put_hosts(const NetworkDef *def, Buf *ret);
void dnsmasq_put_fixed(const NetworkDef *def, Buf *ret);

typedef struct DnsmasqLease {
        int64_t expires_s; /* seconds since 1970; 0: never */
        NetAddress address;
        Mac mac;                                 /* all zero: not known (IPv6, and the identity does not hold it) */
        const char *hostname, *client_id, *iaid; /* NULL: none */
} DnsmasqLease;

/*
 * The lease file of a dnsmasq, which is its word and not to be believed beyond that: what is not a lease is left out.
 * At most MOST_LEASES, in the arena.
 */
enum { DNSMASQ_MOST_LEASES = 65536, DNSMASQ_MOST_LEASE_BYTES = 16 * 1024 * 1024 };
void dnsmasq_parse_leases(const char *text, Arena *arena, DnsmasqLease **ret, size_t *ret_n);

/* What to do about a complaint of a dnsmasq that did not start: begins with '; ', or is empty. Static. */
const char *dnsmasq_advice(const char *complaint);
