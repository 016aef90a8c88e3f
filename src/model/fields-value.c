/*
 * model/fields-value.c - one value of a field from its text, and back
 */
#include "model/fields-internal.h"

#include "base/bitmap.h"
#include "base/str.h"
#include "base/units.h"

#include <ctype.h>

/* The text without the blanks around it. */
static const char *trimmed(Arena *arena, const char *text)
{
        size_t n;

        while (isspace((unsigned char)*text))
                text++;
        n = strlen(text);
        if (!n || !isspace((unsigned char)text[n - 1]))
                return text;
        while (n && isspace((unsigned char)text[n - 1]))
                n--;
        return arena_dup_n(arena, text, n);
}

static int refuse(const Field *field, const char *text, Error *err)
{
        Buf words = { 0 };

        if (field->type == FIELD_ENUM) {
                for (unsigned i = 0; i < field->words->n_words; i++)
                        buf_format(&words, "%s%s", i ? ", " : "", field->words->words[i]);
                err_set(err, ERR_XML, "'%s' cannot be '%s' (it is one of: %s)", field->path, text, buf_text(&words));
                buf_done(&words);
                return -1;
        }
        return err_set(err, ERR_XML, "'%s' cannot be '%s'", field->path, text);
}

static int parse_memory(const Field *field, const char *text, const char *unit, void *at, Error *err)
{
        AUTO(Error) why = { 0 };
        uint64_t value, bytes;

        if (str_to_u64(text, &value) < 0)
                return refuse(field, text, err);
        if (units_to_bytes(value, unit, field->range->unit, UINT64_MAX - 1023, &bytes, &why) < 0)
                return err_set(err, why.code, "'%s': %s", field->path, why.text);
        *(uint64_t *)at = field->type == FIELD_MEMORY ? units_bytes_to_kib(bytes) : bytes;
        return 0;
}

static int parse_u32(const Field *field, const char *text, void *at)
{
        uint64_t value;

        if (field->type == FIELD_HEX && (str_starts(text, "0x") || str_starts(text, "0X"))) {
                if (str_to_u64_hex(text, &value) < 0)
                        return -1;
        } else if (str_to_u64(text, &value) < 0) {
                return -1;
        }
        if (value > field->range->max || (int64_t)value < field->range->min)
                return -1;
        *(uint32_t *)at = (uint32_t)value;
        return 0;
}

static int parse_u64(const Field *field, const char *text, void *at)
{
        uint64_t value;

        if (str_to_u64(text, &value) < 0)
                return -1;
        if ((field->range->max && value > field->range->max) ||
            (field->range->min > 0 && value < (uint64_t)field->range->min))
                return -1;
        *(uint64_t *)at = value;
        return 0;
}

static int parse_i32(const Field *field, const char *text, void *at)
{
        int64_t value;

        if (str_to_i64(text, &value) < 0 || value < field->range->min || value > (int64_t)field->range->max)
                return -1;
        *(int32_t *)at = (int32_t)value;
        return 0;
}

static int parse_switch(const char *text, const char *on, const char *off, void *at)
{
        if (!str_eq(text, on) && !str_eq(text, off))
                return -1;
        *(Switch *)at = str_eq(text, on) ? SWITCH_ON : SWITCH_OFF;
        return 0;
}

static int parse_cpuset(const char *text, const char **at, Arena *arena)
{
        AUTOFREE char *canonical = NULL;
        Bitmap set;

        if (bitmap_parse(text, &set, NULL) < 0 || bitmap_is_empty(&set))
                return -1;
        canonical = bitmap_format(&set);
        *at = arena_dup(arena, canonical);
        return 0;
}

