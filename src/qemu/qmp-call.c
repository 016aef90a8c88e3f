/*
 * qemu/qmp-call.c - from the generated tables to the connection and back
 */
#include "qemu/qmp.h"

#include "base/str.h"

#include <json-c/json.h>
#include <stdlib.h>

QmpCall *qmp_send(QmpClient *qmp, const QmpCommand *command, const void *args, const char *raw, int fd,
                  void (*done)(void), void *arg)
{
        AUTO(JsonWriter) w = { 0 };
        QmpCall *call;

        if (args) {
                json_open_object(&w, NULL);
                qmp_encode(command->args, args, &w);
                json_close_object(&w);
                raw = json_text(&w);
        }
        call = qmp_client_send(qmp, command->name, raw, fd, command, command->deliver, done, arg);
        if (w.buf.data)
                explicit_bzero(w.buf.data, w.buf.len); /* it may be a key or a password */
        return call;
}

void qmp_deliver_none(void (*done)(void), void *arg, const QmpCommand *command UNUSED,
                      struct json_object *reply UNUSED, const Error *failure)
{
        ((void (*)(void *, const Error *))done)(arg, failure);
}

void qmp_deliver_text(void (*done)(void), void *arg, const QmpCommand *command, struct json_object *reply,
                      const Error *failure)
{
        void (*fn)(void *, const char *, const Error *) = (void (*)(void *, const char *, const Error *))done;
        AUTO(Error) err = { 0 };

        if (!failure && !json_object_is_type(reply, json_type_string)) {
                err_set(&err, ERR_INTERNAL, "QEMU's answer to '%s' is not a text", command->name);
                failure = &err;
        }
        fn(arg, failure ? NULL : json_object_get_string(reply), failure);
}

void qmp_deliver_i64(void (*done)(void), void *arg, const QmpCommand *command, struct json_object *reply,
                     const Error *failure)
{
        void (*fn)(void *, int64_t, const Error *) = (void (*)(void *, int64_t, const Error *))done;
        AUTO(Error) err = { 0 };

        if (!failure && !json_object_is_type(reply, json_type_int)) {
                err_set(&err, ERR_INTERNAL, "the answer to '%s' is not a whole number", command->name);
                failure = &err;
        }
        fn(arg, failure ? 0 : json_object_get_int64(reply), failure);
}

void qmp_deliver_raw(void (*done)(void), void *arg, const QmpCommand *command UNUSED, json_object *reply,
                     const Error *failure)
{
        void (*fn)(void *, const char *, const Error *) = (void (*)(void *, const char *, const Error *))done;

        fn(arg,
           reply ? json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
                 : NULL,
           failure);
}

void qmp_deliver_json(void (*done)(void), void *arg, const QmpCommand *command UNUSED, struct json_object *reply,
                      const Error *failure)
{
        ((void (*)(void *, struct json_object *, const Error *))done)(arg, reply, failure);
}

void qmp_deliver_struct(void (*done)(void), void *arg, const QmpCommand *command, struct json_object *reply,
                        const Error *failure)
{
        void (*fn)(void *, const void *, const Error *) = (void (*)(void *, const void *, const Error *))done;
        AUTO(Arena) *arena = arena_new();
        void *ret = arena_alloc(arena, command->ret->size);
        AUTO(Error) err = { 0 };

        if (!failure && qmp_decode(command->ret, reply, arena, ret, &err) < 0) {
                err_prefix(&err, "the answer to '%s' cannot be used", command->name);
                failure = &err;
        }
        fn(arg, failure ? NULL : ret, failure);
}

void qmp_deliver_list(void (*done)(void), void *arg, const QmpCommand *command, struct json_object *reply,
                      const Error *failure)
{
        void (*fn)(void *, const void *, size_t,
                   const Error *) = (void (*)(void *, const void *, size_t, const Error *))done;
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        void *ret = NULL;
        size_t n = 0;

        if (!failure && qmp_decode_list(command->ret, reply, arena, &ret, &n, &err) < 0) {
                err_prefix(&err, "the answer to '%s' cannot be used", command->name);
                failure = &err;
        }
        fn(arg, failure ? NULL : ret, failure ? 0 : n, failure);
}

static int compare_event(const void *name, const void *row)
{
        return strcmp(name, ((const QmpEventRow *)row)->name);
}

int qmp_event_decode(const char *name, struct json_object *event, Arena *arena, QmpEvent *ret, Error *err)
{
        const QmpEventRow *row = bsearch(name, qmp_event_rows, qmp_n_event_rows, sizeof(*row), compare_event);
        struct json_object *when = qmp_json_get(event, "timestamp"), *data = qmp_json_get(event, "data");

        *ret = (QmpEvent){
                .type = row ? (QmpEventType)row->type : QMP_EVENT_OTHER,
                .name = arena_dup(arena, name),
                .seconds = qmp_json_get_i64(when, "seconds", 0),
                .microseconds = qmp_json_get_i64(when, "microseconds", 0),
                .data = data,
        };
        if (row && row->data && qmp_decode(row->data, data, arena, (char *)ret + row->offset, err) < 0)
                return err_prefix(err, "event %s", name);
        return 0;
}
