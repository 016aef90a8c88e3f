/*
 * model/fields-compare.c - how two structs of one kind differ
 */
#include "model/fields-internal.h"

#include "base/str.h"

static bool scalars_equal(const Field *field, const void *a, const void *b)
{
        if (field->type == FIELD_STRING || field->type == FIELD_XML || field->type == FIELD_CPUSET)
                return str_eq(field_text_of(field, a), field_text_of(field, b));
        if (field_is_set(field, a) != field_is_set(field, b))
                return false;
        return memcmp(field_at_const(field, a), field_at_const(field, b), field_size(field)) == 0;
}

static bool lists_equal(const Field *field, const void *a, const void *b)
{
        uint32_t n = field_list_len(field, a);
        void **of_a = field_pointer(field, a), **of_b = field_pointer(field, b);

        if (n != field_list_len(field, b))
                return false;
        for (uint32_t i = 0; i < n; i++) {
                if (!fields_equal(field->of, of_a[i], of_b[i]))
                        return false;
        }
        return true;
}

static bool field_equal(const Field *field, const void *a, const void *b)
{
        const void *of_a, *of_b;

        if (field->type == FIELD_LIST)
                return lists_equal(field, a, b);
        if (field->type != FIELD_STRUCT)
                return scalars_equal(field, a, b);
        of_a = field_pointer(field, a);
        of_b = field_pointer(field, b);
        return of_a && of_b ? fields_equal(field->of, of_a, of_b) : of_a == of_b;
}

bool fields_equal(const StructInfo *info, const void *a, const void *b)
{
        for (size_t i = 0; i < info->n_fields; i++) {
                if (!field_equal(&info->fields[i], a, b))
                        return false;
        }
        return true;
}

const Field *fields_find_fixed(const StructInfo *info, const void *old, const void *new)
{
        for (size_t i = 0; i < info->n_fields; i++) {
                const Field *field = &info->fields[i];

                if (field->placed && !field_is_set(field, new))
                        continue;
                if (!field->live && !field->runtime && !field_equal(field, old, new))
                        return field;
        }
        return NULL;
}

static void put_side(const Field *field, const void *def, Buf *ret)
{
        AUTO(Buf) text = { 0 };

        if (field->type == FIELD_FLAG)
                buf_put_text(ret, *(const bool *)field_at_const(field, def) ? "present" : "absent");
        else if (field_format_text(field, def, &text))
                buf_format(ret, "'%s'", buf_text(&text));
        else
                buf_put_text(ret, "not set");
}

static void compare_lists(const Field *field, const void *old, const void *new, const char *path, Buf *ret)
{
        uint32_t n = field_list_len(field, old), m = field_list_len(field, new);
        void **of_old = field_pointer(field, old), **of_new = field_pointer(field, new);

        if (n != m)
                buf_format(ret, "%s%s: %u, not %u of them", ret->len ? "\n" : "", path, n, m);
        for (uint32_t i = 0; i < MIN(n, m); i++) {
                AUTOFREE char *item = str_format("%s[%u]", path, i + 1);

                fields_compare_abi(field->of, of_old[i], of_new[i], item, ret);
        }
}

void fields_compare_abi(const StructInfo *info, const void *old, const void *new, const char *path, Buf *ret)
{
        for (size_t i = 0; i < info->n_fields; i++) {
                const Field *field = &info->fields[i];
                AUTOFREE char *where = NULL;

                if (!field->abi || field_equal(field, old, new))
                        continue;
                where = str_eq(field->path, ".") ? str_dup(path) : str_format("%s/%s", path, field->path);
                if (field->type == FIELD_LIST) {
                        compare_lists(field, old, new, where, ret);
                } else if (field->type == FIELD_STRUCT && field_pointer(field, old) && field_pointer(field, new)) {
                        fields_compare_abi(field->of, field_pointer(field, old), field_pointer(field, new), where,
                                           ret);
                } else if (field->type == FIELD_STRUCT) {
                        buf_format(ret, "%s%s: %s", ret->len ? "\n" : "", where,
                                   field_pointer(field, old) ? "is gone" : "is new");
                } else {
                        buf_format(ret, "%s%s: ", ret->len ? "\n" : "", where);
                        put_side(field, old, ret);
                        buf_put_text(ret, ", not ");
                        put_side(field, new, ret);
                }
        }
}
