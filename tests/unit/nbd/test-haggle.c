#include "memory-channel.h"
#include "talk.h"
#include "test.h"

#include "base/str.h"

static NbdHaggled how;

static int haggle(Talk *talk)
{
        talk->session.channel = memory_channel_new(talk->said.data, talk->said.len, &talk->sent);
        return nbd_haggle(&talk->session, &how, NULL);
}

static void greet(Talk *talk)
{
        talk_begin(talk, false);
        say32(talk, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
}

static void greeted(Talk *talk)
{
        CHECK(heard(talk, 8) == NBD_MAGIC);
        CHECK(heard(talk, 8) == NBD_OPTION_MAGIC);
        CHECK_INT(heard(talk, 2), NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
}

/* The head of an answer: its type, and how long it is. */
static uint32_t answered(Talk *talk, uint32_t option, uint32_t *length)
{
        uint32_t type;

        CHECK(heard(talk, 8) == NBD_REPLY_MAGIC);
        CHECK_INT(heard(talk, 4), option);
        type = (uint32_t)heard(talk, 4);
        *length = (uint32_t)heard(talk, 4);
        return type;
}

/* An answer of this type; what it holds is passed over. */
static void expect(Talk *talk, uint32_t option, uint32_t type)
{
        uint32_t length;

        CHECK_INT(answered(talk, option, &length), type);
        talk->read += length;
}

static void say_go(Talk *talk, const char *name)
{
        say_option(talk, NBD_OPT_GO, (uint32_t)(6 + strlen(name)));
        say_text(talk, name);
        say16(talk, 0);
}

TEST(go_gives_sizes_and_ends_the_haggling)
{
        Talk talk;
        uint32_t length;

        greet(&talk);
        say_go(&talk, "x");
        CHECK_INT(haggle(&talk), 0);
        CHECK_INT(how, NBD_READY);
        greeted(&talk);
        CHECK_INT(answered(&talk, NBD_OPT_GO, &length), NBD_REP_INFO);
        CHECK_INT(heard(&talk, 2), NBD_INFO_BLOCK_SIZE);
        CHECK_INT(heard(&talk, 4), 1);
        CHECK_INT(heard(&talk, 4), 4096);
        CHECK_INT(heard(&talk, 4), NBD_MOST_PAYLOAD);
        CHECK_INT(answered(&talk, NBD_OPT_GO, &length), NBD_REP_INFO);
        CHECK_INT(heard(&talk, 2), NBD_INFO_EXPORT);
        CHECK_INT(heard(&talk, 8), TALK_DISK);
        CHECK_INT(heard(&talk, 2), talk.export.flags);
        expect(&talk, NBD_OPT_GO, NBD_REP_ACK);
        CHECK_INT(talk.read, talk.sent.len);
        talk_end(&talk);
}

TEST(a_name_that_is_not_there_is_answered_and_another_may_follow)
{
        Talk talk;

        greet(&talk);
        say_go(&talk, "y");
        say_option(&talk, NBD_OPT_LIST, 0);
        say_option(&talk, 77, 3);
        buf_put(&talk.said, "abc", 3);
        say_option(&talk, NBD_OPT_ABORT, 0);
        CHECK_INT(haggle(&talk), 0);
        CHECK_INT(how, NBD_GONE);
        greeted(&talk);
        expect(&talk, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN);
        expect(&talk, NBD_OPT_LIST, NBD_REP_SERVER);
        expect(&talk, NBD_OPT_LIST, NBD_REP_ACK);
        expect(&talk, 77, NBD_REP_ERR_UNSUP);
        expect(&talk, NBD_OPT_ABORT, NBD_REP_ACK);
        talk_end(&talk);
}

TEST(the_old_way_to_begin_has_zeroes_behind_unless_both_do_without)
{
        for (unsigned i = 0; i < 2; i++) {
                Talk talk;

                talk_begin(&talk, true);
                say32(&talk, i ? NBD_FIXED_NEWSTYLE : NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
                say_option(&talk, NBD_OPT_EXPORT_NAME, 1);
                buf_put(&talk.said, "x", 1);
                CHECK_INT(haggle(&talk), 0);
                greeted(&talk);
                CHECK_INT(heard(&talk, 8), TALK_DISK);
                CHECK(heard(&talk, 2) & NBD_READ_ONLY);
                CHECK_INT(talk.sent.len - talk.read, i ? 124 : 0);
                talk_end(&talk);
        }
}

TEST(contexts_need_structured_replies_and_are_chosen_anew_each_time)
{
        Talk talk;
        uint32_t length;

        greet(&talk);
        for (unsigned i = 0; i < 2; i++) {
                say_option(&talk, NBD_OPT_SET_META_CONTEXT, 5 + 4 + 4 + 15);
                say_text(&talk, "x");
                say32(&talk, 1);
                say_text(&talk, "base:allocation");
                if (i == 0)
                        say_option(&talk, NBD_OPT_STRUCTURED_REPLY, 0);
        }
        say_option(&talk, NBD_OPT_LIST_META_CONTEXT, 5 + 4);
        say_text(&talk, "x");
        say32(&talk, 0);
        say_option(&talk, NBD_OPT_SET_META_CONTEXT, 5 + 4);
        say_text(&talk, "x");
        say32(&talk, 0);
        say_go(&talk, "x");
        CHECK_INT(haggle(&talk), 0);
        greeted(&talk);
        expect(&talk, NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_INVALID);
        expect(&talk, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
        CHECK_INT(answered(&talk, NBD_OPT_SET_META_CONTEXT, &length), NBD_REP_META_CONTEXT);
        CHECK_INT(heard(&talk, 4), NBD_CONTEXT_ALLOCATION);
        CHECK_INT(length, 4 + 15);
        CHECK_MEM(talk.sent.data + talk.read, "base:allocation", 15);
        talk.read += 15;
        expect(&talk, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK);
        expect(&talk, NBD_OPT_LIST_META_CONTEXT, NBD_REP_META_CONTEXT);
        expect(&talk, NBD_OPT_LIST_META_CONTEXT, NBD_REP_ACK);
        expect(&talk, NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK);
        CHECK_INT(talk.session.contexts, 0);
        CHECK(talk.session.structured);
        talk_end(&talk);
}

static int pretend_tls(void *arg, NbdChannel **channel, Error *err)
{
        (void)arg, (void)channel, (void)err;
        return 0;
}

TEST(nothing_is_said_in_the_clear_when_tls_is_required)
{
        Talk talk;

        greet(&talk);
        talk.session.start_tls = pretend_tls;
        say_option(&talk, NBD_OPT_LIST, 0);
        say_go(&talk, "x");
        say_option(&talk, NBD_OPT_STRUCTURED_REPLY, 0);
        say_option(&talk, NBD_OPT_EXPORT_NAME, 1);
        buf_put(&talk.said, "x", 1);
        CHECK_INT(haggle(&talk), -1);
        greeted(&talk);
        expect(&talk, NBD_OPT_LIST, NBD_REP_ERR_TLS_REQD);
        expect(&talk, NBD_OPT_GO, NBD_REP_ERR_TLS_REQD);
        expect(&talk, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_TLS_REQD);
        CHECK_INT(talk.read, talk.sent.len);
        talk_end(&talk);
}

/* Somebody between the two could have put it in. */
TEST(what_was_agreed_on_in_the_clear_is_void_after_starttls)
{
        Talk talk;

        greet(&talk);
        talk.session.start_tls = pretend_tls;
        talk.session.structured = true;
        talk.session.contexts = 1;
        say_option(&talk, NBD_OPT_STARTTLS, 0);
        say_option(&talk, NBD_OPT_STARTTLS, 0);
        say_go(&talk, "x");
        CHECK_INT(haggle(&talk), 0);
        CHECK(talk.session.encrypted);
        CHECK(!talk.session.structured);
        CHECK_INT(talk.session.contexts, 0);
        greeted(&talk);
        expect(&talk, NBD_OPT_STARTTLS, NBD_REP_ACK);
        expect(&talk, NBD_OPT_STARTTLS, NBD_REP_ERR_INVALID);
        talk_end(&talk);
}

TEST(data_that_does_not_fit_its_option_is_refused)
{
        Talk talk;

        greet(&talk);
        say_option(&talk, NBD_OPT_LIST, 1);
        buf_put(&talk.said, "x", 1);
        say_option(&talk, NBD_OPT_GO, 4);
        say32(&talk, 100); /* a name longer than the option */
        say_option(&talk, NBD_OPT_INFO, 8);
        say32(&talk, 0);
        say16(&talk, 2); /* two kinds, one given */
        say16(&talk, 0);
        say_option(&talk, NBD_OPT_STARTTLS, 0);
        say_option(&talk, NBD_OPT_GO, 1U << 30);
        CHECK_INT(haggle(&talk), -1);
        greeted(&talk);
        expect(&talk, NBD_OPT_LIST, NBD_REP_ERR_INVALID);
        expect(&talk, NBD_OPT_GO, NBD_REP_ERR_INVALID);
        expect(&talk, NBD_OPT_INFO, NBD_REP_ERR_INVALID);
        expect(&talk, NBD_OPT_STARTTLS, NBD_REP_ERR_UNSUP);
        CHECK_INT(talk.read, talk.sent.len);
        talk_end(&talk);
}
