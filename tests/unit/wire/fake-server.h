#pragma once
/*
 * tests/unit/wire/fake-server.h - a server at the other end of a socket pair, which does as a test says
 *
 * It answers the opening calls by itself (unless told otherwise), writes down what
 * was called, and keeps every other call for the test to answer.
 */
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "wire/client-calls.h"
#include "wire/codec.h"
#include "wire/conn.h"
#include "wire/constants.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct FakeServer {
        Loop *loop;
        Conn *conn;
        Buf calls; /* names, each followed by a blank */
        int32_t auth_type;
        bool silent;              /* answers nothing by itself */
        uint32_t features_off;    /* bit N: feature N is answered with no */
        FrameHeader last;         /* of the last call or stream packet that is left to the test */
        Buf payload;              /* its payload */
        VEC(FrameHeader) headers; /* of all those calls */
        Fd received_fd;
        bool gone;
} FakeServer;

static inline void fake_send(FakeServer *fake, FrameHeader header, WireEncode *encode, const void *value)
{
        AUTO(Buf) frame = { 0 };

        frame_begin(&frame);
        CHECK_INT(xdr_encode(encode, value, &frame, NULL), 0);
        conn_send(fake->conn, &header, &frame, NULL, 0);
}

/* Answer a call with its reply struct. */
static inline void fake_reply(FakeServer *fake, FrameHeader call, const void *ret)
{
        const WireProc *proc = wire_proc_find(call.program, call.procedure);

        call.type = FRAME_REPLY;
        call.status = FRAME_OK;
        fake_send(fake, call, proc->ret_encode, ret);
}

static inline void fake_encode_error(XdrWriter *w, const void *value)
{
        wire_encode_error(w, value);
}

static inline void fake_fail(FakeServer *fake, FrameHeader call, int code, const char *message, FrameType type)
{
        const WireError error = { .code = code, .domain = VIR_FROM_QEMU, .message = message, .level = 2 };

        call.type = (int32_t)type;
        call.status = FRAME_ERROR;
        fake_send(fake, call, fake_encode_error, &error);
}

static inline void fake_packet(FakeServer *fake, FrameHeader call, FrameStatus status, const void *data, size_t len)
{
        AUTO(Buf) frame = { 0 };

        call.type = FRAME_STREAM;
        call.status = (int32_t)status;
        frame_begin(&frame);
        buf_put(&frame, data, len);
        conn_send(fake->conn, &call, &frame, NULL, 0);
}

static inline bool fake_opens(FakeServer *fake, const WireProc *proc, const Frame *frame)
{
        AUTO(Arena) *arena = arena_new();
        WireConnectSupportsFeatureArgs feature = { 0 };
        WireConnectSupportsFeatureRet yes = { .supported = 1 };

        if (fake->silent)
                return false;
        switch (proc->number) {
        case WIRE_PROC_AUTH_LIST:
                fake_reply(fake, frame->header, &(WireAuthListRet){ .n_types = 1, .types = &fake->auth_type });
                return true;
        case WIRE_PROC_CONNECT_SUPPORTS_FEATURE:
                xdr_decode(proc->args_decode, frame->payload, frame->len, arena, &feature, NULL);
                buf_format(&fake->calls, "%d ", feature.feature);
                yes.supported = !(fake->features_off >> feature.feature & 1);
                fake_reply(fake, frame->header, &yes);
                return true;
        case WIRE_PROC_CONNECT_OPEN:
        case WIRE_PROC_CONNECT_REGISTER_CLOSE_CALLBACK:
                fake_reply(fake, frame->header, NULL);
                return true;
        case WIRE_PROC_CONNECT_GET_URI:
                fake_reply(fake, frame->header, &(WireConnectGetUriRet){ .uri = "qemu:///chosen" });
                return true;
        default:
                return false;
        }
}

static inline void fake_on_frame(void *arg, const Frame *frame)
{
        FakeServer *fake = arg;
        const WireProc *proc = wire_proc_find(frame->header.program, frame->header.procedure);

        CHECK(proc);
        if (frame->header.type == FRAME_CALL || frame->header.type == FRAME_CALL_WITH_FDS) {
                buf_format(&fake->calls, "%s ", proc->name);
                if (fake_opens(fake, proc, frame))
                        return;
        } else {
                buf_format(&fake->calls, "%s%zu ",
                           frame->header.type == FRAME_STREAM_HOLE ? "hole"
                           : frame->header.status == FRAME_OK      ? "ok"
                           : frame->header.status == FRAME_ERROR   ? "error"
                                                                   : "data",
                           frame->len);
        }
        fake->last = frame->header;
        vec_push(&fake->headers, frame->header);
        buf_clear(&fake->payload);
        buf_put(&fake->payload, frame->payload, frame->len);
        if (frame->n_fds) {
                fd_close(&fake->received_fd);
                fake->received_fd = fd_take(&frame->fds[0]);
        }
}

static inline void fake_on_closed(void *arg, const Error *why UNUSED)
{
        FakeServer *fake = arg;

        fake->gone = true;
}

/* Returns the client's end. */
static inline Fd fake_start(FakeServer *fake, Loop *loop)
{
        static const ConnHooks hooks = { .frame = fake_on_frame, .closed = fake_on_closed };
        int ends[2];

        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        fake->loop = loop;
        fake->received_fd = -1;
        fake->conn = conn_new(loop, ends[0], &hooks, fake);
        return ends[1];
}

static inline void fake_done(FakeServer *fake)
{
        conn_free(fake->conn);
        buf_done(&fake->calls);
        buf_done(&fake->payload);
        vec_done(&fake->headers);
        fd_close(&fake->received_fd);
}
DEFINE_AUTO_VALUE(FakeServer, fake_done)

/* Let both ends do what they can. */
static inline void fake_settle(Loop *loop)
{
        while (loop_turn(loop, 0, NULL) > 0)
                ;
}
