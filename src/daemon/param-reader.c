/*
 * daemon/param-reader.c - typed parameters into a struct, by a table
 */
#include "daemon/param-reader.h"

#include "base/str.h"

static void add_text(ParamTexts *texts, const char *value, uint32_t most, Arena *arena)
{
        if (!texts->items)
                texts->items = arena_new_array(arena, const char *, most);
        texts->items[texts->n++] = value;
}

static void store(const WireTypedParam *param, const ParamRow *row, uint32_t most, void *into, Arena *arena)
{
        void *at = (char *)into + row->offset;

        if (row->has_offset)
                *(bool *)((char *)into + row->has_offset) = true;
        switch (row->type) {
        case PARAM_INT:
                *(int32_t *)at = param->value.i;
                return;
        case PARAM_UINT:
                *(uint32_t *)at = param->value.ui;
                return;
        case PARAM_LLONG:
                *(int64_t *)at = param->value.l;
                return;
        case PARAM_ULLONG:
                *(uint64_t *)at = param->value.ul;
                return;
        case PARAM_DOUBLE:
                *(double *)at = param->value.d;
                return;
        case PARAM_BOOLEAN:
                *(bool *)at = param->value.b;
                return;
        default:
                if (row->repeats)
                        add_text(at, param->value.s, most, arena);
                else
                        *(const char **)at = param->value.s;
        }
}

static int check(const WireTypedParam *params, uint32_t i, const ParamRow *row, Error *err)
{
        if (row->type != params[i].value.type)
                return err_set(err, ERR_INVALID_ARG, "parameter '%s' takes a value of type %s, not %s",
                               params[i].field, param_type_text(row->type), param_type_text(params[i].value.type));
        for (uint32_t j = 0; j < i && !row->repeats; j++) {
                if (str_eq(params[j].field, params[i].field))
                        return err_set(err, ERR_INVALID_ARG, "parameter '%s' is given twice", params[i].field);
        }
        return 0;
}

int params_read(const WireTypedParam *params, uint32_t n, const ParamRow *rows, size_t n_rows, void *into,
                Arena *arena, Error *err)
{
        for (uint32_t i = 0; i < n; i++) {
                const ParamRow *row = rows;

                while (row < rows + n_rows && !str_eq(row->name, params[i].field))
                        row++;
                if (row == rows + n_rows)
                        return err_set(err, ERR_INVALID_ARG, "parameter '%s' is not known here", params[i].field);
                if (check(params, i, row, err) < 0)
                        return -1;
                store(&params[i], row, n, into, arena);
        }
        return 0;
}
