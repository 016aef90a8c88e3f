/*
 * base/net-address.c - IP addresses and the networks they are in
 */
#include "base/net-address.h"

#include <arpa/inet.h>
#include <string.h>

int net_address_parse(const char *text, NetAddress *ret)
{
        NetAddress address = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

        if (inet_pton(address.family, text, address.bytes) != 1)
                return -1;
        *ret = address;
        return 0;
}

const char *net_address_format(const NetAddress *address, char text[NET_ADDRESS_TEXT_LEN + 1])
{
        if (!inet_ntop(address->family, address->bytes, text, NET_ADDRESS_TEXT_LEN + 1))
                text[0] = '\0';
        return text;
}

unsigned net_address_bits(const NetAddress *address)
{
        return address->family == AF_INET6 ? 128 : 32;
}

int net_mask_prefix(const char *mask)
{
        struct in_addr in;
        uint32_t bits;
        int n = 0;

        if (inet_pton(AF_INET, mask, &in) != 1)
                return -1;
        bits = ntohl(in.s_addr);
        while (n < 32 && bits & (UINT32_C(1) << (31 - n)))
                n++;
        return n < 32 && bits << n ? -1 : n;
}

static NetAddress fill_behind(const NetAddress *address, unsigned prefix, bool ones)
{
        NetAddress filled = *address;

        for (unsigned i = 0; i < net_address_bits(address) / 8; i++) {
                unsigned kept = prefix > i * 8 ? prefix - i * 8 : 0;
                uint8_t mask = kept >= 8 ? 0xff : (uint8_t)(0xff00 >> kept);

                filled.bytes[i] = (uint8_t)((filled.bytes[i] & mask) | (ones ? ~mask : 0));
        }
        return filled;
}

NetAddress net_first(const NetAddress *address, unsigned prefix)
{
        return fill_behind(address, prefix, false);
}

NetAddress net_last(const NetAddress *address, unsigned prefix)
{
        return fill_behind(address, prefix, true);
}

int net_address_compare(const NetAddress *a, const NetAddress *b)
{
        return memcmp(a->bytes, b->bytes, net_address_bits(a) / 8);
}

bool net_contains(const NetAddress *net, unsigned prefix, const NetAddress *address)
{
        NetAddress first = net_first(net, prefix), of = net_first(address, prefix);

        return net->family == address->family && net_address_compare(&first, &of) == 0;
}

bool net_overlaps(const NetAddress *a, unsigned a_prefix, const NetAddress *b, unsigned b_prefix)
{
        return net_contains(a, a_prefix < b_prefix ? a_prefix : b_prefix, b);
}

uint32_t net_address_count(const NetAddress *first, const NetAddress *last)
{
        unsigned n = net_address_bits(first) / 8, high = n > 8 ? n - 8 : 0;
        uint64_t from = 0, to = 0;

        if (memcmp(first->bytes, last->bytes, high) != 0)
                return UINT32_MAX;
        for (unsigned i = high; i < n; i++) {
                from = from << 8 | first->bytes[i];
                to = to << 8 | last->bytes[i];
        }
        return to - from >= UINT32_MAX ? UINT32_MAX : (uint32_t)(to - from) + 1;
}
