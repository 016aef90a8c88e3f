#pragma once
/*
 * host/nw-rules.h - network filters as rules for nft
 *
 * All of them stand in one table of our own in the bridge family. Two base
 * chains hand a packet over, through verdict maps, to the chains of the device
 * that it comes from or goes to; packets of other devices are not looked at. A
 * device comes and goes by a few elements and chains. A filter's rules for
 * frames come first, chain by chain as their priorities say; what they accept
 * goes through the rules for IP and above, and then on. Pure text: nft runs in
 * a child (daemon/nft-table.c).
 */
#include "base/map.h"
#include "base/vec.h"
#include "model/nwfilter.h"

#define NW_RULES_TABLE_NAME "drover_filters"
#define NW_RULES_TABLE      "bridge " NW_RULES_TABLE_NAME

/* Values of variables; in an arena. */
typedef struct NwVar {
        const char *name;
        VEC(const char *) values;
} NwVar;

typedef struct NwVars {
        VEC(NwVar) list;
        Map *places; /* in list, by name, counted from 1; owned, NULL: empty */
} NwVars;

/* Names and values are not copied. A name that is there gets one more value. */
void nw_vars_add(NwVars *vars, const char *name, const char *value);
const NwVar *nw_vars_find(const NwVars *vars, const char *name, size_t len);
void nw_vars_done(NwVars *vars);

/* A device that a filter is bound to. */
typedef struct NwPort {
        const char *dev;
        Mac mac;
        const char *filter;
        const NwVars *vars;
} NwPort;

typedef VEC(char *) NwChains; /* names of a device's chains */
void nw_chains_done(NwChains *chains);

/* The filter of that name, or NULL. */
typedef const NwFilter *NwFind(void *arg, const char *name);

/* What begins every transaction: whole: whatever there was goes first. */
void nw_rules_put_base(bool whole, Buf *ret);
void nw_rules_put_gone(Buf *ret); /* the whole table goes */
/* The rules of a device in place of those that it has; chains gets their names. -1: ret holds nothing usable. */
int nw_rules_put_port(const NwPort *port, NwFind *find, void *arg, NwChains *chains, Buf *ret, Error *err);
/* While its address is not known: DHCP, and ARP unless only_dhcp, from its own MAC address. */
void nw_rules_put_basic(const NwPort *port, bool only_dhcp, NwChains *chains, Buf *ret);
/* Nothing goes through, for a filter that cannot be put into force. */
void nw_rules_put_block(const NwPort *port, NwChains *chains, Buf *ret);
/* Chains of `old` that are not among `new` go; new NULL: all of the device goes. */
void nw_rules_put_removal(const char *dev, const NwChains *old, const NwChains *new, Buf *ret);

/* The first variable that a filter needs and nobody gave a value, in *ret, or NULL; -1: a filter is missing. */
int nw_rules_missing(const NwPort *port, NwFind *find, void *arg, char **ret, Error *err);
/* Whether a filter takes in another, directly or not. */
bool nw_filter_uses(const char *filter, const char *other, NwFind *find, void *arg);
