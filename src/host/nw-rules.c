/*
 * host/nw-rules.c - network filters as rules for nft
 *
 * 'out' is what comes from the guest, 'in' what goes to it. A device's chains:
 * out/DEV and in/DEV, out/DEV/NAME for each chain of its filters, and out/DEV/
 * followed by '@ip' for what is about IP and above. A rule that limits connections
 * has a set, limit4/DEV/NUMBER or limit6/DEV/NUMBER, which is among the chains.
 */
#include "host/nw-rules.h"

#include "base/mem.h"
#include "base/str.h"
#include "host/nw-match.h"

#include <ctype.h>

#define TABLE NW_RULES_TABLE
#define LIMIT "limit"

static const char *const directions[] = { "out", "in" };
enum { OUT, IN, N_DIRECTIONS };
enum { MOST_LINES = 32768 };

void nw_chains_done(NwChains *chains)
{
        for (size_t i = 0; i < chains->len; i++)
                free(chains->items[i]);
        vec_done(chains);
}

/* --- names --- */

/* What nft reads as part of a name stays; '_' leads in the others. */
static void put_name(const char *text, Buf *ret)
{
        for (; *text; text++) {
                if (isalnum((unsigned char)*text) || *text == '-' || *text == '.')
                        buf_put_char(ret, *text);
                else
                        buf_format(ret, "_%02x", (unsigned char)*text);
        }
}

static char *chain_name(const char *dev, int direction, const char *chain)
{
        Buf name = { 0 };

        buf_format(&name, "%s/", directions[direction]);
        put_name(dev, &name);
        if (chain) {
                buf_put_char(&name, '/');
                put_name(chain, &name);
        }
        return buf_take(&name);
}

/* --- one device's chains --- */

typedef struct Writer {
        const NwPort *port;
        NwCollection *found;
        NwChains *chains;
        Buf rules; /* behind all chains */
        unsigned n_rules;
        bool has_ip[N_DIRECTIONS];
        int direction;
        /* the rule at hand */
        const NwFound *at;
        const char *chain; /* its full name */
        const char *state; /* of its connection, or NULL */
        bool swapped;
        const char *verdict;
} Writer;

static const char *add_chain(Writer *w, const char *chain)
{
        char *name = chain_name(w->port->dev, w->direction, chain);

        vec_push(w->chains, name);
        return name;
}

/* Answers belong to connections that were counted when they began. */
static int put_limit(Writer *w, const NwBound *bound, Error *err)
{
        unsigned version = w->swapped ? 0 : nw_match_limits(w->at->rule);
        Buf name = { 0 };

        if (!version)
                return 0;
        buf_format(&name, LIMIT "%u/", version);
        put_name(w->port->dev, &name);
        buf_format(&name, "/%u", w->n_rules);
        vec_push(w->chains, buf_take(&name));
        return nw_match_put_limit(w->at, bound, w->chains->items[w->chains->len - 1], &w->rules, err);
}

static int put_one(void *arg, const NwBound *bound, Error *err)
{
        Writer *w = arg;
        NwMatch how = { .swapped = w->swapped };

        if (w->n_rules++ >= MOST_LINES)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "network filter '%s': its variables make more than %d rules for one device",
                               w->port->filter, MOST_LINES);
        buf_format(&w->rules, "add rule " TABLE " %s", w->chain);
        if (nw_match_put(w->at, bound, &how, &w->rules, err) < 0)
                return -1;
        if (w->state)
                buf_format(&w->rules, " ct state %s", w->state);
        if (put_limit(w, bound, err) < 0)
                return -1;
        buf_format(&w->rules, " %s\n", w->verdict);
        return 0;
}

static int put_rule(Writer *w, const NwFound *found, const char *chain, bool swapped, const char *state,
                    const char *verdict, Error *err)
{
        w->at = found;
        w->chain = chain;
        w->swapped = swapped;
        w->state = state;
        w->verdict = verdict;
        return nw_each_combination(found, put_one, w, err);
}

static bool is_about_ip(const NwFound *found)
{
        return found->rule->protocol && found->rule->protocol->is_stateful;
}

static bool goes(const NwFound *found, int direction)
{
        NwDirection d = found->rule->head.direction;

        return d == NW_DIRECTION_INOUT || d == (direction == OUT ? NW_DIRECTION_OUT : NW_DIRECTION_IN);
}

/* --- IP and above --- */

