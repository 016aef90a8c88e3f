/*
 * model/fields.c - what every walk over a table of fields needs
 */
#include "model/fields.h"

#include "model/fields-internal.h"

#include "base/str.h"

const FieldRange field_any_range;
const FieldNotes field_no_notes;

const char *enum_text(const EnumWords *words, unsigned value)
{
        return value && value <= words->n_words ? words->words[value - 1] : NULL;
}

unsigned enum_find(const EnumWords *words, const char *text)
{
        for (unsigned i = 0; i < words->n_words; i++) {
                if (strcmp(words->words[i], text) == 0)
                        return i + 1;
        }
        return 0;
}

bool field_applies(const Field *field, const void *def)
{
        const FieldWhen *when = field->notes->when;

        if (!when)
                return true;
        if (when->words) {
                const char *text = *(const char *const *)((const char *)def + when->offset);

                if (!text)
                        return true;
                for (const char *const *w = when->words; *w; w++) {
                        if (strcmp(*w, text) == 0)
                                return true;
                }
                return false;
        } else {
                uint8_t value = *((const uint8_t *)def + when->offset);

                return !value || when->mask >> value & 1;
        }
}

bool field_is_set(const Field *field, const void *def)
{
        static const char zeroes[16];
        const void *at = field_at_const(field, def);

        switch (field->type) {
        case FIELD_LIST:
                return *(const uint32_t *)((const char *)def + field->extra) > 0;
        case FIELD_UINT:
        case FIELD_HEX:
        case FIELD_INT:
        case FIELD_U64:
        case FIELD_I64:
                if (field->extra)
                        return *((const bool *)def + field->extra);
                break;
        default:
                break;
        }
        return memcmp(at, zeroes, field_size(field)) != 0;
}

size_t field_size(const Field *field)
{
        switch (field->type) {
        case FIELD_STRING:
        case FIELD_XML:
        case FIELD_CPUSET:
        case FIELD_STRUCT:
        case FIELD_LIST:
                return sizeof(void *);
        case FIELD_FLAG:
                return sizeof(bool);
        case FIELD_ONOFF:
        case FIELD_YESNO:
        case FIELD_ENUM:
                return 1;
        case FIELD_UINT:
        case FIELD_HEX:
        case FIELD_INT:
                return 4;
        case FIELD_U64:
        case FIELD_I64:
        case FIELD_MEMORY:
        case FIELD_BYTES:
                return 8;
        case FIELD_UUID:
                return sizeof(Uuid);
        case FIELD_MAC:
                return sizeof(Mac);
        }
        return 0;
}

void fields_set_defaults(const StructInfo *info, void *def, Arena *arena)
{
        for (size_t i = 0; i < info->n_fields; i++) {
                const Field *field = &info->fields[i];

                /* A default comes from the facts: it cannot fail. */
                if (field->fallback && !field_is_set(field, def))
                        field_parse_text(field, field->fallback, NULL, def, arena, NULL);
        }
}

void *fields_new(Arena *arena, const StructInfo *info)
{
        void *def = arena_alloc(arena, info->size);

        fields_set_defaults(info, def, arena);
        return def;
}

void *fields_copy(const StructInfo *info, const void *def, Arena *arena)
{
        void *copy = arena_alloc(arena, info->size);

        memcpy(copy, def, info->size);
        for (size_t i = 0; i < info->n_fields; i++) {
                const Field *field = &info->fields[i];
                void **at = field_at(field, copy);

                if (field->shared)
                        continue;
                switch (field->type) {
                case FIELD_STRING:
                case FIELD_XML:
                case FIELD_CPUSET:
                        *at = arena_dup(arena, *at);
                        break;
                case FIELD_STRUCT:
                        *at = *at ? fields_copy(field->of, *at, arena) : NULL;
                        break;
                case FIELD_LIST: {
                        uint32_t n = *(uint32_t *)((char *)copy + field->extra);
                        void **items = n ? arena_new_array(arena, void *, n) : NULL;

                        for (uint32_t j = 0; j < n; j++)
                                items[j] = fields_copy(field->of, ((void **)*at)[j], arena);
                        *at = items;
                        break;
                }
                default:
                        break;
                }
        }
        return copy;
}
