/*
 * app/drover/output.c - print at once, or collect for JSON
 */
#include "app/drover/output.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdarg.h>
#include <unistd.h>

struct Output {
        bool json;
        bool quiet;
        bool flushed; /* a part of what the command says is out already */
        FILE *to;
        bool terminal;              /* a person sees it */
        struct json_object *fields; /* NULL while there are none */
        struct json_object *rows;
};

Output *output_new(bool json, bool quiet, FILE *to)
{
        Output *out = mem_new(Output);

        *out = (Output){ .json = json, .quiet = quiet, .to = to, .terminal = isatty(fileno(to)) };
        return out;
}

Output *output_free(Output *out)
{
        if (!out)
                return NULL;
        json_object_put(out->fields);
        json_object_put(out->rows);
        free(out);
        return NULL;
}

bool output_is_json(const Output *out)
{
        return out->json;
}

bool output_is_quiet(const Output *out)
{
        return out->quiet;
}

FILE *output_file(const Output *out)
{
        return out->to;
}

void out_set(Output *out, const char *key, struct json_object *value)
{
        if (!out->json) {
                json_object_put(value);
                return;
        }
        if (!out->fields)
                out->fields = json_object_new_object();
        json_object_object_add(out->fields, key, value);
}

void out_set_text(Output *out, const char *key, const char *value)
{
        if (out->json)
                out_set(out, key, value ? json_object_new_string(value) : NULL);
}

void out_set_u64(Output *out, const char *key, uint64_t value)
{
        if (out->json)
                out_set(out, key, json_object_new_uint64(value));
}

void out_set_bool(Output *out, const char *key, bool value)
{
        if (out->json)
                out_set(out, key, json_object_new_boolean(value));
}

void out_list(Output *out)
{
        if (out->json && !out->rows)
                out->rows = json_object_new_array();
}

void out_add(Output *out, struct json_object *element)
{
        if (!out->json) {
                json_object_put(element);
                return;
        }
        out_list(out);
        json_object_array_add(out->rows, element);
}

static void put(Output *out, const char *text)
{
        AUTOFREE char *shown = out->terminal ? str_printable(text, "\n\t") : NULL;

        fputs(shown ?: text, out->to);
}

void out_print(Output *out, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        va_list ap;

        if (out->json)
                return;
        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        put(out, text);
}

void out_done(Output *out, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        if (out->json)
                out_set_text(out, "message", text);
        else if (!out->quiet)
                out_print(out, "%s\n", text);
}

void out_note(Output *out, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        if (out->json)
                out_set_text(out, "message", text);
        else if (!out->quiet)
                put(out, text);
}

void out_value(Output *out, const char *key, const char *text)
{
        out_set_text(out, key, text);
        out_print(out, "%s\n", text);
}

static void print_line(Output *out, int column, const char *label, const char *text)
{
        AUTOFREE char *with_colon = str_format("%s:", label);

        out_print(out, "%-*s %s\n", column - 1, with_colon, text);
}

void out_field(Output *out, int column, const char *label, const char *fmt, ...)
{
        AUTOFREE char *text = NULL;
        AUTOFREE char *key = key_from_label(label);
        va_list ap;

        va_start(ap, fmt);
        text = str_vformat(fmt, ap);
        va_end(ap);
        out_set_text(out, key, text);
        print_line(out, column, label, text);
}

void out_number(Output *out, int column, const char *label, uint64_t n, const char *unit)
{
        AUTOFREE char *with_unit = str_format("%s %s", label, unit ? unit : "");
        AUTOFREE char *key = key_from_label(with_unit);
        AUTOFREE char *with_colon = str_format("%s:", label);

        out_set_u64(out, key, n);
        out_print(out, "%-*s %llu%s%s\n", column - 1, with_colon, (unsigned long long)n, unit ? " " : "",
                  unit ? unit : "");
}

void out_yes_no(Output *out, int column, const char *label, bool is)
{
        AUTOFREE char *key = key_from_label(label);

        out_set_bool(out, key, is);
        print_line(out, column, label, is ? "yes" : "no");
}

void out_none(Output *out, int column, const char *label, const char *words)
{
        AUTOFREE char *key = key_from_label(label);

        out_set_text(out, key, NULL);
        print_line(out, column, label, words);
}

void out_table(Output *out, const Table *table)
{
        AUTO(Buf) text = { 0 };

        if (out->json) {
                json_object_put(out->rows);
                out->rows = table_to_json(table);
                return;
        }
        table_print(table, !out->quiet, &text);
        fputs(buf_text(&text), out->to);
}

/* As many bytes as the character here has in UTF-8; 0: it is none. */
static size_t character(const char *s, size_t left)
{
        for (size_t n = 1; n <= MIN(left, (size_t)4); n++)
                if (str_is_utf8(s, n))
                        return n;
        return 0;
}

/* json-c passes on what it was given, from DEL and the controls above it to bytes that are no text. */
static void put_valid(const char *json, FILE *to)
{
        size_t left = strlen(json);

        while (left) {
                unsigned char first = (unsigned char)*json, second = (unsigned char)json[1];
                size_t n = character(json, left);

                if (!n)
                        fprintf(to, "\\\\x%02x", first);
                else if (first == 0x7f || (first == 0xc2 && second < 0xa0))
                        fprintf(to, "\\u%04x", n == 1 ? first : second);
                else
                        fwrite(json, 1, n, to);
                n = n ?: 1;
                json += n;
                left -= n;
        }
        fputc('\n', to);
}

static void print_document(Output *out, int style)
{
        struct json_object *document = out->fields;

        if (out->fields && out->rows)
                json_object_object_add(out->fields, "rows", TAKE(out->rows));
        else if (out->rows)
                document = out->rows;
        if (!document)
                return;
        put_valid(json_object_to_json_string_ext(document, style | JSON_C_TO_STRING_NOSLASHESCAPE), out->to);
        json_object_put(TAKE(document));
        out->fields = NULL;
        out->rows = NULL;
}

void out_flush(Output *out)
{
        if (out->json)
                print_document(out, JSON_C_TO_STRING_PLAIN);
        out->flushed = true;
        fflush(out->to);
}

void out_succeed(Output *out)
{
        if (out->json && !out->fields && !out->rows && !out->flushed)
                out->fields = json_object_new_object();
}

void out_end(Output *out)
{
        out->flushed = false;
        if (out->json)
                print_document(out, JSON_C_TO_STRING_PRETTY);
        else if (!out->quiet)
                fputc('\n', out->to);
        fflush(out->to);
}
