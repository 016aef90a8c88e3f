#pragma once
/*
 * app/drover/output.h - what a command says, as text or as JSON
 *
 * A command says each thing once. As text it is printed at once, in virsh's
 * layout; as JSON it is collected and printed as one document when the command
 * has ended: an object, or an array when a table is all there is. One that did
 * what it should and has nothing to say is an empty object. The document is
 * valid whatever is said: a byte that is no UTF-8 is \xNN in it. What a
 * terminal would obey (guests name themselves) is shown on one as \xNN, and
 * passes unchanged to a program.
 */
#include "app/drover/table.h"
#include "base/auto.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Output Output;

/* to stays the caller's. Quiet leaves out table headers, confirmations and empty lines. */
Output *output_new(bool json, bool quiet, FILE *to);
Output *output_free(Output *out); /* returns NULL */
DEFINE_AUTO(Output, output_free)

bool output_is_json(const Output *out);
bool output_is_quiet(const Output *out);
FILE *output_file(const Output *out);

/* Text only; says nothing in JSON. */
void out_print(Output *out, const char *fmt, ...) PRINTF(2, 3);
/* A confirmation ("Domain 'x' started"): not said when quiet; JSON "message". */
void out_done(Output *out, const char *fmt, ...) PRINTF(2, 3);
/* A remark without a newline behind it (the empty line that ends a command is its newline); not when quiet. */
void out_note(Output *out, const char *fmt, ...) PRINTF(2, 3);
/* One value that is all the command has to say, with a newline behind it. */
void out_value(Output *out, const char *key, const char *text);
/* "Label:   value", the value at the given column; the JSON key comes from the label. */
void out_field(Output *out, int column, const char *label, const char *fmt, ...) PRINTF(4, 5);
/* The same for a number; the unit follows it as text and joins the key in JSON ("max_memory_kib"). */
void out_number(Output *out, int column, const char *label, uint64_t n, const char *unit);
/* The same for what is or is not: "yes" or "no", a boolean in JSON. */
void out_yes_no(Output *out, int column, const char *label, bool is);
/* The same for what there is none of, or nobody knows: these words, null in JSON. */
void out_none(Output *out, int column, const char *label, const char *words);
void out_table(Output *out, const Table *table);

/* JSON only; nothing as text. The values become the output's. */
void out_set(Output *out, const char *key, struct json_object *value);
void out_set_text(Output *out, const char *key, const char *value); /* NULL: null */
void out_set_u64(Output *out, const char *key, uint64_t value);
void out_set_bool(Output *out, const char *key, bool value);
/* The document is an array, also when nothing is added to it. */
void out_list(Output *out);
/* One element of the array that the document becomes. */
void out_add(Output *out, struct json_object *element);
/* Print now what one step of a long command said: JSON one document a line. */
void out_flush(Output *out);

/* The command did what it should: there is a document, even if it said nothing. */
void out_succeed(Output *out);
/* The command has ended: the JSON document, or virsh's empty line. */
void out_end(Output *out);
