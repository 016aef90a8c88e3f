#pragma once
/*
 * daemon/event-filter.h - how costly a client's regular expression is
 *
 * The C library repeats what is repeated when it compiles: '(((a{255}){255}){255}){255}' would take all memory of the
 * host, and a back-reference may take for ever to compare. What a filter of a dozen characters can cost is therefore
 * reckoned before it is compiled.
 */
#include "base/err.h"

#include <stdint.h>

enum { EVENT_FILTER_NODES_MAX = 512 };

/*
 * How many nodes an extended regular expression has once its repetitions are written out, at least; UINT32_MAX: too many
 * to count, or it costs more than they say. It need not be a correct one.
 */
uint32_t event_filter_nodes(const char *pattern);
/* ERR_INVALID_ARG when compiling it, or comparing with it, may take long: then at most a few milliseconds. */
int event_filter_check(const char *pattern, Error *err);
