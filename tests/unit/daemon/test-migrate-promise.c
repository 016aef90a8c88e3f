#include "test.h"

#include "daemon/migrate-promise.h"

static const uint64_t MIB = 1 << 20;

static bool explain(const Promise *p, uint64_t paused_ms, uint64_t sent_mib, Buf *text)
{
        buf_clear(text);
        return promise_explain(p, paused_ms, sent_mib * MIB, text);
}

TEST(a_pause_is_what_was_announced_or_told_with_the_reason)
{
        Promise p = { .pause_ms = 10000, .left = 1000 * MIB, .bytes_per_s = 105 * MIB };
        AUTO(Buf) text = { 0 };

        CHECK(explain(&p, 10000, 1000, &text));
        CHECK_STR(buf_text(&text), ", at most 10000 ms were announced");
        CHECK(!explain(&p, 11500, 1020, &text));
        CHECK_STR(buf_text(&text), ", 1500 ms longer than the 10000 ms that were announced: "
                                   "the other host took 88 MiB/s in the end and not 105");
        CHECK(!explain(&p, 11500, 1200, &text));
        CHECK_STR(buf_text(&text), ", 1500 ms longer than the 10000 ms that were announced: "
                                   "1200 MiB had to be sent and not 1000, because it wrote on until it stopped");
        CHECK(!explain(&p, 11500, 0, &text));
        CHECK_STR(buf_text(&text), ", 1500 ms longer than the 10000 ms that were announced: "
                                   "what was sent meanwhile is not known");
        p.allowed = true;
        CHECK(explain(&p, 9999, 0, &text));
        CHECK_STR(buf_text(&text), ", at most 10000 ms were allowed");
}

TEST(where_nothing_was_promised_nothing_is_said)
{
        AUTO(Buf) text = { 0 };

        CHECK(explain(&(Promise){ 0 }, 100000, 5, &text));
        CHECK_STR(buf_text(&text), "");
}
