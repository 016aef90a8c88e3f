#include "test.h"

#include "base/str.h"
#include "wire/conn.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Side {
        Conn *conn;
        unsigned frames, drained, fds;
        uint32_t last_serial;
        char last_payload[64], closed[128], fd_content[16];
        bool deny, pause_after_each, free_in_hook, close_in_hook, free_when_closed;
} Side;

static void on_frame(void *arg, const Frame *frame)
{
        Side *side = arg;

        side->frames++;
        side->last_serial = frame->header.serial;
        snprintf(side->last_payload, sizeof(side->last_payload), "%.*s", (int)MIN(frame->len, (size_t)60),
                 (const char *)frame->payload);
        for (size_t i = 0; i < frame->n_fds; i++) {
                ssize_t n = pread(frame->fds[i], side->fd_content, sizeof(side->fd_content) - 1, 0);

                side->fds++;
                CHECK(n > 0);
        }
        if (side->pause_after_each)
                conn_pause(side->conn);
        if (side->close_in_hook) {
                conn_close_when_sent(side->conn);
                CHECK_STR(side->closed, ""); /* the hook need not expect it */
        }
        if (side->free_in_hook)
                side->conn = conn_free(side->conn);
}

static void on_closed(void *arg, const Error *why)
{
        Side *side = arg;

        snprintf(side->closed, sizeof(side->closed), "%s", why->text);
        if (side->free_when_closed)
                side->conn = conn_free(side->conn);
}

static void on_drained(void *arg)
{
        ((Side *)arg)->drained++;
}

static bool on_reserve(void *arg, size_t bytes UNUSED)
{
        return !((Side *)arg)->deny;
}

static const ConnHooks hooks = { on_frame, on_closed, on_drained, on_reserve, NULL };

static Loop *loop;
static Side a, b;

static void begin(void)
{
        int ends[2];

        a = b = (Side){ 0 };
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        a.conn = conn_new(loop, ends[0], &hooks, &a);
        b.conn = conn_new(loop, ends[1], &hooks, &b);
}

static void begin_real(void)
{
        loop = loop_new(NULL);
        begin();
}

static void end(void)
{
        conn_free(a.conn);
        conn_free(b.conn);
        loop = loop_free(loop);
}

static void settle(void)
{
        while (loop_turn(loop, 0, NULL) > 0)
                ;
}

static void send_text(Side *from, uint32_t serial, const char *text, const Fd *fds, size_t n_fds)
{
        FrameHeader header = { .program = 1, .version = 1, .procedure = 5, .serial = serial };
        AUTO(Buf) frame = { 0 };
        uint8_t count[4];

        frame_begin(&frame);
        if (n_fds) {
                header.type = FRAME_CALL_WITH_FDS;
                frame_put_word(count, (uint32_t)n_fds);
                buf_put(&frame, count, 4);
        }
        buf_put_text(&frame, text);
        conn_send(from->conn, &header, &frame, fds, n_fds);
}

TEST(frames_arrive_whole_and_in_order)
{
        AUTO(Buf) large = { 0 };

        begin_real();
        for (uint32_t i = 0; i < 100; i++)
                send_text(&a, i, "hello", NULL, 0);
        for (int i = 0; i < 1000000; i++)
                buf_put_char(&large, 'x');
        send_text(&a, 100, buf_text(&large), NULL, 0);
        settle();
        CHECK_INT(b.frames, 101);
        CHECK_INT(b.last_serial, 100);
        CHECK_INT(conn_queued(a.conn), 0);
        CHECK(a.drained > 0);
        end();
}

/* The end comes in the turn of the last frame, whether or not the peer still listens. */
TEST(an_end_that_comes_with_a_frame_is_noticed)
{
        for (int how = SHUT_WR; how <= SHUT_RDWR; how++) {
                begin_real();
                send_text(&a, 1, "the last", NULL, 0);
                CHECK_INT(shutdown(conn_fd(a.conn), how), 0);
                settle();
                CHECK_STR(b.last_payload, "the last");
                CHECK_STR(b.closed, "the peer closed the connection");
                end();
        }
}

