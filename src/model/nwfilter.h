#pragma once
/*
 * model/nwfilter.h - the definition of a network filter, and of what it is bound to
 *
 * A filter is an ordered list of rules and of other filters that it takes in.
 * A rule has at most one element that says which packets it is about; which
 * there are, and their attributes, are facts (facts/nwfilter.toml). Values are
 * kept as they were written: a number, an address, or a variable. Immutable
 * once made, and counted. Pure: nothing here touches the host.
 */
#include "base/net-address.h"
#include "model/domain-def.h"
#include "model/nwfilter-facts.h"

typedef struct NwValue {
        const NwAttr *attr;
        const char *text;
} NwValue;

typedef struct NwRule {
        NwRuleDef head;
        const NwProtocol *protocol; /* NULL: every packet */
        bool negated;               /* each attribute must not match */
        NwValue *values;            /* in the order of the facts */
        size_t n_values;
} NwRule;

/* A rule, or a filter that is taken in: one of them is NULL. */
typedef struct NwEntry {
        NwRule *rule;
        FilterrefDef *ref;
} NwEntry;

typedef struct NwFilter {
        unsigned refs;
        NwfilterDef *head; /* which owns the memory of everything */
        NwEntry *entries;
        size_t n_entries;
} NwFilter;

/* The caller gets the one reference. Warnings are added to; NULL: thrown away. */
int nw_filter_parse(const char *xml, size_t len, unsigned flags, NwFilter **ret, Warnings *warnings, Error *err);
void nw_filter_format(const NwFilter *filter, Buf *ret); /* XML ending with a newline */
NwFilter *nw_filter_ref(NwFilter *filter);               /* the loop thread's: the count is not atomic */
NwFilter *nw_filter_unref(NwFilter *filter);             /* NULL gives NULL; returns NULL */
/* When the chain of its rules is gone through: lower ones first. */
int nw_filter_priority(const NwFilter *filter);
/* Which packets a chain of that name is for; NULL: a name like that cannot be. */
const NwChain *nw_chain_find(const char *name);
/* The value of a rule's attribute, or NULL. */
const NwValue *nw_rule_value(const NwRule *rule, const char *name);

/* A binding: the device, and the filter with its values. Counted like other definitions. */
int nw_binding_parse(const char *xml, size_t len, unsigned flags, NwBindingDef **ret, Warnings *warnings, Error *err);
void nw_binding_format(const NwBindingDef *def, Buf *ret);
NwBindingDef *nw_binding_unref(NwBindingDef *def); /* returns NULL */

/* --- values (model/nwfilter-value.c) --- */

/*
 * '$NAME', '$NAME[@n]' (iterator n; 0 without brackets) or '$NAME[n]' (the n-th value): *ret_len is the length of the
 * name, which begins behind the '$'. 0; -1: it is no variable.
 */
typedef struct NwVariable {
        const char *name;
        size_t len;
        bool is_index;
        uint32_t number;
} NwVariable;
int nw_variable_parse(const char *text, NwVariable *ret);
/* A name that a variable may have. */
bool nw_is_variable_name(const char *name);

/* A value without variables. What there is of it depends on its kind. */
typedef struct NwLiteral {
        uint64_t number; /* numbers; the prefix's length of a mask of IP */
        Mac mac;
        NetAddress address;
} NwLiteral;
/* 0, or -1: no value of this kind. Kinds that are text (state, ipset, ...) are checked, and leave ret alone. */
int nw_literal_parse(NwKind kind, const char *text, NwLiteral *ret);

DEFINE_AUTO(NwFilter, nw_filter_unref)
DEFINE_AUTO(NwBindingDef, nw_binding_unref)