/* What a rule says of connections, or NULL. */
static char *given_state(const NwRule *rule)
{
        const NwValue *value = nw_rule_value(rule, "state");
        char *text = value && !str_eq(value->text, "NONE") ? str_dup(value->text) : NULL;

        for (char *c = text; c && *c; c++)
                *c = (char)tolower((unsigned char)*c);
        return text;
}

static bool has_oneway(const NwRule *rule)
{
        for (size_t i = 0; i < rule->n_values; i++) {
                if (rule->values[i].attr->oneway)
                        return true;
        }
        return false;
}

/* An accepted connection's answers are accepted too, unless the rule says otherwise. */
static bool follows_connections(const NwRule *rule)
{
        return rule->head.action == NW_ACTION_ACCEPT && !rule->head.statematch &&
               rule->head.direction != NW_DIRECTION_INOUT && !nw_rule_value(rule, "state");
}

static int put_ip_rule(Writer *w, const NwFound *found, const char *chain, Error *err)
{
        const NwRule *rule = found->rule;
        AUTOFREE char *state = given_state(rule);
        /* towards the guest nobody is there whom nft could send a refusal */
        const char *verdict = rule->head.action == NW_ACTION_DROP     ? "drop"
                              : rule->head.action == NW_ACTION_REJECT ? (w->direction == OUT ? "reject" : "drop")
                                                                      : "accept";
        bool follows = follows_connections(rule);

        if (rule->head.action == NW_ACTION_CONTINUE)
                return 0;
        if (goes(found, w->direction)) {
                /* a rule for both ways is written as seen by what comes in */
                bool swapped = rule->head.direction == NW_DIRECTION_INOUT && w->direction == OUT;

                return put_rule(w, found, chain, swapped, follows ? "new,established" : state, verdict, err);
        }
        return follows && !has_oneway(rule) ? put_rule(w, found, chain, true, "established", verdict, err) : 0;
}

static int put_ip(Writer *w, Error *err)
{
        const char *chain = NULL;

        for (size_t i = 0; i < w->found->rules.len; i++) {
                const NwFound *found = &w->found->rules.items[i];

                if (!is_about_ip(found) || (!goes(found, w->direction) && !follows_connections(found->rule)))
                        continue;
                if (!chain)
                        chain = add_chain(w, "@ip");
                if (put_ip_rule(w, found, chain, err) < 0)
                        return -1;
        }
        if (chain)
                buf_format(&w->rules, "add rule " TABLE " %s accept\n", chain);
        w->has_ip[w->direction] = chain;
        return 0;
}

/* --- frames --- */

/* What is accepted has yet to pass what is said of IP. */
static char *accepting(const Writer *w)
{
        AUTOFREE char *chain = chain_name(w->port->dev, w->direction, "@ip");

        return w->has_ip[w->direction] ? str_format("goto %s", chain) : str_dup("accept");
}

static int put_frame_rule(Writer *w, const NwFound *found, const char *chain, Error *err)
{
        bool is_root = str_eq(found->filter->head->chain, "root");
        bool swapped = found->rule->head.direction == NW_DIRECTION_INOUT && w->direction == IN;
        AUTOFREE char *accept = accepting(w);
        const char *verdict = NULL;

        switch (found->rule->head.action) {
        case NW_ACTION_DROP:
        case NW_ACTION_REJECT:
                verdict = "drop";
                break;
        case NW_ACTION_ACCEPT:
                verdict = accept;
                break;
        case NW_ACTION_RETURN:
                verdict = is_root ? accept : "return";
                break;
        default:
                return 0;
        }
        return put_rule(w, found, chain, swapped, NULL, verdict, err);
}

static int put_chain(Writer *w, const char *name, const char *chain, Error *err)
{
        for (size_t i = 0; i < w->found->rules.len; i++) {
                const NwFound *found = &w->found->rules.items[i];

                if (!is_about_ip(found) && goes(found, w->direction) && str_eq(found->filter->head->chain, name) &&
                    put_frame_rule(w, found, chain, err) < 0)
                        return -1;
        }
        return 0;
}

/* What stands in a device's first chain, in order: rules of it, and ways into others. */
typedef struct Step {
        int priority;
        const NwFound *rule;    /* or */
        const NwFilter *filter; /* whose chain is entered */
} Step;

typedef VEC(Step) Steps;

