#pragma once
/*
 * qemu/qmp-json.h - walk the tables that facts/qmp generates: structs to JSON and back
 *
 * A QmpStruct describes a C struct field by field. Decoding bounds every list and copies every text into
 * the arena, so what it gives does not depend on the JSON objects it was made from.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/json-write.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

typedef enum QmpKind {
        QMP_TEXT,   /* const char *; NULL: absent */
        QMP_BOOL,   /* bool */
        QMP_I64,    /* int64_t */
        QMP_U64,    /* uint64_t */
        QMP_NUMBER, /* double */
        QMP_JSON,   /* const char *: JSON text; NULL: absent */
        QMP_STRUCT, /* the struct itself, or a pointer when it is optional */
} QmpKind;

typedef struct QmpStruct QmpStruct;

typedef struct QmpField {
        const char *key;
        QmpKind kind;
        bool optional, list;
        size_t offset;       /* a list: of the pointer to its items */
        size_t count_offset; /* a list: of its size_t length; an optional plain value: of its bool has_x */
        const QmpStruct *type;
} QmpField;

struct QmpStruct {
        const char *name;
        size_t size;
        const QmpField *fields;
        size_t n_fields;
};

/* Put the members of value into the open object. */
void qmp_encode(const QmpStruct *type, const void *value, JsonWriter *w);
/* Fill ret (type->size zeroed bytes) from json. */
int qmp_decode(const QmpStruct *type, struct json_object *json, Arena *arena, void *ret, Error *err);
/* An array of structs: *n of them at *ret, which is NULL when there are none. */
int qmp_decode_list(const QmpStruct *type, struct json_object *json, Arena *arena, void **ret, size_t *n, Error *err);
/* Parse one JSON text of at most limit bytes and 64 levels. The caller drops it with json_object_put(). */
struct json_object *qmp_parse_json(const char *text, size_t limit, Error *err);
/* Members of an object, for replies that have no table; NULL, or the fallback, when absent or of another kind. */
struct json_object *qmp_json_get(struct json_object *json, const char *key);
const char *qmp_json_get_text(struct json_object *json, const char *key);
bool qmp_json_get_bool(struct json_object *json, const char *key, bool fallback);
int64_t qmp_json_get_i64(struct json_object *json, const char *key, int64_t fallback);
/* Its text; lives as long as json. */
const char *qmp_json_text(struct json_object *json);
