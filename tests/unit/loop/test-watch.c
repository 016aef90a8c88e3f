#include "test.h"

#include "base/str.h"
#include "loop/loop.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Pipe {
        int ends[2];
        int reads;
        Watch *watch;
} Pipe;

static void on_readable(void *arg, uint32_t revents)
{
        Pipe *p = arg;
        char c;

        CHECK(revents & (EPOLLIN | EPOLLHUP));
        p->reads++;
        if (read(p->ends[0], &c, 1) == 0)
                p->watch = watch_free(p->watch);
}

TEST(a_descriptor_has_a_turn_for_as_long_as_it_is_ready)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Pipe p = { 0 };

        CHECK_INT(pipe2(p.ends, O_CLOEXEC), 0);
        p.watch = watch_new(loop, p.ends[0], EPOLLIN, on_readable, &p);
        CHECK_INT(write(p.ends[1], "abc", 3), 3);
        for (int i = 1; i <= 3; i++) {
                CHECK_INT(loop_turn(loop, -1, NULL), 1);
                CHECK_INT(p.reads, i);
        }
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        watch_set_events(p.watch, 0);
        CHECK_INT(write(p.ends[1], "d", 1), 1);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        watch_set_events(p.watch, EPOLLIN);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(p.reads, 4);
        close(p.ends[1]);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK(!p.watch);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        close(p.ends[0]);
}

TEST(what_is_expected_has_a_turn_in_the_round_that_goes_on)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Pipe p = { 0 };
        uint64_t round = loop_round(loop);

        CHECK_INT(pipe2(p.ends, O_CLOEXEC), 0);
        p.watch = watch_new(loop, p.ends[0], EPOLLIN, on_readable, &p);
        CHECK_INT(write(p.ends[1], "ab", 2), 2);
        watch_expect(p.watch, EPOLLIN);
        watch_expect(p.watch, EPOLLIN); /* one turn all the same */
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(p.reads, 1);
        CHECK_INT(loop_round(loop) - round, 0);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(p.reads, 2);
        CHECK_INT(loop_round(loop) - round, 1);
        watch_expect(p.watch, EPOLLIN);
        p.watch = watch_free(p.watch);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        close(p.ends[0]);
        close(p.ends[1]);
}

typedef struct Pair {
        Loop *loop;
        int ends[2][2]; /* two pipes */
        Watch *watches[2], *late;
        int runs, late_runs;
        bool reuse;
} Pair;

static void on_late(void *arg, uint32_t revents UNUSED)
{
        ((Pair *)arg)->late_runs++;
}

/* Whoever of the two runs first frees both, closes their descriptors, and has other ones get the same numbers. */
static void end_both(void *arg, uint32_t revents UNUSED)
{
        Pair *pair = arg;
        int numbers[2] = { pair->ends[0][0], pair->ends[1][0] };

        pair->runs++;
        for (int i = 0; i < 2; i++) {
                pair->watches[i] = watch_free(pair->watches[i]);
                close(pair->ends[i][0]);
                close(pair->ends[i][1]);
        }
        if (pair->reuse) {
                int fresh[2];

                CHECK_INT(pipe2(fresh, O_CLOEXEC), 0);
                CHECK(fresh[0] == numbers[0] || fresh[0] == numbers[1]);
                memcpy(pair->ends[0], fresh, sizeof(fresh));
                pair->late = watch_new(pair->loop, fresh[0], EPOLLIN, on_late, pair);
        }
}

static void make_ready_pair(Pair *pair, void (*fn)(void *arg, uint32_t revents))
{
        for (int i = 0; i < 2; i++) {
                CHECK_INT(pipe2(pair->ends[i], O_CLOEXEC), 0);
                pair->watches[i] = watch_new(pair->loop, pair->ends[i][0], EPOLLIN, fn, pair);
                CHECK_INT(write(pair->ends[i][1], "x", 1), 1);
        }
}

TEST(a_watch_that_another_of_its_round_frees_does_not_run)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Pair pair = { .loop = loop };

        make_ready_pair(&pair, end_both);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK_INT(pair.runs, 1);
}

TEST(a_number_that_is_used_again_in_the_same_round_is_another_descriptor)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Pair pair = { .loop = loop, .reuse = true };

        make_ready_pair(&pair, end_both);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK_INT(pair.runs, 1);
        CHECK_INT(pair.late_runs, 0);
        CHECK_INT(write(pair.ends[0][1], "x", 1), 1);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(pair.late_runs, 1);
        watch_free(pair.late);
        close(pair.ends[0][0]);
        close(pair.ends[0][1]);
}

