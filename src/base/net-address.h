#pragma once
/*
 * base/net-address.h - IP addresses and the networks they are in
 *
 * Both families in one type, in network byte order; IPv4 uses the first four
 * bytes. Nothing here looks a name up.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum { NET_ADDRESS_TEXT_LEN = INET6_ADDRSTRLEN - 1 };

typedef struct NetAddress {
        int family; /* AF_INET or AF_INET6; 0: none */
        uint8_t bytes[16];
} NetAddress;

/* Numeric only, without a zone. 0 or -1. */
int net_address_parse(const char *text, NetAddress *ret);
const char *net_address_format(const NetAddress *address, char text[NET_ADDRESS_TEXT_LEN + 1]); /* returns text */

unsigned net_address_bits(const NetAddress *address); /* 32 or 128 */
/* Length of the prefix that a mask like 255.255.0.0 stands for; -1: it is none. */
int net_mask_prefix(const char *mask);
/* The first (all bits behind the prefix 0) or last (all 1) address of a network. */
NetAddress net_first(const NetAddress *address, unsigned prefix);
NetAddress net_last(const NetAddress *address, unsigned prefix);
bool net_contains(const NetAddress *net, unsigned prefix, const NetAddress *address);
/* Whether two networks have an address in common. */
bool net_overlaps(const NetAddress *a, unsigned a_prefix, const NetAddress *b, unsigned b_prefix);
/* Below 0, 0, above 0, as numbers; of one family. */
int net_address_compare(const NetAddress *a, const NetAddress *b);
/* How many addresses there are from first to last, both counted; UINT32_MAX: that many or more. */
uint32_t net_address_count(const NetAddress *first, const NetAddress *last);