TEST(what_comes_after_a_turn_without_a_rest_is_noticed)
{
        Fd fd = memfd_create("content", MFD_CLOEXEC);

        begin_real();
        CHECK_INT(write(fd, "hello", 5), 5);
        for (uint32_t serial = 1; serial <= 20; serial++) {
                Fd copy = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* the connection closes it */

                send_text(&a, serial, "before", NULL, 0);
                if (serial % 2)
                        settle();
                send_text(&a, serial, "with a descriptor", &copy, 1);
                send_text(&a, serial, "behind it", NULL, 0);
                settle();
                CHECK_INT(b.frames, serial * 3);
        }
        a.conn = conn_free(a.conn);
        settle();
        CHECK_STR(b.closed, "the peer closed the connection");
        fd_close(&fd);
        end();
}

TEST(descriptors_travel_behind_their_frame)
{
        Fd fds[2];

        begin_real();
        fds[0] = memfd_create("x", MFD_CLOEXEC);
        CHECK_INT(write(fds[0], "content", 7), 7);
        fds[1] = dup(fds[0]);
        send_text(&a, 1, "with", fds, 2);
        send_text(&a, 2, "without", NULL, 0);
        settle();
        CHECK_INT(b.frames, 2);
        CHECK_INT(b.fds, 2);
        CHECK_STR(b.fd_content, "content");
        CHECK_STR(b.last_payload, "without");
        CHECK_INT(fcntl(fds[0], F_GETFD), -1); /* they were given away */
        end();
}

TEST(a_paused_connection_delivers_nothing_until_resumed)
{
        begin_real();
        b.pause_after_each = true;
        for (uint32_t i = 0; i < 3; i++)
                send_text(&a, i, "x", NULL, 0);
        settle();
        CHECK_INT(b.frames, 1);
        conn_resume(b.conn);
        settle();
        CHECK_INT(b.frames, 2);
        conn_resume(b.conn);
        settle();
        CHECK_INT(b.frames, 3);
        end();
}

TEST(a_large_frame_waits_for_its_budget)
{
        AUTO(Buf) large = { 0 };

        begin_real();
        for (int i = 0; i < 300000; i++)
                buf_put_char(&large, 'x');
        b.deny = true;
        send_text(&a, 1, buf_text(&large), NULL, 0);
        settle();
        CHECK_INT(b.frames, 0);
        b.deny = false;
        conn_retry(b.conn);
        settle();
        CHECK_INT(b.frames, 1);
        end();
}