static void turn_other_off(void *arg, uint32_t revents UNUSED)
{
        Pair *pair = arg;

        pair->runs++;
        for (int i = 0; i < 2; i++)
                watch_set_events(pair->watches[i], 0);
}

TEST(what_a_watch_is_no_longer_for_is_not_told_and_is_told_when_it_is_again)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Pair pair = { .loop = loop };

        make_ready_pair(&pair, turn_other_off);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK_INT(pair.runs, 1);
        watch_set_events(pair.watches[1], EPOLLIN);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(pair.runs, 2);
        for (int i = 0; i < 2; i++) {
                watch_free(pair.watches[i]);
                close(pair.ends[i][0]);
                close(pair.ends[i][1]);
        }
}

enum { MANY = 300 }; /* more than one look brings */

typedef struct Crowd {
        int ends[MANY][2];
        Watch *watches[MANY];
        int turns[MANY];
} Crowd;

static Crowd crowd;

static void on_one(void *arg, uint32_t revents UNUSED)
{
        ++*(int *)arg;
}

TEST(of_many_descriptors_that_are_always_ready_none_is_left_out)
{
        AUTO(Loop) *loop = loop_new(NULL);
        int least = MANY * 4, most = 0;

        memset(&crowd, 0, sizeof(crowd));
        for (int i = 0; i < MANY; i++) {
                CHECK_INT(pipe2(crowd.ends[i], O_CLOEXEC), 0);
                CHECK_INT(write(crowd.ends[i][1], "x", 1), 1);
                crowd.watches[i] = watch_new(loop, crowd.ends[i][0], EPOLLIN, on_one, &crowd.turns[i]);
        }
        for (int i = 0; i < MANY * 4; i++)
                CHECK_INT(loop_turn(loop, -1, NULL), 1);
        for (int i = 0; i < MANY; i++) {
                least = crowd.turns[i] < least ? crowd.turns[i] : least;
                most = crowd.turns[i] > most ? crowd.turns[i] : most;
                watch_free(crowd.watches[i]);
                close(crowd.ends[i][0]);
                close(crowd.ends[i][1]);
        }
        CHECK(least >= 3);
        CHECK(most <= 5);
}

typedef struct Stream {
        int ends[2];
        Watch *watch;
        bool drains;
        int reads;
        uint32_t revents;
} Stream;

static void on_stream(void *arg, uint32_t revents)
{
        Stream *stream = arg;
        char byte;

        stream->reads++;
        stream->revents = revents;
        CHECK_INT(read(stream->ends[0], &byte, 1), 1);
        if (stream->drains)
                watch_drained(stream->watch);
}

TEST(a_drained_descriptor_is_told_what_comes_next_and_one_that_is_not_keeps_its_turns)
{
        AUTO(Loop) *loop = loop_new(NULL);
        Stream stream = { 0 };

        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream.ends), 0);
        stream.watch = watch_new(loop, stream.ends[0], EPOLLIN | EPOLLRDHUP | EPOLLET, on_stream, &stream);
        CHECK_INT(write(stream.ends[1], "ab", 2), 2);
        CHECK_INT(loop_turn(loop, -1, NULL), 1); /* one byte is left and nothing was said of it */
        stream.drains = true;
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK_INT(write(stream.ends[1], "cd", 2), 2);
        CHECK_INT(loop_turn(loop, -1, NULL),
                  1); /* a byte is left, but it was called drained: the kernel is believed */
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        CHECK_INT(write(stream.ends[1], "e", 1), 1);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(stream.reads, 4);
        close(stream.ends[1]);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK(stream.revents & EPOLLRDHUP);
        watch_free(stream.watch);
        close(stream.ends[0]);
}

TEST(a_hang_up_is_told_also_to_who_asked_for_nothing)
{
        AUTO(Loop) *loop = loop_new(NULL);
        int ends[2], turns = 0;
        Watch *watch;

        CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
        watch = watch_new(loop, ends[0], 0, on_one, &turns);
        CHECK_INT(write(ends[1], "x", 1), 1);
        CHECK_INT(loop_turn(loop, 0, NULL), 0);
        close(ends[1]);
        CHECK_INT(loop_turn(loop, -1, NULL), 1);
        CHECK_INT(turns, 1);
        watch_free(watch);
        close(ends[0]);
}