/* Behind those of the same priority; ways into chains before rules. */
static void add_step(Steps *steps, Step step)
{
        size_t at = steps->len;

        while (at > 0 &&
               (steps->items[at - 1].priority > step.priority ||
                (steps->items[at - 1].priority == step.priority && step.filter && steps->items[at - 1].rule)))
                at--;
        vec_push(steps, step);
        memmove(steps->items + at + 1, steps->items + at, (steps->len - 1 - at) * sizeof(Step));
        steps->items[at] = step;
}

static bool has_chain(const Steps *steps, const char *name)
{
        for (size_t i = 0; i < steps->len; i++) {
                if (steps->items[i].filter && str_eq(steps->items[i].filter->head->chain, name))
                        return true;
        }
        return false;
}

static void list_steps(const Writer *w, Steps *ret)
{
        for (size_t i = 0; i < w->found->rules.len; i++) {
                const NwFound *found = &w->found->rules.items[i];
                const NwFilter *filter = found->filter;

                if (is_about_ip(found) || !goes(found, w->direction))
                        continue;
                if (str_eq(filter->head->chain, "root"))
                        add_step(ret, (Step){ .priority = found->rule->head.priority, .rule = found });
                else if (!has_chain(ret, filter->head->chain))
                        add_step(ret, (Step){ .priority = nw_filter_priority(filter), .filter = filter });
        }
}

static int put_step(Writer *w, const char *root, const Step *step, Error *err)
{
        const char *name, *chain, *head;

        if (step->rule)
                return put_frame_rule(w, step->rule, root, err);
        name = step->filter->head->chain;
        chain = add_chain(w, name);
        head = nw_chain_find(name)->head;
        if (put_chain(w, name, chain, err) < 0)
                return -1;
        buf_format(&w->rules, "add rule " TABLE " %s%s%s jump %s\n", root, head ? " " : "", head ?: "", chain);
        return 0;
}

static int put_direction(Writer *w, Error *err)
{
        const char *root = add_chain(w, NULL);
        AUTOFREE char *accept = NULL;
        Steps steps = { 0 };
        int rc = put_ip(w, err);

        accept = accepting(w);
        list_steps(w, &steps);
        for (size_t i = 0; rc == 0 && i < steps.len; i++)
                rc = put_step(w, root, &steps.items[i], err);
        vec_done(&steps);
        if (rc == 0)
                buf_format(&w->rules, "add rule " TABLE " %s %s\n", root, accept);
        return rc;
}

/* Rules of the same priority stay in the order of the definitions. */
static void sort_rules(NwCollection *c)
{
        for (size_t i = 1; i < c->rules.len; i++) {
                NwFound rule = c->rules.items[i];
                size_t at = i;

                while (at > 0 && c->rules.items[at - 1].rule->head.priority > rule.rule->head.priority)
                        at--;
                memmove(c->rules.items + at + 1, c->rules.items + at, (i - at) * sizeof(NwFound));
                c->rules.items[at] = rule;
        }
}

static bool is_set(const char *name)
{
        return str_starts(name, LIMIT);
}

/* A chain, or a set, that is empty whatever there was. */
static void put_empty(const char *name, Buf *ret)
{
        if (is_set(name))
                buf_format(ret, "add set " TABLE " %s { type ipv%c_addr ; size 65535 ; flags dynamic ; }\n", name,
                           name[strlen(LIMIT)]);
        else
                buf_format(ret, "add chain " TABLE " %s\n", name);
        buf_format(ret, "flush %s " TABLE " %s\n", is_set(name) ? "set" : "chain", name);
}

/* Chains, then the ways into them, then what stands in them: nft checks in that order. */
static void put_all(const NwPort *port, const NwChains *chains, const Buf *rules, Buf *ret)
{
        for (size_t i = 0; i < chains->len; i++)
                put_empty(chains->items[i], ret);
        buf_put(ret, rules->data, rules->len);
        for (int d = 0; d < N_DIRECTIONS; d++) {
                AUTOFREE char *root = chain_name(port->dev, d, NULL);

                buf_format(ret, "add element " TABLE " %s { \"%s\" : jump %s }\n", directions[d], port->dev, root);
        }
}

