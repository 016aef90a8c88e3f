/*
 * daemon/tune.c - typed parameters against the members of a definition
 */
#include "daemon/tune.h"

#include "base/bitmap.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/driver.h"
#include "wire/constants.h"

#include <inttypes.h>

const ParamRow *tune_find(const ParamGroup *group, const char *name)
{
        for (size_t i = 0; i < group->n_rows; i++) {
                if (str_eq(group->rows[i].name, name))
                        return &group->rows[i];
        }
        return NULL;
}

/* The table says only members that are there: a test walks all of it. */
static const Field *field_of(const ParamGroup *group, const ParamRow *row)
{
        const Field *field = group->of->fields;

        while (!str_eq(field->member, row->member))
                field++;
        return field;
}

static const void *at_const(const Field *field, const void *def)
{
        return (const char *)def + field->offset;
}

static void *at(const Field *field, void *def)
{
        return (char *)def + field->offset;
}

static uint64_t most_of(const Field *field)
{
        switch (field->type) {
        case FIELD_UINT:
                return field->range->max;
        case FIELD_INT:
                return field->range->max;
        case FIELD_ENUM:
                return field->words->n_words - 1;
        default:
                return field->range->max ? field->range->max : INT64_MAX;
        }
}

static int check_number(const ParamGroup *group, const ParamRow *row, uint64_t value, Error *err)
{
        const Field *field = field_of(group, row);
        uint64_t least = field->range->min > 0 ? (uint64_t)field->range->min : 0;

        if ((value == 0 && field->type != FIELD_INT) || (group->unset && value >= group->unset))
                return 0;
        if (value < least || value > most_of(field))
                return err_set(err, ERR_INVALID_ARG, "%s: %" PRIu64 " is out of range: from %" PRIu64 " to %" PRIu64,
                               row->name, value, least, most_of(field));
        return 0;
}

static int check_text(const ParamGroup *group, const ParamRow *row, const char *text, Error *err)
{
        AUTO(Error) why = { 0 };
        Bitmap set;

        if (field_of(group, row)->type == FIELD_CPUSET && *text && bitmap_parse(text, &set, &why) < 0)
                return err_set(err, ERR_INVALID_ARG, "%s: %s", row->name, why.text);
        return 0;
}

static int check_one(const ParamGroup *group, const WireTypedParam *p, Error *err)
{
        const ParamRow *row = tune_find(group, p->field);

        if (!row)
                return err_set(err, ERR_INVALID_ARG, "parameter '%s' is not supported here", p->field);
        if (row->type != p->value.type)
                return err_set(err, ERR_INVALID_ARG, "parameter '%s' must be of type %s, not %s", p->field,
                               param_type_text(row->type), param_type_text(p->value.type));
        switch (row->type) {
        case PARAM_INT:
                if (p->value.i < 0)
                        return err_set(err, ERR_INVALID_ARG, "%s: %d is out of range: it must not be negative",
                                       row->name, p->value.i);
                return check_number(group, row, (uint64_t)p->value.i, err);
        case PARAM_UINT:
                return check_number(group, row, p->value.ui, err);
        case PARAM_ULLONG:
                return check_number(group, row, p->value.ul, err);
        case PARAM_STRING:
                return check_text(group, row, p->value.s, err);
        default:
                return 0;
        }
}

int tune_check(const ParamGroup *group, const WireTypedParam *params, uint32_t n, Error *err)
{
        for (uint32_t i = 0; i < n; i++) {
                if (check_one(group, &params[i], err) < 0)
                        return -1;
                for (uint32_t before = 0; before < i; before++) {
                        if (str_eq(params[before].field, params[i].field))
                                return err_set(err, ERR_INVALID_ARG, "parameter '%s' was given twice",
                                               params[i].field);
                }
        }
        return 0;
}

static void mark_given(const Field *field, void *def, bool given)
{
        if (field->extra)
                *((bool *)def + field->extra) = given;
}

static void put_number(const ParamGroup *group, const Field *field, void *def, uint64_t value)
{
        if (group->unset && value >= group->unset)
                value = 0;
        switch (field->type) {
        case FIELD_ENUM:
                *(uint8_t *)at(field, def) = (uint8_t)(value + 1);
                return;
        case FIELD_UINT:
                *(uint32_t *)at(field, def) = (uint32_t)value;
                break;
        case FIELD_INT:
                *(int32_t *)at(field, def) = (int32_t)value;
                break;
        default:
                *(uint64_t *)at(field, def) = value;
                break;
        }
        mark_given(field, def, value != 0 || field->type == FIELD_INT);
}

