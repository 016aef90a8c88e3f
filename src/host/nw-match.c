/*
 * host/nw-match.c - what packets a rule is about, as an expression for nft
 *
 * Values go to nft only as what they were understood as: numbers and addresses
 * written anew.
 */
#include "host/nw-match.h"

#include "base/str.h"

#include <inttypes.h>

typedef struct Matcher {
        const NwFound *found;
        const NwBound *bound;
        bool swapped;
        Buf *ret;
} Matcher;

static int refuse(const Matcher *m, const NwAttr *attr, const char *why, Error *err)
{
        return err_set(err, ERR_CONFIG_UNSUPPORTED, "network filter '%s': <%s>: '@%s' %s",
                       m->found->filter->head->name, m->found->rule->protocol->name, attr->name, why);
}

static int literal_of(const Matcher *m, const NwAttr *attr, const char *text, NwLiteral *ret, Error *err)
{
        AUTOFREE char *why = NULL;

        if (nw_literal_parse(attr->kind, text, ret) == 0)
                return 0;
        why = str_format("cannot be '%s'", text);
        return refuse(m, attr, why, err);
}

/* The text that the attribute number i of the protocol has, or NULL. */
static const char *text_at(const Matcher *m, int i)
{
        const NwRule *rule = m->found->rule;

        for (size_t v = 0; i >= 0 && v < rule->n_values; v++) {
                if (rule->values[v].attr == &rule->protocol->attrs[i])
                        return m->bound->texts[v];
        }
        return NULL;
}

static void put_hex(const uint8_t *bytes, size_t n, Buf *ret)
{
        buf_put_text(ret, "0x");
        for (size_t i = 0; i < n; i++)
                buf_format(ret, "%02x", bytes[i]);
}

static void put_mac(const Mac *mac, bool raw, Buf *ret)
{
        char text[MAC_TEXT_LEN + 1];

        if (raw)
                put_hex(mac->bytes, sizeof(mac->bytes), ret);
        else
                buf_put_text(ret, mac_format(mac, text));
}

static void put_address(const NetAddress *address, bool raw, Buf *ret)
{
        char text[NET_ADDRESS_TEXT_LEN + 1];

        if (raw)
                put_hex(address->bytes, net_address_bits(address) / 8, ret);
        else
                buf_put_text(ret, net_address_format(address, text));
}

static void put_value(NwKind kind, const NwLiteral *value, bool raw, Buf *ret)
{
        if (kind == NW_MAC)
                put_mac(&value->mac, raw, ret);
        else if (kind == NW_IP4 || kind == NW_IP6)
                put_address(&value->address, raw, ret);
        else
                buf_format(ret, "%" PRIu64, value->number);
}

static void put_masked(const NwAttr *attr, const char *expression, bool raw, NwLiteral *value, const NwLiteral *mask,
                       const char *relation, Buf *ret)
{
        if (attr->kind == NW_MAC) {
                for (size_t i = 0; i < sizeof(value->mac.bytes); i++)
                        value->mac.bytes[i] &= mask->mac.bytes[i];
                buf_format(ret, " %s & ", expression);
                put_mac(&mask->mac, raw, ret);
                buf_format(ret, " %s ", relation);
                put_mac(&value->mac, raw, ret);
                return;
        }
        value->address = net_first(&value->address, (unsigned)mask->number);
        if (raw) {
                const NetAddress ones = { AF_INET, { 255, 255, 255, 255 } };
                NetAddress bits = net_first(&ones, (unsigned)mask->number);

                buf_format(ret, " %s & ", expression);
                put_address(&bits, true, ret);
                buf_format(ret, " %s ", relation);
                put_address(&value->address, true, ret);
        } else {
                buf_format(ret, " %s %s ", expression, relation);
                put_address(&value->address, false, ret);
                buf_format(ret, "/%u", (unsigned)mask->number);
        }
}

static bool is_below(NwKind kind, const NwLiteral *a, const NwLiteral *b)
{
        if (kind == NW_IP4 || kind == NW_IP6)
                return net_address_compare(&a->address, &b->address) < 0;
        return a->number < b->number;
}

/* One attribute that is compared, with its mask or the end of its range. */
static int put_compared(const Matcher *m, const NwAttr *attr, const char *text, Error *err)
{
        const char *expression = m->swapped && attr->swap ? attr->swap : attr->nft;
        const char *relation = m->found->rule->negated ? "!=" : "==";
        const char *mask_text = text_at(m, attr->mask), *last_text = text_at(m, attr->last);
        bool raw = *expression == '@';
        NwLiteral value, mask, last;

        if (literal_of(m, attr, text, &value, err) < 0)
                return -1;
        if (mask_text) {
                const NwAttr *mask_attr = &m->found->rule->protocol->attrs[attr->mask];

                if (literal_of(m, mask_attr, mask_text, &mask, err) < 0)
                        return -1;
                put_masked(attr, expression, raw, &value, &mask, relation, m->ret);
                return 0;
        }
        buf_format(m->ret, " %s %s ", expression, relation);
        put_value(attr->kind, &value, raw, m->ret);
        if (!last_text)
                return 0;
        if (literal_of(m, &m->found->rule->protocol->attrs[attr->last], last_text, &last, err) < 0)
                return -1;
        if (is_below(attr->kind, &last, &value))
                return refuse(m, attr, "begins a range that ends below it", err);
        if (is_below(attr->kind, &value, &last)) {
                buf_put_char(m->ret, '-');
                put_value(attr->kind, &last, raw, m->ret);
        }
        return 0;
}

