#pragma once
/*
 * daemon/params.h - lists of typed parameters, as many calls answer with them
 *
 * A Params collects values in their order. Field names and texts are borrowed,
 * or live in the call's arena, until the answer is encoded. Reading finds a
 * parameter by name and insists on its type.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/vec.h"
#include "wire/structs.h"

#include <stdbool.h>

enum {
        PARAM_INT = 1,
        PARAM_UINT = 2,
        PARAM_LLONG = 3,
        PARAM_ULLONG = 4,
        PARAM_DOUBLE = 5,
        PARAM_BOOLEAN = 6,
        PARAM_STRING = 7,
};

typedef struct Params {
        VEC(WireTypedParam) list;
} Params;

void params_done(Params *params);
void params_put_int(Params *params, const char *field, int32_t value);
void params_put_uint(Params *params, const char *field, uint32_t value);
void params_put_llong(Params *params, const char *field, int64_t value);
void params_put_ullong(Params *params, const char *field, uint64_t value);
void params_put_bool(Params *params, const char *field, bool value);
void params_put_string(Params *params, const char *field, const char *value); /* NULL is left out */

/*
 * How many of them to answer to a caller that has room for `room`: clients ask with no room for the number first.
 * A room that is negative is an error.
 */
int params_fit(const Params *params, int room, uint32_t *ret, Error *err);

const char *param_type_text(int type); /* "ullong"; "unknown" */

DEFINE_AUTO_VALUE(Params, params_done)
