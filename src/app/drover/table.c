/*
 * app/drover/table.c - lay out a table, or turn it into JSON
 */
#include "app/drover/table.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <wchar.h>

typedef struct Column {
        char *title;
        char kind; /* as behind the title; '\0': text that is always there */
} Column;

struct Table {
        VEC(Column) columns;
        VEC(char *) cells;  /* row after row, printable */
        VEC(char *) raw;    /* the same as they are, NULL where that is what is printed or no text: for programs */
        VEC(size_t) widths; /* of the titles, then of the cells */
};

/* Copy with everything unprintable escaped; *width is what it takes on a terminal. */
static char *printable(const char *s, size_t *width)
{
        AUTO(Buf) text = { 0 };
        size_t left = strlen(s);
        mbstate_t state = { 0 };

        *width = 0;
        while (left) {
                wchar_t c;
                size_t n = mbrtowc(&c, s, left, &state);
                int columns = n <= left ? wcwidth(c) : -1;

                if (columns < 0) {
                        n = n <= left ? n : 1;
                        for (size_t i = 0; i < n; i++)
                                buf_format(&text, "\\x%02x", (unsigned char)s[i]);
                        *width += 4 * n;
                        memset(&state, 0, sizeof(state));
                } else {
                        buf_put(&text, s, n);
                        *width += (size_t)columns;
                }
                s += n;
                left -= n;
        }
        return str_dup(buf_text(&text));
}

Table *table_new(const char *const *titles)
{
        Table *table = mem_new(Table);

        for (; *titles; titles++) {
                size_t n = strcspn(*titles, "#?~");
                AUTOFREE char *title = str_dup_n(*titles, n);
                size_t width;
                Column column = { .title = printable(title, &width), .kind = (*titles)[n] };

                vec_push(&table->columns, column);
                vec_push(&table->widths, width);
        }
        return table;
}

Table *table_free(Table *table)
{
        if (!table)
                return NULL;
        for (size_t i = 0; i < table->columns.len; i++)
                free(table->columns.items[i].title);
        for (size_t i = 0; i < table->cells.len; i++) {
                free(table->cells.items[i]);
                free(table->raw.items[i]);
        }
        vec_done(&table->columns);
        vec_done(&table->cells);
        vec_done(&table->raw);
        vec_done(&table->widths);
        free(table);
        return NULL;
}

void table_add(Table *table, const char *const *cells)
{
        for (size_t i = 0; i < table->columns.len; i++) {
                const char *cell = cells[i] ?: "";
                size_t width;
                char *shown = printable(cell, &width);
                bool as_it_is = str_eq(shown, cell) || !str_is_utf8(cell, strlen(cell));

                vec_push(&table->cells, shown);
                vec_push(&table->raw, as_it_is ? NULL : str_dup(cell));
                vec_push(&table->widths, width);
        }
}

size_t table_len(const Table *table)
{
        return table->cells.len / table->columns.len;
}

/* What the column needs; the title counts only where it is shown. */
static size_t column_width(const Table *table, size_t column, bool header)
{
        size_t width = 0;

        for (size_t i = header ? column : column + table->columns.len; i < table->widths.len; i += table->columns.len)
                width = MAX(width, table->widths.items[i]);
        return width;
}

static void print_row(const Table *table, const char *const *cells, const size_t *is, const size_t *wanted, Buf *to)
{
        size_t n = table->columns.len;

        for (size_t i = 0; i + 1 < n; i++)
                buf_format(to, " %s%*s", cells[i], (int)(wanted[i] - is[i] + 2), "");
        buf_format(to, " %s\n", cells[n - 1]);
}

static void print_header(const Table *table, const size_t *wanted, Buf *to)
{
        VEC(const char *) titles = { 0 };

        for (size_t i = 0; i < table->columns.len; i++)
                vec_push(&titles, table->columns.items[i].title);
        print_row(table, titles.items, table->widths.items, wanted, to);
        for (size_t i = 0; i < table->columns.len; i++)
                for (size_t j = 0; j < wanted[i] + 3; j++)
                        buf_put_char(to, '-');
        buf_put_char(to, '\n');
        vec_done(&titles);
}

void table_print(const Table *table, bool header, Buf *to)
{
        size_t n = table->columns.len;
        AUTOFREE size_t *wanted = mem_new_array(size_t, n);

        for (size_t i = 0; i < n; i++)
                wanted[i] = column_width(table, i, header);
        if (header)
                print_header(table, wanted, to);
        for (size_t i = 0; i < table->cells.len; i += n)
                print_row(table, (const char *const *)table->cells.items + i, table->widths.items + n + i, wanted,
                          to);
}

char *key_from_label(const char *label)
{
        AUTO(Buf) key = { 0 };

        for (; *label; label++) {
                if (isalnum((unsigned char)*label))
                        buf_put_char(&key, (char)tolower((unsigned char)*label));
                else if (*label != '(' && *label != ')' && key.len && key.data[key.len - 1] != '_')
                        buf_put_char(&key, '_');
        }
        while (key.len && key.data[key.len - 1] == '_')
                key.data[--key.len] = '\0';
        return str_dup(buf_text(&key));
}

static struct json_object *cell_to_json(const Column *column, const char *cell)
{
        uint64_t number;
        int64_t below;

        if (!column->kind)
                return json_object_new_string(cell);
        if (str_eq(cell, "-"))
                return NULL;
        if (column->kind == '?')
                return json_object_new_boolean(str_eq(cell, "yes"));
        if (column->kind == '~')
                return json_object_new_string(cell);
        if (str_to_u64(cell, &number) == 0)
                return json_object_new_uint64(number);
        return str_to_i64(cell, &below) == 0 ? json_object_new_int64(below) : NULL;
}

struct json_object *table_to_json(const Table *table)
{
        struct json_object *rows = json_object_new_array();
        struct json_object *row = NULL;

        for (size_t i = 0; i < table->cells.len; i++) {
                const Column *column = &table->columns.items[i % table->columns.len];
                AUTOFREE char *key = key_from_label(column->title);

                if (i % table->columns.len == 0) {
                        row = json_object_new_object();
                        json_object_array_add(rows, row);
                }
                json_object_object_add(row, key, cell_to_json(column, table->raw.items[i] ?: table->cells.items[i]));
        }
        return rows;
}