/* 'SYN,ACK' as nft writes it: syn|ack. */
static void put_flags(const char *words, size_t n, Buf *ret)
{
        AUTOFREE char *text = str_dup_n(words, n);

        if (str_eq(text, "NONE")) {
                buf_put_text(ret, "0x0");
        } else if (str_eq(text, "ALL")) {
                buf_put_text(ret, "(fin|syn|rst|psh|ack|urg)");
        } else {
                buf_put_char(ret, '(');
                for (char *c = text; *c; c++)
                        buf_put_char(ret, *c == ',' ? '|' : (char)(*c | 0x20));
                buf_put_char(ret, ')');
        }
}

static int put_tcp(const Matcher *m, const NwAttr *attr, const char *text, Error *err)
{
        bool negated = m->found->rule->negated;
        size_t n = strcspn(text, "/");
        NwLiteral value;

        if (literal_of(m, attr, text, &value, err) < 0)
                return -1;
        if (attr->kind != NW_TCPFLAGS) {
                buf_format(m->ret, " tcp option %" PRIu64 " %s", value.number, negated ? "missing" : "exists");
                return 0;
        }
        buf_put_text(m->ret, " tcp flags & ");
        put_flags(text, n, m->ret);
        buf_put_text(m->ret, negated ? " != " : " == ");
        put_flags(text + n + 1, strlen(text + n + 1), m->ret);
        return 0;
}

static int put_attr(const Matcher *m, const NwAttr *attr, const char *text, Error *err)
{
        NwLiteral value;

        switch (attr->kind) {
        case NW_IPSET:
                return refuse(m, attr, "cannot be put into force: nftables does not know the sets of ipset", err);
        case NW_BOOL:
                if (literal_of(m, attr, text, &value, err) < 0)
                        return -1;
                return value.number ? refuse(m, attr,
                                             "cannot be put into force: nftables cannot compare two addresses of a "
                                             "packet; use '@arpsrcipaddr' and '@arpdstipaddr' with one variable",
                                             err)
                                    : 0;
        case NW_CONNLIMIT:
                return 0; /* behind everything else */
        default:
                break;
        }
        if (!attr->nft)
                return 0; /* a follower, or the caller's business */
        if (str_starts(attr->nft, "tcp "))
                return put_tcp(m, attr, text, err);
        return put_compared(m, attr, text, err);
}

int nw_match_put(const NwFound *found, const NwBound *bound, const NwMatch *how, Buf *ret, Error *err)
{
        const NwRule *rule = found->rule;
        const Matcher m = { found, bound, how->swapped, ret };

        if (!rule->protocol)
                return 0;
        if (rule->protocol->head)
                buf_format(ret, " %s", rule->protocol->head);
        /* ports are looked for only where there are some */
        if (!rule->protocol->is_stateful && !nw_rule_value(rule, "protocol") &&
            (nw_rule_value(rule, "srcportstart") || nw_rule_value(rule, "dstportstart")))
                buf_put_text(ret, " meta l4proto { tcp, udp, udplite, sctp }");
        for (size_t i = 0; i < rule->n_values; i++) {
                if (put_attr(&m, rule->values[i].attr, bound->texts[i], err) < 0)
                        return -1;
        }
        return 0;
}

unsigned nw_match_limits(const NwRule *rule)
{
        for (size_t i = 0; i < rule->n_values; i++) {
                if (rule->values[i].attr->kind == NW_CONNLIMIT)
                        return str_ends(rule->protocol->name, "ipv6") ? 6 : 4;
        }
        return 0;
}

int nw_match_put_limit(const NwFound *found, const NwBound *bound, const char *set, Buf *ret, Error *err)
{
        const NwRule *rule = found->rule;
        const Matcher m = { found, bound, false, ret };

        for (size_t i = 0; i < rule->n_values; i++) {
                NwLiteral value;

                if (rule->values[i].attr->kind != NW_CONNLIMIT)
                        continue;
                if (literal_of(&m, rule->values[i].attr, bound->texts[i], &value, err) < 0)
                        return -1;
                buf_format(ret, " add @%s { %s saddr ct count %s%" PRIu64 " }", set,
                           nw_match_limits(rule) == 6 ? "ip6" : "ip", rule->negated ? "" : "over ", value.number);
        }
        return 0;
}
