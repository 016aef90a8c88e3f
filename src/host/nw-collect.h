#pragma once
/*
 * host/nw-collect.h - all rules of a filter and of what it takes in, with the values they see
 */
#include "host/nw-rules.h"

typedef struct NwFound {
        const NwFilter *filter; /* which the rule stands in */
        const NwRule *rule;
        const NwVars *vars;
} NwFound;

typedef struct NwCollection {
        NwFind *find;
        void *arg;
        VEC(NwFound) rules;
        VEC(NwVars *) vars;       /* made on the way */
        unsigned depth, followed; /* references: under way, in all */
        size_t handed_on;         /* values of variables, to what was referred to */
} NwCollection;

/* In the order of the definitions. The values of vars are seen everywhere, those of a reference below it. */
int nw_collect(NwCollection *c, const char *filter, const NwVars *vars, Error *err);
void nw_collection_done(NwCollection *c);

/* One combination of values: what each value of a rule is. */
typedef struct NwBound {
        const char **texts; /* like rule->values */
} NwBound;
/* Calls each(arg, bound) for every combination of the rule's variables; stops at the first -1. */
int nw_each_combination(const NwFound *found, int (*each)(void *arg, const NwBound *bound, Error *err), void *arg,
                        Error *err);

DEFINE_AUTO_VALUE(NwCollection, nw_collection_done)
