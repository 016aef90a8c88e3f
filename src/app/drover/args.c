/*
 * app/drover/args.c - read a grammar, then a command line by it
 *
 * Values go to options by name, then by position to the first one that still
 * lacks a value, in the order of the grammar: the rule virsh users know.
 */
#include "app/drover/args.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/vec.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

struct Grammar {
        VEC(ArgDef) defs;
};

typedef VEC(char *) Words;

struct Args {
        const Grammar *grammar;
        char *command;
        bool want_help;
        Words *given; /* one list per definition */
};

static char *lower_n(const char *s, size_t n)
{
        char *text = str_dup_n(s, n);

        for (char *c = text; *c; c++)
                *c = (char)tolower((unsigned char)*c);
        return text;
}

static void read_placeholder(ArgDef *def, const char *text, size_t n)
{
        const char *brace = memchr(text, '{', n);

        if (brace) {
                def->choices = str_dup_n(brace + 1, (size_t)(text + n - brace) - 2);
                n = (size_t)(brace - text);
        }
        def->may_be_empty = n && text[n - 1] == '~';
        def->placeholder = str_dup_n(text, n - def->may_be_empty);
        def->kind = str_eq(def->placeholder, "NUMBER") || str_eq(def->placeholder, "SIZE") ? ARG_NUMBER : ARG_TEXT;
}

/* "--mode MODE", "--mode=MODE", "--a|b" */
static void read_option(ArgDef *def, const char *item, size_t n)
{
        size_t name = strcspn(item + 2, " =|");
        const char *at = item + 2 + name;
        const char *end = item + n;

        if (at > end)
                at = end;
        def->name = str_dup_n(item + 2, (size_t)(at - item) - 2);
        if (at < end && *at == '|') {
                size_t other = strcspn(at + 1, " =");

                other = MIN(other, (size_t)(end - at) - 1);
                def->other_name = str_dup_n(at + 1, other);
                at += other + 1;
        }
        if (at == end)
                return;
        def->named_only = *at == '=';
        read_placeholder(def, at + 1, (size_t)(end - at) - 1);
}

/* "DOMAIN", "COUNT:NUMBER", "XML:FILE", "MODE{a,b}" */
static void read_positional(ArgDef *def, const char *item, size_t n)
{
        const char *colon = memchr(item, ':', n);
        const char *brace = memchr(item, '{', n);
        size_t name = colon ? (size_t)(colon - item) : brace ? (size_t)(brace - item) : n;
        size_t skip = colon ? name + 1 : 0;

        def->is_positional = true;
        def->name = lower_n(item, name);
        read_placeholder(def, item + skip, n - skip);
}

static ArgDef read_item(const char *item, size_t n, const char *doc, size_t doc_len)
{
        ArgDef def = { .kind = ARG_SWITCH, .needed = true, .doc = str_dup_n(doc, doc_len) };
        bool rest = n > 3 && strncmp(item + n - 3, "...", 3) == 0;

        if (rest)
                n -= 3;
        if (*item == '[') {
                assert(item[n - 1] == ']');
                def.needed = false;
                item++;
                n -= 2;
        }
        if (n > 2 && strncmp(item, "--", 2) == 0)
                read_option(&def, item, n);
        else
                read_positional(&def, item, n);
        if (rest)
                def.kind = ARG_REST;
        assert(*def.name);
        return def;
}

Grammar *grammar_new(const char *text)
{
        Grammar *grammar = mem_new(Grammar);

        while (text && *text) {
                size_t line = strcspn(text, "\n");
                const char *gap = memmem(text, line, "  ", 2);
                size_t item = gap ? (size_t)(gap - text) : line;
                size_t doc = item;

                while (doc < line && text[doc] == ' ')
                        doc++;
                if (item)
                        vec_push(&grammar->defs, read_item(text, item, text + doc, line - doc));
                text += line + (text[line] == '\n');
        }
        return grammar;
}

Grammar *grammar_free(Grammar *grammar)
{
        if (!grammar)
                return NULL;
        for (size_t i = 0; i < grammar->defs.len; i++) {
                ArgDef *def = &grammar->defs.items[i];

                free(def->name);
                free(def->other_name);
                free(def->placeholder);
                free(def->choices);
                free(def->doc);
        }
        vec_done(&grammar->defs);
        free(grammar);
        return NULL;
}

size_t grammar_len(const Grammar *grammar)
{
        return grammar->defs.len;
}

const ArgDef *grammar_get(const Grammar *grammar, size_t i)
{
        return &grammar->defs.items[i];
}

