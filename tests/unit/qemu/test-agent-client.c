#include "test.h"

#include "base/str.h"
#include "qemu/agent-commands.h"
#include "qemu/agent-reader.h"

#include <sys/socket.h>
#include <unistd.h>

/* Both ends of a channel: the client under test, and the agent played by the test. */
typedef struct Pair {
        Loop *loop;
        AgentClient *agent;
        int own, peer;
        char trace[2048];
        bool free_in_done;
} Pair;

static void note(Pair *pair, const char *text)
{
        strncat(pair->trace, text, sizeof(pair->trace) - strlen(pair->trace) - 1);
        strncat(pair->trace, ";", sizeof(pair->trace) - strlen(pair->trace) - 1);
}

static void on_closed(void *arg, const Error *why)
{
        note(arg, "closed");
        note(arg, why->text);
}

static void setup_with(Pair *pair, const AgentOptions *options)
{
        int ends[2];

        *pair = (Pair){ .loop = loop_new_fake(NULL) };
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        pair->own = ends[0];
        pair->peer = ends[1];
        pair->agent = agent_client_new(pair->loop, ends[0], options, on_closed, pair);
}

static void setup(Pair *pair)
{
        setup_with(pair, &(AgentOptions){ .first_id = 1 });
}

static void teardown(Pair *pair)
{
        agent_client_free(pair->agent);
        if (pair->peer >= 0)
                close(pair->peer);
        loop_free(pair->loop);
}

static void turn(Pair *pair)
{
        while (loop_turn(pair->loop, 0, NULL) > 0)
                ;
}

