#pragma once
/*
 * base/json-write.h - JSON text, written straight into a buffer
 *
 *      JsonWriter w = { 0 };
 *      json_open_object(&w, NULL);
 *      json_put_text(&w, "driver", "qcow2");
 *      json_close_object(&w);
 *      use(json_text(&w));
 *
 * The writer puts commas and quotes; key is NULL inside an array and at the top. Bytes that are not
 * valid UTF-8 are written as U+FFFD. Zeroed is empty.
 */
#include "base/buf.h"

#include <stdbool.h>

typedef struct JsonWriter {
        Buf buf;
        bool comma;     /* something stands before in this object or array */
        bool pretty;    /* set by the caller: laid out and escaped as QEMU's programs do it, for people to read */
        unsigned depth; /* objects and arrays that are open */
} JsonWriter;

void json_open_object(JsonWriter *w, const char *key);
void json_close_object(JsonWriter *w);
void json_open_array(JsonWriter *w, const char *key);
void json_close_array(JsonWriter *w);
void json_put_text(JsonWriter *w, const char *key, const char *value); /* value NULL: nothing is written */
void json_put_format(JsonWriter *w, const char *key, const char *fmt, ...) PRINTF(3, 4);
void json_put_bool(JsonWriter *w, const char *key, bool value);
void json_put_u64(JsonWriter *w, const char *key, uint64_t value);
void json_put_i64(JsonWriter *w, const char *key, int64_t value);
void json_put_double(JsonWriter *w, const char *key, double value);
void json_put_null(JsonWriter *w, const char *key);
/* json is JSON text already; NULL: nothing is written. */
void json_put_raw(JsonWriter *w, const char *key, const char *json);
const char *json_text(const JsonWriter *w); /* valid until the next change */
char *json_take(JsonWriter *w);             /* owned; the writer is empty afterwards */
void json_writer_done(JsonWriter *w);

DEFINE_AUTO_VALUE(JsonWriter, json_writer_done)
