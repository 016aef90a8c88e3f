#pragma once
/*
 * app/drover/table.h - tables with the layout virsh users parse
 *
 * Every cell is preceded by one blank and, but for the last of a row, followed
 * by blanks up to its column's width and two more. A line of dashes as wide as
 * all columns is under the header. Width is that on a terminal, so double-width
 * characters count two; what cannot be printed is shown as \xNN.
 */
#include "base/auto.h"
#include "base/buf.h"

#include <json-c/json.h>
#include <stdbool.h>

typedef struct Table Table;

/*
 * Titles, ending with NULL. What stands behind a title is not shown but says what its cells are for programs: '#' numbers,
 * '?' "yes" or "no", '~' text. In these a "-" is none.
 */
Table *table_new(const char *const *titles);
Table *table_free(Table *table); /* returns NULL */
DEFINE_AUTO(Table, table_free)

/* As many cells as there are titles; they are copied. */
void table_add(Table *table, const char *const *cells);
size_t table_len(const Table *table);
void table_print(const Table *table, bool header, Buf *to);
/* An array of objects, keyed by the titles in lower case; owned. */
struct json_object *table_to_json(const Table *table);

/* A label as a JSON key: lower case, '_' for all but letters and digits, "cpus" for "CPU(s)". Owned. */
char *key_from_label(const char *label);

#define TITLES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define CELLS(...)  ((const char *const[]){ __VA_ARGS__ })
