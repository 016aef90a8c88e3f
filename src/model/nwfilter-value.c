/*
 * model/nwfilter-value.c - values of the attributes of a filter's rules
 */
#include "model/nwfilter.h"

#include "base/str.h"

#include <ctype.h>
#include <strings.h>

enum { LONGEST_NAME = 64, MOST_ITERATORS = 1000 };

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

bool nw_is_variable_name(const char *name)
{
        size_t n = strlen(name);

        return n > 0 && n <= LONGEST_NAME && strspn(name, NAME_CHARACTERS) == n;
}

int nw_variable_parse(const char *text, NwVariable *ret)
{
        NwVariable v = { .name = text + 1 };
        const char *rest;

        if (*text != '$')
                return -1;
        v.len = strspn(v.name, NAME_CHARACTERS);
        rest = v.name + v.len;
        if (v.len == 0 || v.len > LONGEST_NAME)
                return -1;
        if (*rest) {
                AUTOFREE char *number = NULL;
                size_t n = strlen(rest);

                if (n < 3 || rest[0] != '[' || rest[n - 1] != ']')
                        return -1;
                v.is_index = rest[1] != '@';
                number = str_dup_n(rest + (v.is_index ? 1 : 2), n - (v.is_index ? 2 : 3));
                if (str_to_u32(number, &v.number) < 0 || v.number > MOST_ITERATORS)
                        return -1;
        }
        *ret = v;
        return 0;
}

typedef struct Word {
        const char *word;
        unsigned number;
} Word;

static const Word ethertypes[] = {
        { "ipv4", 0x0800 }, { "arp", 0x0806 }, { "rarp", 0x8035 }, { "vlan", 0x8100 }, { "ipv6", 0x86dd },
};

static const Word protocols[] = {
        { "icmp", 1 }, { "igmp", 2 },    { "tcp", 6 },    { "udp", 17 },      { "esp", 50 },
        { "ah", 51 },  { "icmpv6", 58 }, { "sctp", 132 }, { "udplite", 136 },
};

static const Word opcodes[] = {
        { "Request", 1 },       { "Reply", 2 },         { "Request_Reverse", 3 },
        { "Reply_Reverse", 4 }, { "DRARP_Request", 5 }, { "DRARP_Reply", 6 },
        { "DRARP_Error", 7 },   { "InARP_Request", 8 }, { "ARP_NAK", 10 },
};

static int find_word(const Word *words, size_t n, const char *text, uint64_t *ret)
{
        for (size_t i = 0; i < n; i++) {
                if (strcasecmp(words[i].word, text) == 0) {
                        *ret = words[i].number;
                        return 0;
                }
        }
        return -1;
}

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
        bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');

        return (hex ? str_to_u64_hex(text, ret) : str_to_u64(text, ret)) == 0 && *ret <= max ? 0 : -1;
}

/* One digit is enough for a byte here, unlike elsewhere. */
static int parse_mac(const char *text, Mac *ret)
{
        for (int i = 0; i < 6; i++) {
                unsigned value = 0, digits = 0;

                for (; isxdigit((unsigned char)*text) && digits < 2; text++, digits++)
                        value = value * 16 +
                                (unsigned)(isdigit((unsigned char)*text) ? *text - '0' : tolower(*text) - 'a' + 10);
                if (digits == 0 || *text != (i < 5 ? ':' : '\0'))
                        return -1;
                text += i < 5;
                ret->bytes[i] = (uint8_t)value;
        }
        return 0;
}

static int parse_address(const char *text, int family, NetAddress *ret)
{
        return net_address_parse(text, ret) == 0 && ret->family == family ? 0 : -1;
}

/* A mask is the length of a prefix, or an address whose ones come first. */
static int parse_mask(const char *text, int family, uint64_t *ret)
{
        unsigned bits = family == AF_INET ? 32 : 128, n = 0;
        NetAddress mask;

        if (!strpbrk(text, ".:"))
                return parse_number(text, bits, ret);
        if (parse_address(text, family, &mask) < 0)
                return -1;
        while (n < bits && mask.bytes[n / 8] >> (7 - n % 8) & 1)
                n++;
        for (unsigned i = n; i < bits; i++) {
                if (mask.bytes[i / 8] >> (7 - i % 8) & 1)
                        return -1;
        }
        *ret = n;
        return 0;
}

