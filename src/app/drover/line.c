/*
 * app/drover/line.c - cut text into commands and words
 */
#include "app/drover/line.h"

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>

typedef enum Quote {
        QUOTE_NONE,
        QUOTE_SINGLE = '\'',
        QUOTE_DOUBLE = '"',
} Quote;

static void end_line(Script *script, Line *line)
{
        if (line->words.len)
                vec_push(&script->lines, *line);
        *line = (Line){ 0 };
}

static void line_done(Line *line)
{
        for (size_t i = 0; i < line->words.len; i++)
                free(line->words.items[i]);
        vec_done(&line->words);
}

void script_done(Script *script)
{
        for (size_t i = 0; i < script->lines.len; i++)
                line_done(&script->lines.items[i]);
        vec_done(&script->lines);
}

/* One word from *at on; *at is left behind it. */
static int read_word(const char **at, Buf *word, Error *err)
{
        Quote quote = QUOTE_NONE;
        const char *s = *at;

        for (; *s; s++) {
                if (quote == QUOTE_NONE && strchr(" \t\n;", *s))
                        break;
                if (quote == QUOTE_NONE && (*s == '\'' || *s == '"')) {
                        quote = (Quote)*s;
                } else if (quote != QUOTE_NONE && *s == (char)quote) {
                        quote = QUOTE_NONE;
                } else if (*s == '\\' && quote != QUOTE_SINGLE) {
                        if (!*++s)
                                return err_set(err, ERR_INVALID_ARG, "dangling \\");
                        buf_put_char(word, *s);
                } else {
                        buf_put_char(word, *s);
                }
        }
        if (quote != QUOTE_NONE)
                return err_set(err, ERR_INVALID_ARG, quote == QUOTE_SINGLE ? "missing '" : "missing \"");
        *at = s;
        return 0;
}

int script_parse(const char *text, Script *ret, Error *err)
{
        AUTO(Script) script = { 0 };
        Line line = { 0 };
        const char *at = text;

        while (*at) {
                AUTO(Buf) word = { 0 };

                if (*at == ' ' || *at == '\t') {
                        at++;
                        continue;
                }
                if (*at == ';' || *at == '\n') {
                        end_line(&script, &line);
                        at++;
                        continue;
                }
                if (*at == '#') {
                        at += strcspn(at, "\n");
                        continue;
                }
                if (*at == '\\' && at[1] == '\n') {
                        at += 2;
                        continue;
                }
                if (read_word(&at, &word, err) < 0) {
                        line_done(&line);
                        return -1;
                }
                vec_push(&line.words, str_dup(buf_text(&word)));
        }
        end_line(&script, &line);
        *ret = script;
        script = (Script){ 0 };
        return 0;
}

bool line_is_inside_word(const char *text)
{
        size_t n = strlen(text);

        return n && !strchr(" \t\n;", text[n - 1]);
}
