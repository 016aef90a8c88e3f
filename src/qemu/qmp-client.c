/*
 * qemu/qmp-client.c - one QMP connection, on the loop
 *
 * Invariant: a QmpCall is in qmp->calls from qmp_client_send() until its deliver() runs or it is freed,
 * so each is answered exactly once. Owner functions may free the client; while one of them runs, `busy`
 * keeps the memory until the outermost function of ours has returned.
 */
#include "qemu/qmp-client.h"

#include "base/json-write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "qemu/qmp-call.h"
#include "qemu/qmp-json.h"
#include "qemu/qmp-out.h"

#include <errno.h>
#include <json-c/json.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
        MOST_DEPTH = 64,
        MOST_CONTAINERS = 128 << 10, /* json-c spends 350 bytes on an empty array: bound them apart from bytes */
        MOST_RAW = 1 << 20,
        READ_SIZE = 16 << 10, /* on the stack, whose pages stay */
        READS_A_TURN = 4,
};

struct QmpCall {
        QmpClient *qmp;
        uint64_t id;
        uint64_t due_ms; /* 0: no deadline */
        char *name;
        QmpDeliver *deliver;
        const QmpCommand *command;
        void (*done)(void);
        void *arg;
        bool raw; /* deliver gets the whole reply object */
};

struct QmpClient {
        Loop *loop;
        Fd fd;
        Watch *watch;
        Timer *deadline;
        Idle *failing; /* will report the calls made on a closed connection */
        QmpHooks hooks;
        void *arg;
        json_tokener *tokener;
        size_t message_bytes, message_containers;
        QmpOut out;
        VEC(QmpCall *) calls;
        uint64_t next_id;
        uint64_t changes;
        unsigned busy;
        bool open, closing, freed;
};

static void release(QmpClient *qmp);
static void close_with(QmpClient *qmp, const Error *why);

static void enter(QmpClient *qmp)
{
        qmp->busy++;
}

/* False: the owner freed the client meanwhile; it is gone now, or will be further out. */
static bool leave(QmpClient *qmp)
{
        bool freed = qmp->freed;

        if (--qmp->busy == 0 && freed)
                release(qmp);
        return !freed;
}

static void call_release(QmpCall *call)
{
        free(call->name);
        free(call);
}

static void call_answer(QmpCall *call, json_object *reply, const Error *failure)
{
        vec_remove_item(&call->qmp->calls, call);
        call->deliver(call->done, call->arg, call->command, reply, failure);
        call_release(call);
}

bool qmp_failure_is_unknown(const Error *failure)
{
        return failure && (failure->code == ERR_OPERATION_TIMEOUT || failure->code == ERR_OPERATION_ABORTED);
}

/* Deadlines: one timer for the earliest. */

static void arm_deadline(QmpClient *qmp)
{
        uint64_t now = loop_now_ms(qmp->loop), first = 0;

        for (size_t i = 0; i < qmp->calls.len; i++) {
                uint64_t due = qmp->calls.items[i]->due_ms;

                if (due && (!first || due < first))
                        first = due;
        }
        if (first)
                timer_set(qmp->deadline, first > now ? first - now : 0);
        else
                timer_stop(qmp->deadline);
}

static QmpCall *find_overdue(QmpClient *qmp)
{
        uint64_t now = loop_now_ms(qmp->loop);

        for (size_t i = 0; i < qmp->calls.len; i++) {
                if (qmp->calls.items[i]->due_ms && qmp->calls.items[i]->due_ms <= now)
                        return qmp->calls.items[i];
        }
        return NULL;
}

static void on_deadline(void *arg)
{
        QmpClient *qmp = arg;
        QmpCall *call;

        enter(qmp);
        while (!qmp->freed && (call = find_overdue(qmp))) {
                AUTO(Error) late = { 0 };

                /* where QEMU reads nothing, what it was to hear must not pile up, nor be done long after */
                if (qmp_out_take_back(&qmp->out, call->id))
                        err_set(&late, ERR_OPERATION_FAILED,
                                "QEMU is not responding: it reads nothing from its monitor, '%s' was not sent",
                                call->name);
                else
                        err_set(&late, ERR_OPERATION_TIMEOUT,
                                "QEMU did not answer '%s' in time; its outcome is unknown", call->name);
                call_answer(call, NULL, &late);
        }
        if (!qmp->freed)
                arm_deadline(qmp);
        leave(qmp);
}

/* Output. */

