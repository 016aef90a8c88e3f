/*
 * qemu/qmp-json.c - walk the tables that facts/qmp generates: structs to JSON and back
 *
 * QEMU is not trusted: a guest that broke into it can send anything. Numbers are checked for kind and
 * sign, arrays bounded by arena_try_array().
 */
#include "qemu/qmp-json.h"

#include "base/str.h"

#include <json-c/json.h>

enum { MOST_DEPTH = 64, MOST_ITEMS = 65536 };

#define MEMBER(value, offset, T) ((T *)((char *)(value) + (offset)))
#define PART(value, offset, T)   ((const T *)((const char *)(value) + (offset)))

static void encode_one(const QmpField *field, const char *key, const void *at, JsonWriter *w)
{
        switch (field->kind) {
        case QMP_TEXT:
                json_put_text(w, key, *(const char *const *)at);
                return;
        case QMP_BOOL:
                json_put_bool(w, key, *(const bool *)at);
                return;
        case QMP_I64:
                json_put_i64(w, key, *(const int64_t *)at);
                return;
        case QMP_U64:
                json_put_u64(w, key, *(const uint64_t *)at);
                return;
        case QMP_NUMBER:
                json_put_double(w, key, *(const double *)at);
                return;
        case QMP_JSON:
                json_put_raw(w, key, *(const char *const *)at);
                return;
        case QMP_STRUCT:
                json_open_object(w, key);
                qmp_encode(field->type, at, w);
                json_close_object(w);
                return;
        }
}

static size_t item_size(const QmpField *field)
{
        switch (field->kind) {
        case QMP_TEXT:
        case QMP_JSON:
                return sizeof(char *);
        case QMP_BOOL:
                return sizeof(bool);
        case QMP_I64:
        case QMP_U64:
                return sizeof(int64_t);
        case QMP_NUMBER:
                return sizeof(double);
        case QMP_STRUCT:
                return field->type->size;
        }
        return 0;
}

static bool is_plain(const QmpField *field)
{
        return field->kind == QMP_BOOL || field->kind == QMP_I64 || field->kind == QMP_U64 ||
               field->kind == QMP_NUMBER;
}

void qmp_encode(const QmpStruct *type, const void *value, JsonWriter *w)
{
        for (const QmpField *f = type->fields; f < type->fields + type->n_fields; f++) {
                const void *at = PART(value, f->offset, void);

                if (f->list) {
                        const char *items = *PART(value, f->offset, char *);
                        size_t n = *PART(value, f->count_offset, size_t);

                        if (f->optional && !items)
                                continue;
                        json_open_array(w, f->key);
                        for (size_t i = 0; i < n; i++)
                                encode_one(f, NULL, items + i * item_size(f), w);
                        json_close_array(w);
                        continue;
                }
                if (f->optional && is_plain(f) && !*PART(value, f->count_offset, bool))
                        continue;
                if (f->optional && f->kind == QMP_STRUCT) {
                        at = *PART(value, f->offset, void *);
                        if (!at)
                                continue;
                }
                encode_one(f, f->key, at, w);
        }
}

static int wrong(const QmpField *field, const char *expected, Error *err)
{
        return err_set(err, ERR_INTERNAL, "'%s' is not %s", field->key, expected);
}

static int decode_number(const QmpField *field, json_object *json, void *at, Error *err)
{
        bool is_int = json_object_is_type(json, json_type_int);

        switch (field->kind) {
        case QMP_I64:
                if (!is_int)
                        return wrong(field, "a whole number", err);
                *(int64_t *)at = json_object_get_int64(json);
                return 0;
        case QMP_U64:
                if (!is_int)
                        return wrong(field, "a whole number", err);
                *(uint64_t *)at = json_object_get_uint64(json);
                return 0;
        default:
                if (!is_int && !json_object_is_type(json, json_type_double))
                        return wrong(field, "a number", err);
                *(double *)at = json_object_get_double(json);
                return 0;
        }
}

