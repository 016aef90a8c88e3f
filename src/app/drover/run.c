/*
 * app/drover/run.c - run commands by name
 */
#include "app/drover/session.h"

#include "base/str.h"

#include <time.h>
#include <unistd.h>

void session_tell_error(const Error *err)
{
        AUTOFREE char *shown = isatty(STDERR_FILENO) ? str_printable(err->text ?: "", "\n\t") : NULL;
        const char *text = shown ?: err->text ?: "";

        if (!*text)
                text = "unknown error";
        while (*text) {
                size_t line = strcspn(text, "\n");

                fprintf(stderr, "error: %.*s\n", (int)line, text);
                text += line + (text[line] == '\n');
        }
}

static double now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static int unknown(const char *name, Error *err)
{
        const char *hint = command_hint(name), *why = command_omitted(name);

        if (why)
                return err_set(err, ERR_NO_SUPPORT, "unknown command: '%s'\nvirsh has it, drover does not: %s", name,
                               why);
        return err_set(err, ERR_INVALID_ARG, "unknown command: '%s'%s%s", name, hint ? "\n" : "", hint ? hint : "");
}

static int run_help(Session *session, const char *name)
{
        return session_run_words(session, CELLS("help", name), 2);
}

static int run_parsed(Session *session, const Command *command, const Args *args, Error *err)
{
        double start = now_ms();

        if (args_check_empty(args, err) < 0 || command->run(session, args, err) < 0)
                return -1;
        out_succeed(session->out);
        if (session->timing && !output_is_json(session->out))
                out_print(session->out, "\n(Time: %.3f ms)\n", now_ms() - start);
        return 0;
}

int session_run_words(Session *session, const char *const *words, size_t n)
{
        const Command *command = command_find(words[0]);
        AUTO(Grammar) *grammar = NULL;
        AUTO(Args) *args = NULL;
        AUTO(Error) err = { 0 };
        int result = -1;

        fflush(stdout);
        if (!command) {
                unknown(words[0], &err);
                session_tell_error(&err);
                return -1;
        }
        grammar = grammar_new(command->args);
        args = args_parse(grammar, command->name, words + 1, n - 1, &err);
        if (args && args_want_help(args))
                return run_help(session, command->name);
        if (args) {
                result = run_parsed(session, command, args, &err);
                if (!session->quit)
                        out_end(session->out);
        }
        session_end_command(session);
        if (err_is_set(&err))
                session_tell_error(&err);
        return result;
}

int session_run_text(Session *session, const char *text)
{
        AUTO(Script) script = { 0 };
        AUTO(Error) err = { 0 };
        int result = 0;

        if (script_parse(text, &script, &err) < 0) {
                session_tell_error(&err);
                return -1;
        }
        for (size_t i = 0; i < script.lines.len && !session->quit; i++) {
                const Line *line = &script.lines.items[i];

                result = session_run_words(session, (const char *const *)line->words.items, line->words.len);
        }
        return result;
}