const ArgDef *grammar_find(const Grammar *grammar, const char *name)
{
        for (size_t i = 0; i < grammar->defs.len; i++) {
                const ArgDef *def = &grammar->defs.items[i];

                if (str_eq(def->name, name) || str_eq(def->other_name, name))
                        return def;
        }
        return NULL;
}

static Words *given(const Args *args, const ArgDef *def)
{
        return &args->given[def - args->grammar->defs.items];
}

/* Where a bare word goes: the first value still missing, else the rest. */
static const ArgDef *find_position(const Args *args)
{
        for (size_t i = 0; i < args->grammar->defs.len; i++) {
                const ArgDef *def = &args->grammar->defs.items[i];

                if (def->kind == ARG_SWITCH || def->named_only)
                        continue;
                if (def->kind == ARG_REST || !given(args, def)->len)
                        return def;
        }
        return NULL;
}

/* The option a word names: --NAME[=VALUE], or -NAME where the command has such an option (LIFE-08). */
static const ArgDef *find_option(const Args *args, const char *word, const char **value)
{
        const char *name = word + (str_starts(word, "--") ? 2 : 1);
        const char *equals = strchr(name, '=');
        AUTOFREE char *copy = equals ? str_dup_n(name, (size_t)(equals - name)) : str_dup(name);

        *value = equals ? equals + 1 : NULL;
        return grammar_find(args->grammar, copy);
}

static bool looks_like_option(const Args *args, const char *word)
{
        const char *value;

        if (word[0] != '-' || word[1] == '\0')
                return false;
        if (word[1] == '-')
                return word[2] != '\0';
        return word[2] != '\0' && find_option(args, word, &value);
}

static int take_option(Args *args, const char *const *words, size_t n, size_t *at, Error *err)
{
        const char *word = words[*at];
        const char *value;
        const ArgDef *def = find_option(args, word, &value);

        if (!def)
                return err_set(err, ERR_INVALID_ARG, "command '%s' doesn't support option --%.*s", args->command,
                               (int)strcspn(word + 2, "="), word + 2);
        if (given(args, def)->len && def->kind != ARG_REST)
                return err_set(err, ERR_INVALID_ARG, "option --%s already seen", def->name);
        if (def->kind == ARG_SWITCH) {
                if (value)
                        return err_set(err, ERR_INVALID_ARG, "invalid '=' after option --%s", def->name);
                vec_push(given(args, def), str_dup(""));
                return 0;
        }
        if (!value) {
                if (*at + 1 >= n)
                        return err_set(err, ERR_INVALID_ARG, "expected syntax: --%s <%s>", def->name,
                                       def->kind == ARG_NUMBER ? "number" : "string");
                value = words[++*at];
        }
        vec_push(given(args, def), str_dup(value));
        return 0;
}

/* Every one that is missing, as virsh names them. */
static int check_needed(const Args *args, Error *err)
{
        AUTO(Buf) missing = { 0 };

        for (size_t i = 0; i < args->grammar->defs.len; i++) {
                const ArgDef *def = &args->grammar->defs.items[i];

                if (!def->needed || given(args, def)->len)
                        continue;
                buf_format(&missing,
                           def->is_positional && def->kind != ARG_NUMBER ? "%scommand '%s' requires <%s> option"
                                                                         : "%scommand '%s' requires --%s option",
                           missing.len ? "\n" : "", args->command, def->name);
        }
        return missing.len ? err_set(err, ERR_INVALID_ARG, "%s", buf_text(&missing)) : 0;
}

static int take_positions(Args *args, const char *const *words, size_t n, Error *err)
{
        for (size_t i = 0; i < n; i++) {
                const ArgDef *def = find_position(args);

                if (!def)
                        return err_set(err, ERR_INVALID_ARG, "unexpected data '%s'", words[i]);
                vec_push(given(args, def), str_dup(words[i]));
        }
        return 0;
}

/* Names first, so that "COUNT --domain NAME" means what it says; then what is left, by position. */
static int take_words(Args *args, const char *const *words, size_t n, Error *err)
{
        AUTOFREE const char **left = mem_new_array(const char *, n + 1);
        size_t n_left = 0;
        bool only_data = false;

        for (size_t i = 0; i < n; i++) {
                if (!only_data && str_eq(words[i], "--help")) {
                        args->want_help = true;
                        return 0;
                }
                if (!only_data && str_eq(words[i], "--")) {
                        only_data = true;
                } else if (only_data || !looks_like_option(args, words[i])) {
                        left[n_left++] = words[i];
                } else if (take_option(args, words, n, &i, err) < 0) {
                        return -1;
                }
        }
        if (take_positions(args, left, n_left, err) < 0)
                return -1;
        return check_needed(args, err);
}