static void put_text(const Field *field, void *def, Arena *arena, const char *text)
{
        Bitmap set;

        if (field->type == FIELD_CPUSET && *text && bitmap_parse(text, &set, NULL) == 0) {
                AUTOFREE char *canonical = bitmap_format(&set);

                *(const char **)at(field, def) = arena_dup(arena, canonical);
                return;
        }
        *(const char **)at(field, def) = *text ? arena_dup(arena, text) : NULL;
}

int tune_set_number(const ParamGroup *group, const ParamRow *row, void *def, uint64_t value, Error *err)
{
        if (check_number(group, row, value, err) < 0)
                return -1;
        put_number(group, field_of(group, row), def, value);
        return 0;
}

int tune_set(const ParamGroup *group, void *def, Arena *arena, const WireTypedParam *params, uint32_t n, Error *err)
{
        if (tune_check(group, params, n, err) < 0)
                return -1;
        for (uint32_t i = 0; i < n; i++) {
                const WireTypedParamValue *value = &params[i].value;
                const Field *field = field_of(group, tune_find(group, params[i].field));

                switch (value->type) {
                case PARAM_INT:
                        put_number(group, field, def, (uint64_t)value->i);
                        break;
                case PARAM_UINT:
                        put_number(group, field, def, value->ui);
                        break;
                case PARAM_ULLONG:
                        put_number(group, field, def, value->ul);
                        break;
                case PARAM_LLONG:
                        *(int64_t *)at(field, def) = value->l;
                        mark_given(field, def, value->l != 0);
                        break;
                default:
                        put_text(field, def, arena, value->s);
                        break;
                }
        }
        return 0;
}

uint64_t tune_number(const ParamGroup *group, const ParamRow *row, const void *def)
{
        const Field *field = field_of(group, row);

        switch (field->type) {
        case FIELD_ENUM: {
                uint8_t value = *(const uint8_t *)at_const(field, def);

                return value ? value - 1U : 0;
        }
        case FIELD_UINT:
                return *(const uint32_t *)at_const(field, def);
        case FIELD_INT:
                return (uint64_t) * (const int32_t *)at_const(field, def);
        default:
                return *(const uint64_t *)at_const(field, def);
        }
}

void tune_get(const ParamGroup *group, const void *def, bool live, Params *ret)
{
        for (size_t i = 0; i < group->n_rows; i++) {
                const ParamRow *row = &group->rows[i];
                uint64_t value = row->type == PARAM_STRING || !def ? 0 : tune_number(group, row, def);
                const char *text = row->type == PARAM_STRING && def
                                           ? *(const char *const *)at_const(field_of(group, row), def)
                                           : NULL;

                if (!value && live && row->in_force)
                        value = (uint64_t)row->in_force;
                else if (!value)
                        value = group->unset;
                switch (row->type) {
                case PARAM_INT:
                        params_put_int(ret, row->name, (int32_t)value);
                        break;
                case PARAM_UINT:
                        params_put_uint(ret, row->name, (uint32_t)value);
                        break;
                case PARAM_LLONG:
                        params_put_llong(ret, row->name, (int64_t)value);
                        break;
                case PARAM_ULLONG:
                        params_put_ullong(ret, row->name, value);
                        break;
                default:
                        params_put_string(ret, row->name, text ?: "");
                        break;
                }
        }
}

void tune_emit(const ParamGroup *group, const Domain *dom, const WireTypedParam *first, const WireTypedParam *params,
               uint32_t n)
{
        WireDomainEventCallbackTunableMsg msg = { .dom = call_wire_domain(dom) };
        AUTO(Arena) *arena = NULL;

        if (!group->event ||
            !event_has_listeners(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_TUNABLE))
                return;
        arena = arena_new();
        msg.params = arena_new_array(arena, WireTypedParam, (size_t)n + 1);
        if (first)
                msg.params[msg.n_params++] = *first;
        for (uint32_t i = 0; i < n; i++)
                msg.params[msg.n_params++] = (WireTypedParam){
                        .field = arena_format(arena, "%s%s", group->event, params[i].field), .value = params[i].value
                };
        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_TUNABLE, &dom->uuid, &msg);
}
