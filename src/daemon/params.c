/*
 * daemon/params.c - lists of typed parameters
 */
#include "daemon/params.h"

void params_done(Params *params)
{
        vec_done(&params->list);
}

static void put(Params *params, const char *field, WireTypedParamValue value)
{
        WireTypedParam param = { .field = field, .value = value };

        vec_push(&params->list, param);
}

void params_put_int(Params *params, const char *field, int32_t value)
{
        put(params, field, (WireTypedParamValue){ .type = PARAM_INT, .i = value });
}

void params_put_uint(Params *params, const char *field, uint32_t value)
{
        put(params, field, (WireTypedParamValue){ .type = PARAM_UINT, .ui = value });
}

void params_put_llong(Params *params, const char *field, int64_t value)
{
        put(params, field, (WireTypedParamValue){ .type = PARAM_LLONG, .l = value });
}

void params_put_ullong(Params *params, const char *field, uint64_t value)
{
        put(params, field, (WireTypedParamValue){ .type = PARAM_ULLONG, .ul = value });
}

void params_put_bool(Params *params, const char *field, bool value)
{
        put(params, field, (WireTypedParamValue){ .type = PARAM_BOOLEAN, .b = value });
}

void params_put_string(Params *params, const char *field, const char *value)
{
        if (value)
                put(params, field, (WireTypedParamValue){ .type = PARAM_STRING, .s = value });
}

int params_fit(const Params *params, int room, uint32_t *ret, Error *err)
{
        if (room < 0)
                return err_set(err, ERR_INVALID_ARG, "nparams must not be negative (%d)", room);
        *ret = (uint32_t)MIN((size_t)room, params->list.len);
        return 0;
}

const char *param_type_text(int type)
{
        static const char *const words[] = { "int", "uint", "llong", "ullong", "double", "boolean", "string" };

        return type >= PARAM_INT && type <= PARAM_STRING ? words[type - 1] : "unknown";
}