static void say_bytes(Pair *pair, const void *bytes, size_t n)
{
        CHECK_INT(send(pair->peer, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
        turn(pair);
}

static void say(Pair *pair, const char *text)
{
        say_bytes(pair, text, strlen(text));
}

static const char *hear(Pair *pair)
{
        static char text[4096];
        ssize_t n = recv(pair->peer, text, sizeof(text) - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        return text;
}

#define SYNC(id) "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":" #id "}}\n"

/* The agent answers the synchronisation with this number, and the command is heard. */
static const char *synced(Pair *pair, int id)
{
        AUTOFREE char *reply = str_format("\xff{\"return\": %d}\n", id);

        hear(pair);
        say(pair, reply);
        return hear(pair);
}

static void done(void *arg, const Error *failure)
{
        Pair *pair = arg;

        note(pair, failure ? failure->text : "done");
        if (pair->free_in_done)
                pair->agent = agent_client_free(pair->agent);
}

static void got_time(void *arg, int64_t ns, const Error *failure)
{
        AUTOFREE char *text = str_format("%lld", (long long)ns);

        note(arg, failure ? failure->text : text);
}

TEST(the_request_of_the_document_goes_out_byte_for_byte)
{
        /* GA-07, GA-10, CON-36: 0xFF, then the 61 bytes; GA-11: the 20 bytes of the answer; GA-14: the spelling */
        static const uint8_t request[] = {
                0xff, 0x7b, 0x27, 0x65, 0x78, 0x65, 0x63, 0x75, 0x74, 0x65, 0x27, 0x3a, 0x27, 0x67, 0x75, 0x65,
                0x73, 0x74, 0x2d, 0x73, 0x79, 0x6e, 0x63, 0x2d, 0x64, 0x65, 0x6c, 0x69, 0x6d, 0x69, 0x74, 0x65,
                0x64, 0x27, 0x2c, 0x27, 0x61, 0x72, 0x67, 0x75, 0x6d, 0x65, 0x6e, 0x74, 0x73, 0x27, 0x3a, 0x7b,
                0x27, 0x69, 0x64, 0x27, 0x3a, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x7d, 0x7d, 0x0a,
        };
        static const uint8_t reply[] = {
                0xff, 0x7b, 0x22, 0x72, 0x65, 0x74, 0x75, 0x72, 0x6e, 0x22,
                0x3a, 0x20, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x7d, 0x0a,
        };
        uint8_t heard[128];
        Pair pair;

        setup_with(&pair, &(AgentOptions){ .first_id = 123456, .single_quotes = true });
        agent_ping(pair.agent, done, &pair);
        CHECK_INT(sizeof(request), 62);
        CHECK_INT(recv(pair.peer, heard, sizeof(heard), 0), sizeof(request));
        CHECK_MEM(heard, request, sizeof(request));
        CHECK_INT(sizeof(reply), 20);
        say_bytes(&pair, reply, sizeof(reply));
        CHECK_STR(hear(&pair), "{\"execute\":\"guest-ping\"}\n");
        say(&pair, "{\"return\": {}}\n");
        CHECK_STR(pair.trace, "done;");
        teardown(&pair);
}

/* GA-02, GA-13, GA-14: always the delimited form. */
TEST(each_command_is_sent_after_a_synchronisation_of_its_own)
{
        Pair pair;

        setup(&pair);
        agent_get_time(pair.agent, got_time, &pair);
        agent_ping(pair.agent, done, &pair);
        CHECK_STR(hear(&pair), SYNC(1));
        say(&pair, "\xff{\"return\": 1}\n");
        CHECK_STR(hear(&pair), "{\"execute\":\"guest-get-time\"}\n");
        CHECK_STR(hear(&pair), "");
        say(&pair, "{\"return\": 1700000000000000000}\n");
        CHECK_STR(pair.trace, "1700000000000000000;");
        CHECK_STR(hear(&pair), SYNC(2));
        say(&pair, "\xff{\"return\": 2}\n");
        CHECK_STR(hear(&pair), "{\"execute\":\"guest-ping\"}\n");
        say(&pair, "{\"return\": {}}\n");
        CHECK_STR(pair.trace, "1700000000000000000;done;");
        teardown(&pair);
}

TEST(an_agent_that_ignores_two_synchronisations_is_met_at_the_third)
{
        Pair pair;

        setup(&pair);
        agent_ping(pair.agent, done, &pair);
        CHECK_STR(hear(&pair), SYNC(1));
        loop_advance(pair.loop, AGENT_RETRY_MS);
        CHECK_STR(hear(&pair), SYNC(2));
        loop_advance(pair.loop, AGENT_RETRY_MS);
        CHECK_STR(hear(&pair), SYNC(3));
        /* GA-05, GA-06: the answers to the older ones come late and do not count */
        say(&pair, "\xff{\"return\": 1}\n\xff{\"return\": 2}\n");
        CHECK_STR(hear(&pair), "");
        say(&pair, "\xff{\"return\": 3}\n");
        CHECK_STR(hear(&pair), "{\"execute\":\"guest-ping\"}\n");
        teardown(&pair);
}

TEST(what_comes_before_the_marker_is_dropped)
{
        Pair pair;

        setup(&pair);
        agent_ping(pair.agent, done, &pair);
        /* GA-09: half an old answer, an error about half a request, then the answer in three pieces */
        say(&pair, "{\"return\": {\"half\"");
        say(&pair, "\n{\"error\": {\"class\": \"GenericError\", \"desc\": \"parse error\"}}\n{\"return\": 1}\n");
        CHECK_STR(hear(&pair), SYNC(1));
        CHECK_STR(hear(&pair), "");
        say(&pair, "{\"ret\xff\xff{\"ret");
        say(&pair, "urn\": ");
        say(&pair, "1}\n");
        CHECK_STR(hear(&pair), "{\"execute\":\"guest-ping\"}\n");
        /* GA-08: the same while the answer is read */
        say(&pair, "{\"return\": [\xff{\"return\": {}}\n");
        CHECK_STR(pair.trace, "done;");
        teardown(&pair);
}

/* GA-03 */
TEST(a_silent_agent_fails_the_call_and_the_next_one_starts_anew)
{
        Pair pair;

        setup(&pair);
        agent_ping(pair.agent, done, &pair);
        loop_advance(pair.loop, AGENT_SYNC_MS - 1);
        CHECK_STR(pair.trace, "");
        loop_advance(pair.loop, 1);
        CHECK_STR(pair.trace, "the guest agent does not answer; is it running in the guest?;");
        hear(&pair);
        pair.trace[0] = '\0';
        agent_client_set_sync_ms(pair.agent, 300);
        agent_ping(pair.agent, done, &pair);
        loop_advance(pair.loop, 300);
        CHECK_STR(pair.trace, "the guest agent does not answer; is it running in the guest?;");
        teardown(&pair);
}

TEST(a_command_that_is_not_answered_in_time_has_an_unknown_outcome)
{
        Pair pair;

        setup(&pair);
        agent_ping(pair.agent, done, &pair);
        CHECK_STR(synced(&pair, 1), "{\"execute\":\"guest-ping\"}\n");
        loop_advance(pair.loop, AGENT_DEADLINE_MS);
        CHECK_STR(pair.trace, "the guest agent did not answer 'guest-ping' in time; its outcome is unknown;");
        pair.trace[0] = '\0';
        agent_client_set_answer_ms(pair.agent, 0);
        /* its answer comes late, before the answer to the next synchronisation, and belongs to nobody */
        agent_get_time(pair.agent, got_time, &pair);
        CHECK_STR(hear(&pair), SYNC(2));
        say(&pair, "{\"return\": {}}\n\xff{\"return\": 2}\n");
        CHECK_STR(hear(&pair), "{\"execute\":\"guest-get-time\"}\n");
        say(&pair, "{\"return\": 5}\n");
        CHECK_STR(pair.trace, "5;");
        teardown(&pair);
}

TEST(a_refusal_reaches_the_caller_fit_for_a_terminal)
{
        static const struct {
                const char *reply;
                ErrCode code;
                const char *text;
        } cases[] = {
                { "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\\u001b[2Jway\\n\"}}\n",
                  ERR_AGENT_COMMAND_FAILED, "the guest agent refused 'guest-ping': no [2Jway " },
                { "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"unknown\"}}\n", ERR_OPERATION_UNSUPPORTED,
                  "the guest agent refused 'guest-ping': unknown" },
                { "{\"error\": 7}\n", ERR_AGENT_COMMAND_FAILED,
                  "the guest agent refused 'guest-ping': no reason given" },
                { "?!\n", ERR_AGENT_COMMAND_FAILED,
                  "the guest agent's answer to 'guest-ping' cannot be used: not JSON: unexpected character" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                Pair pair;

                setup(&pair);
                agent_ping(pair.agent, done, &pair);
                synced(&pair, 1);
                say(&pair, cases[i].reply);
                pair.trace[strlen(pair.trace) - 1] = '\0';
                CHECK_STR(pair.trace, cases[i].text);
                teardown(&pair);
        }
}

TEST(a_closed_port_fails_calls_before_and_after)
{
        Pair pair;

        setup(&pair);
        agent_ping(pair.agent, done, &pair);
        agent_get_time(pair.agent, got_time, &pair);
        synced(&pair, 1);
        agent_client_set_port(pair.agent, false);
        CHECK_STR(pair.trace, "the guest agent is not connected before 'guest-ping' was answered; its outcome is "
                              "unknown;the guest agent is not connected;");
        pair.trace[0] = '\0';
        agent_ping(pair.agent, done, &pair);
        CHECK_STR(pair.trace, "");
        turn(&pair);
        CHECK_STR(pair.trace, "the guest agent is not connected;");
        pair.trace[0] = '\0';
        agent_client_set_port(pair.agent, true);
        agent_ping(pair.agent, done, &pair);
        CHECK_STR(synced(&pair, 2), "{\"execute\":\"guest-ping\"}\n");
        teardown(&pair);
}

TEST(a_quiet_command_succeeds_when_the_guest_goes)
{
        static const char *const ways[] = { "went", "closed", "late" };

        for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
                Pair pair;

                setup(&pair);
                agent_shutdown(pair.agent, &(AgentGuestShutdown){ .mode = "reboot" }, done, &pair);
                CHECK_STR(synced(&pair, 1), "{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"reboot\"}}\n");
                if (str_eq(ways[i], "went"))
                        agent_client_guest_went(pair.agent);
                else if (str_eq(ways[i], "closed"))
                        agent_client_set_port(pair.agent, false);
                else
                        loop_advance(pair.loop, AGENT_DEADLINE_MS);
                CHECK_STR(pair.trace, "done;");
                teardown(&pair);
        }
}

TEST(a_quiet_command_can_be_refused)
{
        Pair pair;

        setup(&pair);
        agent_suspend_ram(pair.agent, done, &pair);
        synced(&pair, 1);
        say(&pair, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no sleep\"}}\n");
        CHECK_STR(pair.trace, "the guest agent refused 'guest-suspend-ram': no sleep;");
        teardown(&pair);
}

TEST(a_line_without_end_is_bounded)
{
        static char data[64 << 10];
        Pair pair;

        setup(&pair);
        agent_ping(pair.agent, done, &pair);
        synced(&pair, 1);
        memset(data, ' ', sizeof(data));
        for (size_t sent = 0; sent <= AGENT_MOST_BYTES && !pair.trace[0]; sent += sizeof(data))
                say_bytes(&pair, data, sizeof(data));
        CHECK_STR(pair.trace, "the guest agent sent a line of more than 10485760 bytes;");
        teardown(&pair);
}

TEST(an_answer_of_too_many_lists_is_refused)
{
        AUTOFREE char *reply = malloc(300000);
        Pair pair;

        strcpy(reply, "{\"return\":[");
        for (size_t i = 0; i < 70000; i++)
                strcpy(reply + 11 + i * 3, "[],");
        strcpy(reply + 11 + 69999 * 3, "[]]}\n");
        setup(&pair);
        agent_ping(pair.agent, done, &pair);
        synced(&pair, 1);
        for (size_t at = 0, len = strlen(reply); at < len; at += 50000)
                say_bytes(&pair, reply + at, MIN(len - at, 50000));
        CHECK_STR(pair.trace, "the guest agent's answer to 'guest-ping' cannot be used: it has more than 65536 lists "
                              "and objects;");
        teardown(&pair);
}

static void got_text(void *arg, const char *reply, const Error *failure)
{
        note(arg, failure ? failure->text : reply);
}

TEST(a_command_of_the_user_passes_through)
{
        AUTO(Error) err = { 0 };
        Pair pair;

        setup(&pair);
        CHECK_NULL(agent_raw(pair.agent, "{\"no\": 1}", got_text, &pair, &err));
        CHECK_STR(err.text, "a guest agent command is an object with the member \"execute\"");
        agent_raw(pair.agent, "{\"execute\": \"guest-exec\", \"arguments\": {\"path\": \"/x\"}}", got_text, &pair,
                  &err);
        CHECK_STR(synced(&pair, 1), "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"/x\"}}\n");
        say(&pair, "{\"return\": {\"pid\": 7}}\n");
        CHECK_STR(pair.trace, "{\"return\":{\"pid\":7}};");
        teardown(&pair);
}

TEST(a_freed_call_makes_room_for_the_next)
{
        AgentCall *call;
        Pair pair;

        setup(&pair);
        call = agent_ping(pair.agent, done, &pair);
        agent_get_time(pair.agent, got_time, &pair);
        CHECK_STR(synced(&pair, 1), "{\"execute\":\"guest-ping\"}\n");
        agent_call_free(call);
        CHECK_STR(hear(&pair), SYNC(2));
        say(&pair, "{\"return\": {}}\n\xff{\"return\": 2}\n{\"return\": 9}\n");
        CHECK_STR(pair.trace, "9;");
        teardown(&pair);
}

TEST(the_client_may_be_freed_by_the_one_it_answers)
{
        Pair pair;

        setup(&pair);
        pair.free_in_done = true;
        agent_ping(pair.agent, done, &pair);
        agent_get_time(pair.agent, got_time, &pair);
        synced(&pair, 1);
        say(&pair, "{\"return\": {}}\n");
        CHECK_STR(pair.trace, "done;");
        teardown(&pair);
}

TEST(the_end_of_the_channel_ends_all_calls_and_is_told_once)
{
        Pair pair;

        setup(&pair);
        agent_ping(pair.agent, done, &pair);
        close(pair.peer);
        pair.peer = -1;
        turn(&pair);
        CHECK_STR(pair.trace, "QEMU closed the guest agent's channel;closed;QEMU closed the guest agent's channel;");
        CHECK(!agent_client_is_open(pair.agent));
        teardown(&pair);
}

/* All that has arrived; a static buffer. */
static const char *drain(Pair *pair)
{
        static char all[64 << 10];
        size_t len = 0;
        ssize_t n;

        while ((n = recv(pair->peer, all + len, sizeof(all) - 1 - len, 0)) > 0) {
                len += (size_t)n;
                turn(pair);
        }
        all[len] = '\0';
        return all;
}

TEST(a_channel_that_takes_nothing_is_not_filled)
{
        enum { RETRIES = 500 };
        int small = 1, heard = 0;
        unsigned long id = 0;
        Pair pair;

        /* GA-04: the agent was there once, does not read, and the channel is throttled */
        setup(&pair);
        setsockopt(pair.own, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        agent_client_set_sync_ms(pair.agent, 2 * RETRIES * AGENT_RETRY_MS);
        agent_call_set_deadline(agent_ping(pair.agent, done, &pair), 0);
        for (int i = 0; i < RETRIES; i++)
                loop_advance(pair.loop, AGENT_RETRY_MS);
        for (const char *at = drain(&pair); (at = strstr(at, "\"id\":")); at += 5) {
                id = strtoul(at + 5, NULL, 10);
                heard++;
        }
        CHECK(heard > 1 && heard < RETRIES / 2);
        CHECK_INT(heard, id);
        CHECK_STR(synced(&pair, (int)id), "{\"execute\":\"guest-ping\"}\n");
        teardown(&pair);
}
