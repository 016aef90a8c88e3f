/*
 * qemu/agent-reader.c - cut what a guest agent sends into lines
 */
#include "qemu/agent-reader.h"

#include "base/str.h"
#include "qemu/qmp-json.h"

#include <string.h>

enum {
        MOST_CONTAINERS = 64 << 10, /* json-c spends 350 bytes on an empty array: bound them apart from bytes */
        MOST_REASON = 512,
};

static const int marker = 0xff;

void agent_reader_await_marker(AgentReader *reader)
{
        buf_clear(&reader->line);
        reader->given = false;
        reader->drops = true;
}

static void advance(const char **data, size_t *n, size_t by)
{
        *data += by;
        *n -= by;
}

int agent_reader_next(AgentReader *reader, const char **data, size_t *n, const char **ret, Error *err)
{
        if (reader->given)
                buf_clear(&reader->line);
        reader->given = false;
        while (*n > 0) {
                const char *end = memchr(*data, '\n', *n);
                size_t len = end ? (size_t)(end - *data) : *n;
                const char *mark = memrchr(*data, marker, len);

                if (mark) {
                        advance(data, n, (size_t)(mark - *data) + 1);
                        buf_clear(&reader->line);
                        reader->drops = false;
                        continue;
                }
                if (!reader->drops && reader->line.len + len > AGENT_MOST_BYTES) {
                        agent_reader_await_marker(reader);
                        return err_set(err, ERR_AGENT_COMMAND_FAILED,
                                       "the guest agent sent a line of more than %d bytes", AGENT_MOST_BYTES);
                }
                if (!reader->drops)
                        buf_put(&reader->line, *data, len);
                advance(data, n, end ? len + 1 : len);
                if (end && !reader->drops) {
                        reader->given = true;
                        *ret = buf_text(&reader->line);
                        return 1;
                }
        }
        return 0;
}

void agent_reader_done(AgentReader *reader)
{
        buf_done(&reader->line);
}

static int count_containers(const char *line, Error *err)
{
        size_t n = 0;

        for (const char *c = line; *c; c++)
                n += *c == '[' || *c == '{';
        if (n > MOST_CONTAINERS)
                return err_set(err, ERR_AGENT_COMMAND_FAILED, "it has more than %d lists and objects",
                               MOST_CONTAINERS);
        return 0;
}

struct json_object *agent_line_parse(const char *line, Error *err)
{
        return count_containers(line, err) < 0 ? NULL : qmp_parse_json(line, AGENT_MOST_BYTES, err);
}

char *agent_error_reason(struct json_object *error)
{
        const char *said = qmp_json_get_text(error, "desc") ?: "no reason given";
        char *text = str_dup_n(said, strnlen(said, MOST_REASON));
        size_t len = strlen(text);

        while (len > 0 && !str_is_utf8(text, len))
                text[--len] = '\0';
        for (char *c = text; *c; c++) {
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        *c = ' ';
        }
        return text;
}