int nw_rules_put_port(const NwPort *port, NwFind *find, void *arg, NwChains *chains, Buf *ret, Error *err)
{
        AUTO(NwCollection) c = { .find = find, .arg = arg };
        Writer w = { .port = port, .found = &c, .chains = chains };
        int rc = nw_collect(&c, port->filter, port->vars, err);

        if (strpbrk(port->dev, "\"\\\n"))
                rc = err_set(err, ERR_CONFIG_UNSUPPORTED, "a device called '%s' cannot be filtered", port->dev);
        sort_rules(&c);
        for (w.direction = OUT; rc == 0 && w.direction < N_DIRECTIONS; w.direction++)
                rc = put_direction(&w, err);
        if (rc == 0)
                put_all(port, chains, &w.rules, ret);
        buf_done(&w.rules);
        return rc;
}

/* --- without a filter's rules --- */

static void put_plain(const NwPort *port, const char *const text[N_DIRECTIONS], NwChains *chains, Buf *ret)
{
        AUTO(Buf) rules = { 0 };

        for (int d = 0; d < N_DIRECTIONS; d++) {
                char *root = chain_name(port->dev, d, NULL);

                vec_push(chains, root);
                for (const char *line = text[d]; *line;) {
                        size_t n = strcspn(line, "\n");

                        buf_format(&rules, "add rule " TABLE " %s %.*s\n", root, (int)n, line);
                        line += n + (line[n] == '\n');
                }
        }
        put_all(port, chains, &rules, ret);
}

void nw_rules_put_basic(const NwPort *port, bool only_dhcp, NwChains *chains, Buf *ret)
{
        char mac[MAC_TEXT_LEN + 1];
        const char *arp = only_dhcp ? "" : "ether type arp accept\n";
        AUTOFREE char *out = str_format("ether saddr != %s drop\n"
                                        "ether type ip udp sport 68 udp dport 67 accept\n"
                                        "%sdrop",
                                        mac_format(&port->mac, mac), arp);
        AUTOFREE char *in = str_format("ether type ip udp sport 67 udp dport 68 accept\n%sdrop", arp);
        const char *const text[N_DIRECTIONS] = { out, in };

        put_plain(port, text, chains, ret);
}

void nw_rules_put_block(const NwPort *port, NwChains *chains, Buf *ret)
{
        static const char *const text[N_DIRECTIONS] = { "drop", "drop" };

        put_plain(port, text, chains, ret);
}

/* --- the table --- */

void nw_rules_put_gone(Buf *ret)
{
        buf_put_text(ret, "add table " TABLE "\ndelete table " TABLE "\n");
}

void nw_rules_put_base(bool whole, Buf *ret)
{
        if (whole)
                nw_rules_put_gone(ret);
        buf_put_text(ret,
                     "add table " TABLE " { comment \"network filters, kept by droverd\" ; }\n"
                     "add map " TABLE " out { type ifname : verdict ; }\n"
                     "add map " TABLE " in { type ifname : verdict ; }\n"
                     "add chain " TABLE
                     " from_guests { type filter hook prerouting priority -150 ; policy accept ; }\n"
                     "add chain " TABLE " to_guests { type filter hook postrouting priority 0 ; policy accept ; }\n"
                     "flush chain " TABLE " from_guests\n"
                     "flush chain " TABLE " to_guests\n"
                     "add rule " TABLE " from_guests iifname vmap @out\n"
                     "add rule " TABLE " to_guests oifname vmap @in\n");
}

static bool has_name(const NwChains *chains, const char *name)
{
        for (size_t i = 0; chains && i < chains->len; i++) {
                if (str_eq(chains->items[i], name))
                        return true;
        }
        return false;
}

void nw_rules_put_removal(const char *dev, const NwChains *old, const NwChains *new, Buf *ret)
{
        /* only what is there can be removed: each is put in first, which changes nothing where it is */
        for (size_t i = 0; i < old->len; i++) {
                if (!has_name(new, old->items[i]))
                        put_empty(old->items[i], ret);
        }
        for (int d = 0; !new &&d < N_DIRECTIONS; d++) {
                AUTOFREE char *root = chain_name(dev, d, NULL);

                buf_format(ret,
                           "add element " TABLE " %s { \"%s\" : jump %s }\ndelete element " TABLE " %s { \"%s\" }\n",
                           directions[d], dev, root, directions[d], dev);
        }
        for (int sets = 0; sets < 2; sets++) { /* what a chain uses goes behind it */
                for (size_t i = 0; i < old->len; i++) {
                        if (is_set(old->items[i]) == sets && !has_name(new, old->items[i]))
                                buf_format(ret, "delete %s " TABLE " %s\n", sets ? "set" : "chain", old->items[i]);
                }
        }
}
