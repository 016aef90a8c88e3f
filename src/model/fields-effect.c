/*
 * model/fields-effect.c - what a definition asks for that drover does not do
 *
 * A row says so itself: `idle` has no effect, which is worth a warning; `unmet`
 * is something to rely on, so whoever has it is not started without. Which rows
 * need neither is checked by tools/check-fields.py, so nothing is parsed and
 * then forgotten.
 */
#include "model/fields-internal.h"

#include "base/str.h"

static bool is_word_of(const char *words, const char *text)
{
        size_t n = strlen(text);

        for (const char *at = words; (at = strstr(at, text)); at += n) {
                if ((at == words || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
                        return true;
        }
        return false;
}

/* Does def ask for something here? A switch does when it is on, unless the row names the words that do. */
static bool asks(const Field *field, const void *def)
{
        bool is_switch = field->type == FIELD_ONOFF || field->type == FIELD_YESNO;
        AUTO(Buf) text = { 0 };

        if (!field_applies(field, def) || !field_is_set(field, def))
                return false;
        if (field->notes->only)
                return field_format_text(field, def, &text) && is_word_of(field->notes->only, buf_text(&text));
        return !is_switch || *(const Switch *)field_at_const(field, def) == SWITCH_ON;
}

typedef struct Walk {
        Warnings *warnings; /* NULL: stop at what is unmet */
        Error *err;
} Walk;

static int see(const Walk *walk, const Field *field, const void *def, const char *path)
{
        bool at_root = str_eq(field->path, ".");

        if ((!field->notes->idle && !field->notes->unmet) || !asks(field, def))
                return 0;
        if (!walk->warnings)
                return field->notes->unmet
                               ? err_set(walk->err, ERR_CONFIG_UNSUPPORTED, "'%s%s%s' cannot be had: %s", path,
                                         at_root ? "" : "/", at_root ? "" : field->path, field->notes->unmet)
                               : 0;
        warnings_add(walk->warnings, "%s%s%s %s: %s", path, at_root ? "" : "/", at_root ? "" : field->path,
                     field->notes->unmet ? "prevents a start" : "has no effect",
                     field->notes->unmet ?: field->notes->idle);
        return 0;
}

static int walk_struct(const Walk *walk, const StructInfo *info, const void *def, const char *path)
{
        for (size_t i = 0; i < info->n_fields; i++) {
                const Field *field = &info->fields[i];
                bool is_list = field->type == FIELD_LIST;
                uint32_t n = is_list ? field_list_len(field, def) : field->type == FIELD_STRUCT;
                void *const *items = is_list ? field_pointer(field, def) : field_at_const(field, def);

                if (see(walk, field, def, path) < 0)
                        return -1;
                for (uint32_t k = 0; k < n && items[k] && field_applies(field, def); k++) {
                        AUTOFREE char *below = n > 1 ? str_format("%s/%s[%u]", path, field->path, k + 1)
                                                     : str_format("%s/%s", path, field->path);

                        if (walk_struct(walk, field->of, items[k], below) < 0)
                                return -1;
                }
        }
        return 0;
}

void fields_warn_idle(const StructInfo *info, const void *def, Warnings *ret)
{
        AUTOFREE char *path = str_format("/%s", info->element);

        walk_struct(&(Walk){ .warnings = ret }, info, def, path);
}

int fields_check_met(const StructInfo *info, const void *def, Error *err)
{
        return walk_struct(&(Walk){ .err = err }, info, def, info->element);
}
