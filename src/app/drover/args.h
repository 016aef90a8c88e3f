#pragma once
/*
 * app/drover/args.h - what a command takes on its line
 *
 * A command describes its arguments in one text, a line each: the item, two or
 * more blanks, and the sentence that help and manual show.
 *
 *      DOMAIN                 needed; by position or as --domain X
 *      COUNT:NUMBER           the same, a number
 *      XML:FILE               the same, called --xml, a file's name for completion
 *      [FILE]                 may be left out
 *      [--graceful]           a switch
 *      [--mode MODE]          an option with a value, also taken by position when its turn comes
 *      [--xpath=EXPR]         an option whose name must be there
 *      [--level=NUMBER]       ... and whose value is a number; SIZE: one with a unit
 *      [--source PATH~]       the value may be empty; elsewhere "" is a variable that nobody set
 *      [--tunnelled|tunneled] two spellings
 *      [--mode MODE{a,b}]     words that completion offers
 *      [WORD]... or WORD...   all that remains
 *
 * Parsing, the help text, the manual page and completion read nothing else.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum ArgKind {
        ARG_SWITCH,
        ARG_TEXT,
        ARG_NUMBER,
        ARG_REST,
} ArgKind;

typedef struct ArgDef {
        char *name;        /* without dashes */
        char *other_name;  /* second spelling, or NULL */
        char *placeholder; /* DOMAIN, FILE, ...; NULL for a switch */
        char *choices;     /* "a,b", or NULL */
        char *doc;
        ArgKind kind;
        bool needed;
        bool may_be_empty;
        bool named_only;    /* never taken by position */
        bool is_positional; /* written without dashes */
} ArgDef;

typedef struct Grammar Grammar;
typedef struct Args Args;

/* The text is one of ours: a mistake in it ends the program (a unit test reads all of them). */
Grammar *grammar_new(const char *text);
Grammar *grammar_free(Grammar *grammar);
size_t grammar_len(const Grammar *grammar);
const ArgDef *grammar_get(const Grammar *grammar, size_t i);
const ArgDef *grammar_find(const Grammar *grammar, const char *name); /* either spelling; NULL */
DEFINE_AUTO(Grammar, grammar_free)

/* Read the words behind the command's name. The grammar must outlive what comes back. */
Args *args_parse(const Grammar *grammar, const char *command, const char *const *words, size_t n, Error *err);
Args *args_free(Args *args);
DEFINE_AUTO(Args, args_free)

bool args_want_help(const Args *args); /* --help was among them; nothing else was checked */

/* An empty text where there must be none is an error of the command's, as in virsh. */
int args_check_empty(const Args *args, Error *err);

/* The name is one of the grammar's. Texts belong to args. */
bool arg_has(const Args *args, const char *name);
const char *arg_text(const Args *args, const char *name); /* NULL: not given; the last one of a rest */
size_t arg_count(const Args *args, const char *name);
const char *arg_nth(const Args *args, const char *name, size_t i);
/* All words of a rest with one blank between them, owned; NULL when there is none. */
char *arg_joined(const Args *args, const char *name);
/* 1: *ret is set, 0: not given, -1: no number in range. */
int arg_u64(const Args *args, const char *name, uint64_t *ret, Error *err);
int arg_u32(const Args *args, const char *name, uint32_t *ret, Error *err);
int arg_i32(const Args *args, const char *name, int32_t *ret, Error *err);
/* A size with an optional unit ("512", "2G"); without one it counts in default_factor bytes. */
int arg_size(const Args *args, const char *name, uint64_t default_factor, uint64_t *ret_bytes, Error *err);