static void flush(QmpClient *qmp)
{
        if (qmp->open)
                qmp_out_flush(&qmp->out, qmp->fd);
        if (qmp->watch)
                watch_set_events(qmp->watch, qmp_out_is_empty(&qmp->out) ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

/* Input. */

/* Why QEMU says no, in the terms of our errors. */
static void read_error(json_object *error, const char *name, Error *ret)
{
        const char *class = qmp_json_get_text(error, "class"), *text = qmp_json_get_text(error, "desc");
        ErrCode code = ERR_OPERATION_FAILED;

        if (str_eq(class, "CommandNotFound"))
                code = ERR_OPERATION_UNSUPPORTED;
        else if (str_eq(class, "DeviceNotFound"))
                code = ERR_DEVICE_MISSING;
        err_set(ret, code, "QEMU refused '%s': %s", name, text ?: "no reason given");
}

static void take_reply(QmpClient *qmp, json_object *message, json_object *id)
{
        uint64_t number = json_object_is_type(id, json_type_int) ? json_object_get_uint64(id) : 0;
        json_object *error = qmp_json_get(message, "error");
        AUTO(Error) failure = { 0 };
        QmpCall *call = NULL;

        for (size_t i = 0; i < qmp->calls.len && !call; i++) {
                if (qmp->calls.items[i]->id == number)
                        call = qmp->calls.items[i];
        }
        if (!call)
                return; /* its caller gave up waiting */
        if (call->raw) {
                call_answer(call, message, NULL);
                return;
        }
        if (error)
                read_error(error, call->name, &failure);
        call_answer(call, error ? NULL : qmp_json_get(message, "return"), error ? &failure : NULL);
}

static void take_message(QmpClient *qmp, json_object *message)
{
        const char *event = qmp_json_get_text(message, "event");
        json_object *id = qmp_json_get(message, "id");

        if (event) {
                qmp->changes++;
                if (qmp->hooks.event)
                        qmp->hooks.event(qmp->arg, event, message);
        } else if (id) {
                take_reply(qmp, message, id);
        } else if (qmp_json_get(message, "error")) {
                AUTO(Error) why = { 0 };

                read_error(qmp_json_get(message, "error"), "a command", &why);
                log_warning("%s", why.text);
        }
}

/* Bound what json-c allocates: it is never more than one read ahead of this. */
static int count_in(QmpClient *qmp, const char *data, size_t n, Error *err)
{
        qmp->message_bytes += n;
        for (size_t i = 0; i < n; i++)
                qmp->message_containers += data[i] == '[' || data[i] == '{';
        if (qmp->message_bytes > QMP_MOST_BYTES || qmp->message_containers > MOST_CONTAINERS)
                return err_set(err, ERR_INTERNAL, "QEMU sent a message that is too large");
        return 0;
}

static int parse(QmpClient *qmp, const char *data, size_t n, Error *err)
{
        while (n > 0 && !qmp->freed) {
                json_object *message = json_tokener_parse_ex(qmp->tokener, data, (int)n);
                enum json_tokener_error outcome = json_tokener_get_error(qmp->tokener);
                size_t used = json_tokener_get_parse_end(qmp->tokener);

                if (count_in(qmp, data, MIN(used, n), err) < 0) {
                        json_object_put(message);
                        return -1;
                }
                if (outcome == json_tokener_continue)
                        return 0;
                if (outcome != json_tokener_success)
                        return err_set(err, ERR_INTERNAL, "QEMU sent something that is not QMP: %s",
                                       json_tokener_error_desc(outcome));
                qmp->message_bytes = qmp->message_containers = 0;
                take_message(qmp, message);
                json_object_put(message);
                if (!qmp->freed)
                        json_tokener_reset(qmp->tokener);
                data += used;
                n -= used;
                while (n > 0 && (*data == '\r' || *data == '\n' || *data == ' ')) {
                        data++;
                        n--;
                }
        }
        return 0;
}

/* 1: go on, 0: nothing more now, -1: the connection is over. */
static int read_some(QmpClient *qmp, Error *err)
{
        char data[READ_SIZE];
        ssize_t n = recv(qmp->fd, data, sizeof(data), MSG_DONTWAIT);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return errno == EINTR;
        if (n < 0 && errno != ECONNRESET)
                return err_errno(err, errno, "the monitor connection to QEMU broke");
        if (n <= 0)
                return err_set(err, ERR_OPERATION_FAILED, "QEMU closed its monitor connection");
        return parse(qmp, data, (size_t)n, err) < 0 ? -1 : (size_t)n == sizeof(data);
}

static void on_socket(void *arg, uint32_t revents)
{
        QmpClient *qmp = arg;
        AUTO(Error) err = { 0 };
        int more = 1;

        enter(qmp);
        if (revents & EPOLLOUT)
                flush(qmp);
        for (int i = 0; i < READS_A_TURN && more > 0 && !qmp->freed; i++)
                more = read_some(qmp, &err);
        if (more < 0 && !qmp->freed)
                close_with(qmp, &err);
        if (!qmp->freed && qmp->open)
                arm_deadline(qmp);
        leave(qmp);
}

/* The end. */

static QmpCall *next_to_fail(const QmpClient *qmp, bool all)
{
        for (size_t i = 0; i < qmp->calls.len; i++) {
                if (all || qmp->calls.items[i]->due_ms == UINT64_MAX)
                        return qmp->calls.items[i];
        }
        return NULL;
}

/* All of them, or those that never left us. */
static void fail_calls(QmpClient *qmp, bool all)
{
        size_t n = qmp->calls.len;
        QmpCall *call;

        /* a done() may make new calls: those wait for the next turn */
        for (; n > 0 && !qmp->freed && (call = next_to_fail(qmp, all)); n--) {
                AUTO(Error) lost = { 0 };

                if (call->due_ms == UINT64_MAX)
                        err_set(&lost, ERR_OPERATION_FAILED,
                                "QEMU is not responding: the connection to its monitor is lost, '%s' was not sent",
                                call->name);
                else
                        err_set(&lost, ERR_OPERATION_ABORTED,
                                "QEMU went away before it answered '%s'; its outcome is unknown", call->name);
                call_answer(call, NULL, &lost);
        }
}

static void disconnect(QmpClient *qmp)
{
        qmp->open = false;
        qmp->watch = watch_free(qmp->watch);
        timer_stop(qmp->deadline);
        fd_close(&qmp->fd);
        qmp_out_clear(&qmp->out);
        fail_calls(qmp, true);
}

static void close_with(QmpClient *qmp, const Error *why)
{
        if (!qmp->open)
                return;
        disconnect(qmp);
        if (!qmp->freed && qmp->hooks.closed)
                qmp->hooks.closed(qmp->arg, why);
}

void qmp_client_fail_calls(QmpClient *qmp)
{
        enum { MOST_ROUNDS = 100 }; /* of a done() that asks again each time it fails */

        if (!qmp)
                return;
        enter(qmp);
        for (int i = 0; i < MOST_ROUNDS && qmp->calls.len && !qmp->freed; i++)
                fail_calls(qmp, true);
        leave(qmp);
}

static void on_failing(void *arg)
{
        QmpClient *qmp = arg;

        enter(qmp);
        qmp->failing = idle_free(qmp->failing);
        fail_calls(qmp, false);
        leave(qmp);
}

static void release(QmpClient *qmp)
{
        watch_free(qmp->watch);
        timer_free(qmp->deadline);
        idle_free(qmp->failing);
        fd_close(&qmp->fd);
        if (qmp->tokener)
                json_tokener_free(qmp->tokener);
        qmp_out_clear(&qmp->out);
        for (size_t i = 0; i < qmp->calls.len; i++)
                call_release(qmp->calls.items[i]);
        vec_done(&qmp->calls);
        free(qmp);
}

QmpClient *qmp_client_free(QmpClient *qmp)
{
        if (!qmp)
                return NULL;
        qmp->freed = true;
        qmp->open = false;
        if (qmp->busy == 0)
                release(qmp);
        return NULL;
}

/* The beginning. */

static void negotiated(void (*done)(void) UNUSED, void *arg, const QmpCommand *command UNUSED,
                       json_object *reply UNUSED, const Error *failure)
{
        QmpClient *qmp = arg;

        if (failure) {
                AUTO(Error) why = { 0 };

                err_set(&why, ERR_INTERNAL, "the monitor of QEMU cannot be used: %s", failure->text);
                close_with(qmp, &why);
        } else if (qmp->hooks.ready) {
                qmp->hooks.ready(qmp->arg);
        }
}

void qmp_client_reopen(QmpClient *qmp, Fd fd)
{
        AUTO(Fd) own = fd;

        enter(qmp);
        if (qmp->open)
                disconnect(qmp);
        if (!leave(qmp))
                return;
        qmp->fd = fd = fd_take(&own);
        qmp->open = true;
        qmp->message_bytes = qmp->message_containers = 0;
        json_tokener_reset(qmp->tokener);
        qmp->watch = watch_new(qmp->loop, fd, EPOLLIN, on_socket, qmp);
        /* QEMU reads it when it gets there: how long it may take to start is its owner's deadline, not ours */
        qmp_call_set_deadline(qmp_client_send(qmp, "qmp_capabilities",
                                              qmp->hooks.urgent ? "{\"enable\":[\"oob\"]}" : NULL, -1, NULL,
                                              negotiated, NULL, qmp),
                              0);
}

QmpClient *qmp_client_new(Loop *loop, Fd fd, const QmpHooks *hooks, void *arg)
{
        QmpClient *qmp = mem_new(QmpClient);

        *qmp = (QmpClient){ .loop = loop, .fd = -1, .hooks = *hooks, .arg = arg, .next_id = 1, .changes = 1 };
        qmp->tokener = json_tokener_new_ex(MOST_DEPTH);
        json_tokener_set_flags(qmp->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
        qmp->deadline = timer_new(loop, 0, on_deadline, qmp);
        timer_stop(qmp->deadline);
        if (fd >= 0)
                qmp_client_reopen(qmp, fd);
        return qmp;
}

int qmp_client_connect(const char *path, Fd *ret, Error *err)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        AUTO(Fd) fd = -1;

        if (strlen(path) >= sizeof(address.sun_path))
                return err_set(err, ERR_INVALID_ARG, "the path of the monitor socket '%s' is too long", path);
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_errno(err, errno, "cannot make a socket");
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return err_errno(err, errno, "cannot connect to the monitor '%s'", path);
        *ret = fd_take(&fd);
        return 0;
}

bool qmp_client_is_open(const QmpClient *qmp)
{
        return qmp->open;
}

uint64_t qmp_client_changes(const QmpClient *qmp)
{
        return qmp->changes;
}

static bool only_asks(const char *command)
{
        return str_starts(command, "query-") || str_eq(command, "qom-get");
}

/* Register a call; its text is sent by the caller. due UINT64_MAX marks one that never left us. */
static QmpCall *call_new(QmpClient *qmp, const char *name, QmpDeliver *deliver, void (*done)(void), void *arg)
{
        QmpCall *call = mem_new(QmpCall);

        *call = (QmpCall){
                .qmp = qmp, .id = qmp->next_id++, .name = str_dup(name), .deliver = deliver, .done = done, .arg = arg
        };
        call->due_ms = qmp->open ? loop_now_ms(qmp->loop) + QMP_DEADLINE_MS : UINT64_MAX;
        if (!only_asks(name))
                qmp->changes++;
        vec_push(&qmp->calls, call);
        if (!qmp->open && !qmp->failing)
                qmp->failing = idle_new(qmp->loop, on_failing, qmp);
        return call;
}

QmpCall *qmp_client_send(QmpClient *qmp, const char *name, const char *args, int fd, const QmpCommand *command,
                         QmpDeliver *deliver, void (*done)(void), void *arg)
{
        QmpCall *call = call_new(qmp, name, deliver, done, arg);
        AUTO(JsonWriter) w = { 0 };

        call->command = command;
        if (!qmp->open)
                return call;
        json_open_object(&w, NULL);
        json_put_text(&w, command && command->urgent && qmp->hooks.urgent ? "exec-oob" : "execute", name);
        json_put_raw(&w, "arguments", args);
        json_put_u64(&w, "id", call->id);
        json_close_object(&w);
        qmp_out_put(&qmp->out, call->id, json_take(&w), fd);
        flush(qmp);
        if (!timer_is_armed(qmp->deadline))
                arm_deadline(qmp);
        return call;
}

QmpCall *qmp_call_free(QmpCall *call)
{
        if (!call)
                return NULL;
        qmp_out_take_back(&call->qmp->out, call->id);
        vec_remove_item(&call->qmp->calls, call);
        call_release(call);
        return NULL;
}

void qmp_call_set_deadline(QmpCall *call, uint64_t ms)
{
        if (call->due_ms == UINT64_MAX)
                return;
        call->due_ms = ms ? loop_now_ms(call->qmp->loop) + ms : 0;
        arm_deadline(call->qmp);
}

QmpCall *qmp_raw(QmpClient *qmp, const char *text, int fd,
                 void (*done)(void *arg, const char *reply, const Error *failure), void *arg, Error *err)
{
        json_object *command = qmp_parse_json(text, MOST_RAW, err);
        const char *name = qmp_json_get_text(command, "execute") ?: qmp_json_get_text(command, "exec-oob");
        QmpCall *call;

        if (!command)
                return NULL;
        if (!name) {
                err_set(err, ERR_INVALID_ARG, "a QMP command is an object with the member \"execute\"");
                json_object_put(command);
                return NULL;
        }
        call = call_new(qmp, name, qmp_deliver_raw, (void (*)(void))done, arg);
        call->raw = true;
        if (qmp->open) {
                json_object_object_add(command, "id", json_object_new_uint64(call->id));
                qmp_out_put(&qmp->out, call->id,
                            str_dup(json_object_to_json_string_ext(command, JSON_C_TO_STRING_PLAIN)), fd);
                flush(qmp);
                arm_deadline(qmp);
        }
        json_object_put(command);
        return call;
}