static int decode_one(const QmpField *field, json_object *json, Arena *arena, void *at, Error *err)
{
        switch (field->kind) {
        case QMP_TEXT:
                if (!json_object_is_type(json, json_type_string))
                        return wrong(field, "a text", err);
                *(const char **)at = arena_dup(arena, json_object_get_string(json));
                return 0;
        case QMP_BOOL:
                if (!json_object_is_type(json, json_type_boolean))
                        return wrong(field, "true or false", err);
                *(bool *)at = json_object_get_boolean(json);
                return 0;
        case QMP_JSON:
                *(const char **)at = arena_dup(arena, json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
                return 0;
        case QMP_STRUCT:
                return qmp_decode(field->type, json, arena, at, err);
        default:
                return decode_number(field, json, at, err);
        }
}

/* The items of an array, one of size bytes each, ready to be filled. */
static int open_list(const char *what, json_object *json, size_t size, Arena *arena, char **ret, size_t *n,
                     Error *err)
{
        if (!json_object_is_type(json, json_type_array))
                return err_set(err, ERR_INTERNAL, "'%s' is not a list", what);
        *n = json_object_array_length(json);
        *ret = NULL;
        if (*n == 0)
                return 0;
        *ret = *n <= MOST_ITEMS ? arena_try_array(arena, *n, size) : NULL;
        if (!*ret)
                return err_set(err, ERR_INTERNAL, "'%s' has %zu items, too many", what, *n);
        return 0;
}

static int decode_list_field(const QmpField *field, json_object *json, Arena *arena, void *value, Error *err)
{
        size_t size = item_size(field), n;
        char *items;

        if (open_list(field->key, json, size, arena, &items, &n, err) < 0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                if (decode_one(field, json_object_array_get_idx(json, i), arena, items + i * size, err) < 0)
                        return -1;
        }
        *MEMBER(value, field->offset, char *) = items;
        *MEMBER(value, field->count_offset, size_t) = n;
        return 0;
}

static int decode_field(const QmpField *field, json_object *json, Arena *arena, void *value, Error *err)
{
        void *at = MEMBER(value, field->offset, void);

        if (field->list)
                return decode_list_field(field, json, arena, value, err);
        if (field->optional && is_plain(field))
                *MEMBER(value, field->count_offset, bool) = true;
        if (field->optional && field->kind == QMP_STRUCT) {
                void *made = arena_alloc(arena, field->type->size);

                *(void **)at = made;
                at = made;
        }
        return decode_one(field, json, arena, at, err);
}

int qmp_decode(const QmpStruct *type, json_object *json, Arena *arena, void *ret, Error *err)
{
        if (!json_object_is_type(json, json_type_object))
                return err_set(err, ERR_INTERNAL, "%s is not an object", type->name);
        for (const QmpField *f = type->fields; f < type->fields + type->n_fields; f++) {
                json_object *member = qmp_json_get(json, f->key);

                if (!member && f->optional)
                        continue;
                if (!member)
                        return err_set(err, ERR_INTERNAL, "%s lacks '%s'", type->name, f->key);
                if (decode_field(f, member, arena, ret, err) < 0)
                        return -1;
        }
        return 0;
}

int qmp_decode_list(const QmpStruct *type, json_object *json, Arena *arena, void **ret, size_t *n, Error *err)
{
        char *items;

        if (open_list(type->name, json, type->size, arena, &items, n, err) < 0)
                return -1;
        for (size_t i = 0; i < *n; i++) {
                if (qmp_decode(type, json_object_array_get_idx(json, i), arena, items + i * type->size, err) < 0)
                        return -1;
        }
        *ret = items;
        return 0;
}

json_object *qmp_parse_json(const char *text, size_t limit, Error *err)
{
        size_t len = strnlen(text, limit + 1);
        json_tokener *tokener;
        json_object *json;
        enum json_tokener_error outcome;

        if (len > limit) {
                err_set(err, ERR_INVALID_ARG, "the JSON text is longer than %zu bytes", limit);
                return NULL;
        }
        tokener = json_tokener_new_ex(MOST_DEPTH);
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        json = json_tokener_parse_ex(tokener, text, (int)len + 1);
        outcome = json_tokener_get_error(tokener);
        json_tokener_free(tokener);
        if (!json)
                err_set(err, ERR_INVALID_ARG, "not JSON: %s",
                        outcome == json_tokener_success ? "null" : json_tokener_error_desc(outcome));
        return json;
}

json_object *qmp_json_get(json_object *json, const char *key)
{
        json_object *member = NULL;

        if (!json_object_is_type(json, json_type_object))
                return NULL;
        json_object_object_get_ex(json, key, &member);
        return member;
}

const char *qmp_json_get_text(json_object *json, const char *key)
{
        json_object *member = qmp_json_get(json, key);

        return json_object_is_type(member, json_type_string) ? json_object_get_string(member) : NULL;
}

bool qmp_json_get_bool(json_object *json, const char *key, bool fallback)
{
        json_object *member = qmp_json_get(json, key);

        return json_object_is_type(member, json_type_boolean) ? json_object_get_boolean(member) : fallback;
}

int64_t qmp_json_get_i64(json_object *json, const char *key, int64_t fallback)
{
        json_object *member = qmp_json_get(json, key);

        return json_object_is_type(member, json_type_int) ? json_object_get_int64(member) : fallback;
}

const char *qmp_json_text(json_object *json)
{
        return json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN);
}