TEST(impossible_lengths_end_the_connection)
{
        static const struct {
                uint8_t bytes[8];
                const char *why;
        } cases[] = {
                { { 0, 0, 0, 27 }, "the peer sent a frame of impossible length" },
                { { 0, 0, 0, 0 }, "the peer sent a frame of impossible length" },
                { { 0x02, 0, 0, 5 }, "the peer sent a frame of impossible length" },
                { { 0xff, 0xff, 0xff, 0xff }, "the peer sent a frame of impossible length" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                begin_real();
                CHECK_INT(write(conn_fd(a.conn), cases[i].bytes, 8), 8);
                settle();
                CHECK_STR(b.closed, cases[i].why);
                end();
        }
}

TEST(descriptors_that_were_announced_must_come)
{
        uint8_t bytes[64] = { 0 };

        begin_real();
        frame_put_word(bytes, 32);
        frame_put_word(bytes + 16, FRAME_CALL_WITH_FDS);
        frame_put_word(bytes + 28, 1);
        CHECK_INT(write(conn_fd(a.conn), bytes, 33), 33);
        settle();
        CHECK_STR(b.closed, "the peer announced descriptors that did not come");
        end();

        begin_real();
        frame_put_word(bytes + 28, 33);
        CHECK_INT(write(conn_fd(a.conn), bytes, 64), 64);
        settle();
        CHECK_STR(b.closed, "the peer announced too many descriptors");
        end();
}

TEST(a_count_of_no_descriptors_is_not_the_beginning_of_the_payload)
{
        uint8_t bytes[36] = { 0 };

        begin_real();
        frame_put_word(bytes, sizeof(bytes));
        frame_put_word(bytes + 16, FRAME_CALL_WITH_FDS);
        memcpy(bytes + 32, "text", 4);
        CHECK_INT(write(conn_fd(a.conn), bytes, sizeof(bytes)), sizeof(bytes));
        settle();
        CHECK_INT(b.frames, 1);
        CHECK_STR(b.last_payload, "text");
        end();
}

TEST(the_owner_may_free_the_connection_in_its_hook)
{
        begin_real();
        b.free_in_hook = true;
        send_text(&a, 1, "x", NULL, 0);
        send_text(&a, 2, "x", NULL, 0);
        settle();
        CHECK_INT(b.frames, 1);
        CHECK_STR(a.closed, "the peer closed the connection");
        end();
}

TEST(a_peer_that_does_not_read_is_given_up)
{
        AUTO(Buf) large = { 0 };

        begin_real();
        for (int i = 0; i < 1000000; i++)
                buf_put_char(&large, 'x');
        conn_pause(b.conn);
        for (uint32_t i = 0; i < 8; i++)
                send_text(&a, i, buf_text(&large), NULL, 0);
        settle();
        CHECK_STR(a.closed, "the peer does not read what is sent to it");
        end();
}

TEST(closing_waits_until_all_is_sent)
{
        AUTO(Buf) large = { 0 };

        begin_real();
        for (int i = 0; i < 2000000; i++)
                buf_put_char(&large, 'x');
        send_text(&a, 7, buf_text(&large), NULL, 0);
        conn_close_when_sent(a.conn);
        CHECK_STR(a.closed, "");
        settle();
        CHECK_INT(b.frames, 1);
        CHECK_STR(a.closed, "closed by this side");
        CHECK_STR(b.closed, "the peer closed the connection");
        end();
}

TEST(a_close_from_a_hook_takes_effect_at_the_end_of_its_turn)
{
        begin_real();
        b.close_in_hook = b.free_when_closed = true;
        send_text(&a, 1, "the last", NULL, 0);
        send_text(&a, 2, "too late", NULL, 0);
        CHECK_INT(loop_turn(loop, 0, NULL), 1);
        CHECK_STR(b.closed, "closed by this side");
        CHECK(!b.conn);
        CHECK_INT(b.frames, 1);
        settle();
        CHECK(*a.closed);
        end();
}

TEST(what_was_there_before_the_connection_is_taken_up_at_once)
{
        for (int with_data = 0; with_data <= 1; with_data++) {
                begin_real();
                if (with_data)
                        send_text(&a, 1, "early", NULL, 0);
                conn_expect(b.conn);
                CHECK_INT(loop_turn(loop, 0, NULL), 1);
                CHECK_INT(b.frames, with_data);
                send_text(&a, 2, "later", NULL, 0);
                settle();
                CHECK_STR(b.last_payload, "later");
                a.conn = conn_free(a.conn);
                conn_expect(b.conn); /* the end is no frame, and no turn is lost on it */
                settle();
                CHECK_STR(b.closed, "the peer closed the connection");
                end();
        }
}

TEST(an_end_that_was_there_before_the_connection_is_noticed)
{
        begin_real();
        send_text(&a, 1, "the last", NULL, 0);
        a.conn = conn_free(a.conn);
        conn_expect(b.conn);
        settle();
        CHECK_STR(b.last_payload, "the last");
        CHECK_STR(b.closed, "the peer closed the connection");
        end();
}

TEST(silence_is_asked_about_and_then_ends_the_connection)
{
        loop = loop_new_fake(NULL);
        begin();
        conn_keepalive_start(a.conn, 5, 2);
        for (int i = 0; i < 6; i++) { /* the other side answers by itself, within the millisecond and for ever */
                loop_advance(loop, 5000);
                settle();
                CHECK_STR(a.closed, "");
        }
        conn_pause(b.conn);
        loop_advance(loop, 15000);
        settle();
        CHECK_STR(a.closed, "the peer does not answer keepalive requests");
        CHECK_INT(b.frames, 0); /* questions are not the owner's business */
        end();
}
