#include "test.h"

#include "base/str.h"
#include "qemu/agent-reader.h"

/* Feed data in pieces of this size; the lines come back joined by '|'. */
static char *lines_of(const char *data, size_t n, size_t piece, bool await)
{
        AUTO(AgentReader) reader = { 0 };
        Buf lines = { 0 };

        if (await)
                agent_reader_await_marker(&reader);
        for (size_t at = 0; at < n; at += piece) {
                const char *next = data + at, *line;
                size_t left = MIN(piece, n - at);

                while (agent_reader_next(&reader, &next, &left, &line, NULL) > 0)
                        buf_format(&lines, "%s|", line);
                CHECK_INT(left, 0);
        }
        return buf_take(&lines);
}

TEST(lines_are_the_same_however_they_arrive)
{
        static const struct {
                const char *data, *lines;
                bool await;
        } cases[] = {
                { "one\ntwo\n", "one|two|", false },
                { "one\ntwo\n", "", true },
                { "old\xffnew\n", "new|", false },
                { "old\n\xffnew\nnext\n", "new|next|", true },
                { "a\xff"
                  "b\xff\xff"
                  "c\nd",
                  "c|", true },
                { "\n\n", "||", false },
                { "half", "", false },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                for (size_t piece = 1; piece <= 12; piece++) {
                        AUTOFREE char *lines = lines_of(cases[i].data, strlen(cases[i].data), piece, cases[i].await);

                        CHECK_STR(lines ?: "", cases[i].lines);
                }
        }
}

TEST(a_line_that_is_too_long_is_dropped_up_to_the_next_marker)
{
        AUTO(AgentReader) reader = { 0 };
        AUTO(Error) err = { 0 };
        size_t size = AGENT_MOST_BYTES + 1, n = size, m = 8;
        AUTOFREE char *data = malloc(size);
        const char *next = data, *more = "x\n\xffok\n\n", *line;

        memset(data, 'a', size);
        CHECK_INT(agent_reader_next(&reader, &next, &n, &line, &err), -1);
        CHECK_STR(err.text, "the guest agent sent a line of more than 10485760 bytes");
        CHECK_INT(agent_reader_next(&reader, &more, &m, &line, &err), 1);
        CHECK_STR(line, "ok");
        CHECK_INT(reader.line.len, 2);
}
