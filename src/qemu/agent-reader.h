#pragma once
/*
 * qemu/agent-reader.h - cut what a guest agent sends into lines
 *
 * A byte 0xFF, which valid text never contains, ends whatever came before it (GA-08, GA-09). Memory is
 * bounded: a line of more than AGENT_MOST_BYTES is an error and everything up to the next 0xFF is dropped.
 */
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct json_object;

enum { AGENT_MOST_BYTES = 10 << 20 };

/* Zeroed is ready to read. */
typedef struct AgentReader {
        Buf line;
        bool drops; /* until the next 0xFF */
        bool given; /* the line was given out; the next call clears it */
} AgentReader;

/* Forget what is half read, and drop what comes until the next 0xFF: it answers an older question. */
void agent_reader_await_marker(AgentReader *reader);
/*
 * The next line of *data, at most *n bytes, which both move on; 1: *ret is the line without its newline,
 * valid until the next call; 0: all used up; -1: the line is too long.
 */
int agent_reader_next(AgentReader *reader, const char **data, size_t *n, const char **ret, Error *err);
void agent_reader_done(AgentReader *reader);

/* The JSON of a line, bounded in depth and in what it takes in memory. The caller drops it with json_object_put(). */
struct json_object *agent_line_parse(const char *line, Error *err);
/* What the guest gives as its reason, fit for a terminal and a log; owned. */
char *agent_error_reason(struct json_object *error);

DEFINE_AUTO_VALUE(AgentReader, agent_reader_done)