static int parse_scalar(const Field *field, const char *text, void *at, Arena *arena)
{
        switch (field->type) {
        case FIELD_CPUSET:
                return parse_cpuset(text, at, arena);
        case FIELD_ONOFF:
                return parse_switch(text, "on", "off", at);
        case FIELD_YESNO:
                return parse_switch(text, "yes", "no", at);
        case FIELD_ENUM:
                *(uint8_t *)at = (uint8_t)enum_find(field->words, text);
                return *(uint8_t *)at ? 0 : -1;
        case FIELD_UINT:
        case FIELD_HEX:
                return parse_u32(field, text, at);
        case FIELD_INT:
                return parse_i32(field, text, at);
        case FIELD_U64:
                return parse_u64(field, text, at);
        case FIELD_I64:
                return str_to_i64(text, at);
        case FIELD_UUID:
                return uuid_parse(text, at);
        case FIELD_MAC:
                return mac_parse(text, at);
        default:
                return -1;
        }
}

bool field_is_plain_name(const char *text)
{
        static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

        return text[strspn(text, all)] == '\0';
}

int field_parse_text(const Field *field, const char *text, const char *unit, void *def, Arena *arena, Error *err)
{
        void *at = field_at(field, def);

        if (field->type == FIELD_STRING) {
                if (!field->verbatim)
                        text = trimmed(arena, text);
                if (field->notes->kept_prefix && !field_is_plain_name(text))
                        return err_set(err, ERR_XML,
                                       "'%s' cannot be '%s': it has letters, digits, '-', '_' and '.' only",
                                       field->path, text);
                *(const char **)at = *text || field->verbatim ? arena_dup(arena, text) : NULL;
                return 0;
        }
        text = trimmed(arena, text);
        if (field->type == FIELD_MEMORY || field->type == FIELD_BYTES) {
                if (parse_memory(field, text, unit, at, err) < 0)
                        return -1;
        } else if (!(field->type == FIELD_UUID && !*text) && parse_scalar(field, text, at, arena) < 0) {
                return refuse(field, text, err); /* an empty identity asks for a new one */
        }
        if (field->extra)
                *((bool *)def + field->extra) = true;
        return 0;
}

static bool is_shown_when_zero(const Field *field)
{
        bool number = field->type == FIELD_UINT || field->type == FIELD_HEX || field->type == FIELD_MEMORY ||
                      field->type == FIELD_BYTES;

        return number && (field->always || field->required);
}

bool field_format_text(const Field *field, const void *def, Buf *ret)
{
        const void *at = field_at_const(field, def);
        char text[UUID_TEXT_LEN + 1];

        if (!field_is_set(field, def) && !(is_shown_when_zero(field) && field_applies(field, def)))
                return false;
        switch (field->type) {
        case FIELD_STRING:
        case FIELD_CPUSET:
                buf_put_text(ret, *(const char *const *)at);
                return true;
        case FIELD_ONOFF:
                buf_put_text(ret, *(const Switch *)at == SWITCH_ON ? "on" : "off");
                return true;
        case FIELD_YESNO:
                buf_put_text(ret, *(const Switch *)at == SWITCH_ON ? "yes" : "no");
                return true;
        case FIELD_ENUM:
                buf_put_text(ret, enum_text(field->words, *(const uint8_t *)at) ?: "");
                return true;
        case FIELD_HEX:
                buf_format(ret, "0x%0*x", field->width, *(const uint32_t *)at);
                return true;
        case FIELD_UINT:
                buf_format(ret, "%u", *(const uint32_t *)at);
                return true;
        case FIELD_INT:
                buf_format(ret, "%d", *(const int32_t *)at);
                return true;
        case FIELD_U64:
        case FIELD_MEMORY:
        case FIELD_BYTES:
                buf_format(ret, "%llu", (unsigned long long)*(const uint64_t *)at);
                return true;
        case FIELD_I64:
                buf_format(ret, "%lld", (long long)*(const int64_t *)at);
                return true;
        case FIELD_UUID:
                buf_put_text(ret, uuid_format(at, text));
                return true;
        case FIELD_MAC:
                buf_put_text(ret, mac_format(at, text));
                return true;
        case FIELD_FLAG:
        case FIELD_XML:
        case FIELD_STRUCT:
        case FIELD_LIST:
                return false;
        }
        return false;
}