Args *args_parse(const Grammar *grammar, const char *command, const char *const *words, size_t n, Error *err)
{
        AUTO(Args) *args = mem_new(Args);

        args->grammar = grammar;
        args->command = str_dup(command);
        args->given = mem_new_array(Words, grammar->defs.len + 1);
        if (take_words(args, words, n, err) < 0)
                return NULL;
        return TAKE(args);
}

int args_check_empty(const Args *args, Error *err)
{
        for (size_t i = 0; i < args->grammar->defs.len; i++) {
                const ArgDef *def = &args->grammar->defs.items[i];

                if (def->kind == ARG_TEXT && !def->may_be_empty && given(args, def)->len &&
                    !*given(args, def)->items[0])
                        return err_set(err, ERR_INVALID_ARG, "Failed to get option '%s': Option argument is empty",
                                       def->name);
        }
        return 0;
}

Args *args_free(Args *args)
{
        if (!args)
                return NULL;
        for (size_t i = 0; i < args->grammar->defs.len; i++) {
                for (size_t j = 0; j < args->given[i].len; j++)
                        free(args->given[i].items[j]);
                vec_done(&args->given[i]);
        }
        free(args->given);
        free(args->command);
        free(args);
        return NULL;
}

bool args_want_help(const Args *args)
{
        return args->want_help;
}

static const Words *given_by_name(const Args *args, const char *name)
{
        const ArgDef *def = grammar_find(args->grammar, name);

        if (!def) {
                fprintf(stderr, "drover: '%s' asks for '%s', which its own grammar lacks\n", args->command, name);
                abort();
        }
        return given(args, def);
}

bool arg_has(const Args *args, const char *name)
{
        return given_by_name(args, name)->len > 0;
}

const char *arg_text(const Args *args, const char *name)
{
        const Words *words = given_by_name(args, name);

        return words->len ? words->items[words->len - 1] : NULL;
}

size_t arg_count(const Args *args, const char *name)
{
        return given_by_name(args, name)->len;
}

const char *arg_nth(const Args *args, const char *name, size_t i)
{
        return given_by_name(args, name)->items[i];
}

char *arg_joined(const Args *args, const char *name)
{
        const Words *words = given_by_name(args, name);
        AUTO(Buf) text = { 0 };

        if (!words->len)
                return NULL;
        for (size_t i = 0; i < words->len; i++) {
                if (i)
                        buf_put_char(&text, ' ');
                buf_put_text(&text, words->items[i]);
        }
        return str_dup(buf_text(&text));
}

static int bad_number(const char *name, const char *text, Error *err)
{
        return err_set(err, ERR_INVALID_ARG, "Numeric value '%s' for <%s> option is malformed or out of range", text,
                       name);
}

int arg_u64(const Args *args, const char *name, uint64_t *ret, Error *err)
{
        const char *text = arg_text(args, name);

        if (!text)
                return 0;
        if ((str_starts(text, "0x") ? str_to_u64_hex(text, ret) : str_to_u64(text, ret)) < 0)
                return bad_number(name, text, err);
        return 1;
}

int arg_u32(const Args *args, const char *name, uint32_t *ret, Error *err)
{
        uint64_t wide = 0;
        int given_it = arg_u64(args, name, &wide, err);

        if (given_it <= 0)
                return given_it;
        if (wide > UINT32_MAX)
                return bad_number(name, arg_text(args, name), err);
        *ret = (uint32_t)wide;
        return 1;
}

int arg_i32(const Args *args, const char *name, int32_t *ret, Error *err)
{
        const char *text = arg_text(args, name);

        if (!text)
                return 0;
        if (str_to_i32(text, ret) < 0)
                return bad_number(name, text, err);
        return 1;
}

int arg_size(const Args *args, const char *name, uint64_t default_factor, uint64_t *ret_bytes, Error *err)
{
        const char *text = arg_text(args, name);
        AUTOFREE char *digits = NULL;
        AUTO(Error) why = { 0 };
        uint64_t value;
        size_t n;

        if (!text)
                return 0;
        n = strspn(text, "0123456789");
        digits = str_dup_n(text, n);
        while (text[n] == ' ')
                n++;
        if (!*digits || str_to_u64(digits, &value) < 0)
                return err_set(err, ERR_INVALID_ARG,
                               "Scaled numeric value '%s' for <%s> option is malformed or out of range", text, name);
        if (units_to_bytes(value, text + n, default_factor, UINT64_MAX, ret_bytes, &why) < 0)
                return err_set(err, ERR_INVALID_ARG,
                               "Scaled numeric value '%s' for <%s> option is malformed or out of range\n"
                               "invalid argument: %s",
                               text, name, why.text);
        return 1;
}