static bool is_list_of(const char *text, const char *const *words, bool any_case)
{
        while (*text) {
                size_t n = strcspn(text, ","), i = 0;

                while (words[i] &&
                       (strlen(words[i]) != n || (any_case ? strncasecmp : strncmp)(words[i], text, n) != 0))
                        i++;
                if (!words[i])
                        return false;
                text += n;
                if (!*text)
                        return true;
                text++;
        }
        return false;
}

static bool is_flags(const char *text)
{
        static const char *const words[] = { "SYN", "ACK", "URG", "PSH", "FIN", "RST", NULL };
        const char *slash = strchr(text, '/');
        AUTOFREE char *mask = slash ? str_dup_n(text, (size_t)(slash - text)) : NULL;

        if (!slash)
                return false;
        return (str_eq(mask, "ALL") || str_eq(mask, "NONE") || is_list_of(mask, words, false)) &&
               (str_eq(slash + 1, "ALL") || str_eq(slash + 1, "NONE") || is_list_of(slash + 1, words, false));
}

static bool is_state(const char *text)
{
        static const char *const words[] = { "NEW", "ESTABLISHED", "RELATED", "INVALID", NULL };

        return str_eq(text, "NONE") || is_list_of(text, words, false);
}

static bool is_set_flags(const char *text)
{
        static const char *const words[] = { "src", "dst", NULL };

        return is_list_of(text, words, true);
}

static bool is_set_name(const char *text)
{
        size_t n = strlen(text);

        return n > 0 && n < 32 && strspn(text, NAME_CHARACTERS ".:-+ ") == n;
}

static bool is_switch(const char *text)
{
        static const char *const words[] = { "yes", "no", "true", "false", "1", "0", NULL };

        return !strchr(text, ',') && is_list_of(text, words, false);
}

int nw_literal_parse(NwKind kind, const char *text, NwLiteral *ret)
{
        switch (kind) {
        case NW_MAC:
                return parse_mac(text, &ret->mac);
        case NW_IP4:
                return parse_address(text, AF_INET, &ret->address);
        case NW_IP6:
                return parse_address(text, AF_INET6, &ret->address);
        case NW_IP4MASK:
                return parse_mask(text, AF_INET, &ret->number);
        case NW_IP6MASK:
                return parse_mask(text, AF_INET6, &ret->number);
        case NW_U8:
                return parse_number(text, UINT8_MAX, &ret->number);
        case NW_U16:
        case NW_CONNLIMIT:
                return parse_number(text, UINT16_MAX, &ret->number);
        case NW_U32:
                return parse_number(text, UINT32_MAX, &ret->number);
        case NW_VLAN:
                return parse_number(text, 4095, &ret->number);
        case NW_DSCP:
                return parse_number(text, 63, &ret->number);
        case NW_ETHERTYPE: /* below that it is a length */
                if (find_word(ethertypes, ARRAY_LEN(ethertypes), text, &ret->number) == 0)
                        return 0;
                return parse_number(text, UINT16_MAX, &ret->number) == 0 && ret->number >= 0x600 ? 0 : -1;
        case NW_IPPROTO:
                if (find_word(protocols, ARRAY_LEN(protocols), text, &ret->number) == 0)
                        return 0;
                return parse_number(text, UINT8_MAX, &ret->number);
        case NW_ARPOP:
                if (find_word(opcodes, ARRAY_LEN(opcodes), text, &ret->number) == 0)
                        return 0;
                return parse_number(text, UINT16_MAX, &ret->number);
        case NW_BOOL:
                ret->number = is_switch(text) && (str_eq(text, "yes") || str_eq(text, "true") || str_eq(text, "1"));
                return is_switch(text) ? 0 : -1;
        case NW_TCPFLAGS:
                return is_flags(text) ? 0 : -1;
        case NW_STATE:
                return is_state(text) ? 0 : -1;
        case NW_IPSET:
                return is_set_name(text) ? 0 : -1;
        case NW_IPSETFLAGS:
                return is_set_flags(text) ? 0 : -1;
        case NW_TEXT:
                return strlen(text) <= 256 ? 0 : -1;
        }
        return -1;
}
