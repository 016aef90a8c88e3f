/*
 * daemon/event-filter.c - how costly a client's regular expression is
 *
 * Nodes are counted as the C library makes them: 'x+' is 'xx*', 'x{2,9}' is nine of x, and that of a group, so what is
 * inside is multiplied. A brace that begins no interval, and a bracket that is not closed, are characters. Loops within
 * loops cost more than their nodes say, and so does a repetition of a repetition ('a?+'), which has no meaning anyway.
 */
#include "daemon/event-filter.h"

#include "base/str.h"

#include <ctype.h>

enum {
        DEEPEST = 16,  /* groups within one another */
        LOOPS_MAX = 2, /* '(a*b)*' */
};

static uint32_t sum(uint32_t a, uint32_t b)
{
        return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static uint32_t times(uint32_t a, uint32_t b)
{
        return b && a > UINT32_MAX / b ? UINT32_MAX : a * b;
}

/* Behind a bracket expression: ']' that comes first is in it, and so are classes. */
static const char *skip_bracket(const char *at)
{
        const char *c = at + 1;

        if (*c == '^')
                c++;
        if (*c == ']')
                c++;
        while (*c && *c != ']') {
                const char *end = NULL;

                if (*c == '[' && c[1] && strchr(".=:", c[1])) {
                        char close[] = { c[1], ']', '\0' };

                        end = strstr(c + 2, close);
                }
                c = end ? end + 2 : c + 1;
        }
        return *c ? c + 1 : at + 1;
}

static const char *number(const char *at, uint32_t *ret)
{
        *ret = 0;
        while (isdigit((unsigned char)*at))
                *ret = sum(times(*ret, 10), (uint32_t)(*at++ - '0'));
        return at;
}

typedef struct Repetition {
        uint32_t often;  /* what stands before it is written out; 0: this is none */
        bool endless;    /* as often as one likes */
        const char *end; /* behind it */
} Repetition;

static Repetition repetition(const char *at)
{
        uint32_t least, most;
        const char *c;

        if (*at == '*' || *at == '?')
                return (Repetition){ 1, *at == '*', at + 1 };
        if (*at == '+')
                return (Repetition){ 2, true, at + 1 };
        if (*at != '{')
                return (Repetition){ 0, false, at + 1 };
        c = number(at + 1, &least);
        most = least;
        if (*c == ',') {
                bool open = !isdigit((unsigned char)c[1]);

                c = number(c + 1, &most);
                most = MAX(sum(least, open), most);
                return (Repetition){ *c == '}' ? MAX(most, 1U) : 0, open, *c == '}' ? c + 1 : at + 1 };
        }
        return (Repetition){ *c == '}' ? MAX(most, 1U) : 0, false, *c == '}' ? c + 1 : at + 1 };
}

/* A piece of the expression, or several. */
typedef struct Piece {
        uint32_t nodes;
        unsigned loops; /* within one another */
} Piece;

static Piece join(Piece a, Piece b)
{
        return (Piece){ sum(a.nodes, b.nodes), MAX(a.loops, b.loops) };
}

static const Piece no_piece, one_piece = { .nodes = 1 }, too_much = { .nodes = UINT32_MAX };

/* Behind the piece that begins here and is no group; NULL: it looks back. */
static const char *skip_piece(const char *at)
{
        if (*at == '[')
                return skip_bracket(at);
        if (*at != '\\' || !at[1])
                return at + 1;
        return isdigit((unsigned char)at[1]) ? NULL : at + 2;
}

static Piece repeat(Piece piece, const Repetition *r)
{
        return (Piece){ sum(times(piece.nodes, r->often), 1), piece.loops + r->endless };
}

static Piece count(const char *pattern)
{
        Piece outside[DEEPEST];                   /* of each group that is open, what stood before it */
        Piece before = no_piece, last = no_piece; /* of this group: all but the last piece, and that */
        unsigned depth = 0;
        bool repeated = false;

        for (const char *c = pattern; *c;) {
                Repetition r = repetition(c);

                if (r.often && repeated)
                        return too_much;
                repeated = r.often;
                if (repeated) {
                        last = repeat(last, &r);
                        c = r.end;
                } else if (*c == ')' && depth) {
                        last = join(join(before, last), one_piece);
                        before = outside[--depth];
                        c++;
                } else if (*c == '(') {
                        if (depth == DEEPEST)
                                return too_much;
                        outside[depth++] = join(before, last);
                        before = last = no_piece;
                        c++;
                } else {
                        before = join(before, last);
                        last = one_piece;
                        c = skip_piece(c);
                        if (!c)
                                return too_much;
                }
                if (last.loops > LOOPS_MAX)
                        return too_much;
        }
        while (depth)
                before = join(before, outside[--depth]);
        return join(before, last);
}

uint32_t event_filter_nodes(const char *pattern)
{
        return count(pattern).nodes;
}

int event_filter_check(const char *pattern, Error *err)
{
        if (event_filter_nodes(pattern) > EVENT_FILTER_NODES_MAX)
                return err_set(err, ERR_INVALID_ARG,
                               "'%s' repeats too much, or looks back ('\\1'): name the events in simpler words",
                               pattern);
        return 0;
}
