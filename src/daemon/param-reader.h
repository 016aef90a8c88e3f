#pragma once
/*
 * daemon/param-reader.h - typed parameters into a struct, by a table
 *
 * A row says which name exists, of which type, and where its value goes. A name
 * that no row has, a value of another type, and a second value where one is
 * meant are refused by name.
 */
#include "daemon/params.h"

#include <stddef.h>

typedef struct ParamRow {
        const char *name;
        int type;          /* PARAM_... */
        size_t offset;     /* of int32_t, uint32_t, int64_t, uint64_t, double, bool or const char * */
        size_t has_offset; /* of a bool that says it was given; 0: none */
        bool repeats;      /* a string that may come several times: offset is that of a ParamTexts */
} ParamRow;

/* The values of a string that repeats. */
typedef struct ParamTexts {
        const char **items;
        uint32_t n;
} ParamTexts;

/* Texts are borrowed from params; the array of a ParamTexts comes from the arena. */
int params_read(const WireTypedParam *params, uint32_t n, const ParamRow *rows, size_t n_rows, void *into,
                Arena *arena, Error *err);
