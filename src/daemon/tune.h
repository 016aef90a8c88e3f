#pragma once
/*
 * daemon/tune.h - typed parameters against the members of a definition
 *
 * Walks a group of facts/params.toml: checks what a client sent, puts it into
 * a definition's struct, and reads it back. The ranges are the model's own.
 */
#include "daemon/param-groups.h"
#include "daemon/params.h"

typedef struct Domain Domain;

/* Names, types, ranges; none twice. Nothing is changed when one of them is wrong. */
int tune_check(const ParamGroup *group, const WireTypedParam *params, uint32_t n, Error *err);
/* Check, and put them into def, a struct of the group's kind in that arena. Zero (or the group's unset) takes away. */
int tune_set(const ParamGroup *group, void *def, Arena *arena, const WireTypedParam *params, uint32_t n, Error *err);
/* All of the group, in its order; def NULL: nothing is set. live: of a definition in force. */
void tune_get(const ParamGroup *group, const void *def, bool live, Params *ret);

const ParamRow *tune_find(const ParamGroup *group, const char *name); /* NULL: the group has no such parameter */
/* One number for one member, with its range. */
int tune_set_number(const ParamGroup *group, const ParamRow *row, void *def, uint64_t value, Error *err);
uint64_t tune_number(const ParamGroup *group, const ParamRow *row, const void *def);

/* Tell who listens what was changed on a running guest; first may name its subject (a disk), or be NULL. */
void tune_emit(const ParamGroup *group, const Domain *dom, const WireTypedParam *first, const WireTypedParam *params,
               uint32_t n);
