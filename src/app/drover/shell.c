/*
 * app/drover/shell.c - read commands from standard input
 *
 * On a terminal with a prompt, history (kept in the user's cache directory) and
 * completion by libedit; from a pipe or file silently, line by line.
 */
#include "app/drover/shell.h"
#include "app/drover/names.h"

#include "base/file.h"
#include "base/str.h"

#include <editline/readline.h>
#include <poll.h>
#include <unistd.h>

enum { HISTORY_LINES = 500 };

static Session *completing; /* libedit's callbacks carry no argument */

static void add_matching(char ***list, size_t *n, const char *word, const char *prefix)
{
        if (!str_starts(word, prefix))
                return;
        *list = mem_resize(*list, (*n + 2) * sizeof(char *));
        (*list)[(*n)++] = str_dup(word);
        (*list)[*n] = NULL;
}

static void add_commands(char ***list, size_t *n, const char *prefix)
{
        const Command *command;

        for (int group = 0; group < GROUP_LAST; group++)
                for (size_t at = 0; (command = command_next(group, &at));)
                        add_matching(list, n, command->name, prefix);
}

static void add_names(char **all, char ***list, size_t *n, const char *prefix)
{
        AUTO_STRLIST names = all;

        for (char **name = names; name && *name; name++)
                add_matching(list, n, *name, prefix);
}

static void add_choices(const ArgDef *def, char ***list, size_t *n, const char *prefix)
{
        AUTO_STRLIST choices = str_split(def->choices, ",");

        for (char **choice = choices; *choice; choice++)
                add_matching(list, n, *choice, prefix);
}

/* The definition that the word being typed gives a value to; NULL when it is a new word of no known kind. */
static const ArgDef *find_place(const Grammar *grammar, const Line *line, size_t n_words)
{
        size_t position = 0;

        for (size_t i = 1; i < n_words; i++) {
                const char *word = line->words.items[i];
                const ArgDef *def = str_starts(word, "--") ? grammar_find(grammar, word + 2) : NULL;

                if (def && def->kind != ARG_SWITCH) {
                        if (i + 1 == n_words)
                                return def;
                        i++;
                } else if (!def) {
                        position++;
                }
        }
        for (size_t i = 0; i < grammar_len(grammar); i++) {
                const ArgDef *def = grammar_get(grammar, i);

                if (def->is_positional && (position-- == 0 || def->kind == ARG_REST))
                        return def;
        }
        return NULL;
}

char **shell_complete(Session *session, const char *text, const char *prefix)
{
        AUTO(Script) script = { 0 };
        AUTO(Grammar) *grammar = NULL;
        char **list = NULL;
        size_t n = 0, n_words;
        const Line *line;
        const Command *command;
        const ArgDef *place;

        if (script_parse(text, &script, NULL) < 0)
                return NULL;
        line = script.lines.len ? &script.lines.items[script.lines.len - 1] : NULL;
        n_words = line ? line->words.len - (*prefix != '\0') : 0;
        if (n_words == 0 || str_eq(line->words.items[0], "help")) {
                add_commands(&list, &n, prefix);
                return list;
        }
        command = command_find(line->words.items[0]);
        if (!command)
                return NULL;
        grammar = grammar_new(command->args);
        for (size_t i = 0; *prefix == '-' && i < grammar_len(grammar); i++) {
                AUTOFREE char *option = str_format("--%s", grammar_get(grammar, i)->name);

                add_matching(&list, &n, option, prefix);
        }
        place = *prefix == '-' ? NULL : find_place(grammar, line, n_words);
        if (place && place->choices)
                add_choices(place, &list, &n, prefix);
        else if (place && names_kind(place))
                add_names(names_of_kind(session, names_kind(place)), &list, &n, prefix);
        return list;
}

static char *next_candidate(const char *prefix, int state)
{
        static char **list;
        static size_t at;
        static bool any;

        if (state == 0) {
                AUTOFREE char *line = str_dup_n(rl_line_buffer, (size_t)rl_point);

                str_list_free(list);
                list = shell_complete(completing, line, prefix);
                any = list != NULL;
                at = 0;
        }
        return any && list[at] ? str_dup(list[at++]) : NULL;
}

static char **complete_word(const char *prefix, int start UNUSED, int end UNUSED)
{
        char **matches = rl_completion_matches(prefix, next_candidate);

        rl_attempted_completion_over = matches != NULL;
        return matches;
}

/* NULL: there is nowhere to keep it. */
static char *history_path(void)
{
        const char *cache = getenv("XDG_CACHE_HOME");
        const char *home = getenv("HOME");
        AUTOFREE char *dir = NULL;

        if (cache && *cache)
                dir = str_format("%s/drover", cache);
        else if (home && *home)
                dir = str_format("%s/.cache/drover", home);
        if (!dir || dir_make(dir, 0700, NULL) < 0)
                return NULL;
        return str_format("%s/history", dir);
}

static char *prompt(const Session *session)
{
        return str_format("drover %c ", session->readonly ? '>' : '#');
}

static void run_terminal(Session *session)
{
        AUTOFREE char *history = history_path();

        completing = session;
        session_at_prompt(session);
        rl_readline_name = "drover";
        rl_attempted_completion_function = complete_word;
        rl_event_hook = session_wait_for_input;
        rl_initialize();
        using_history();
        stifle_history(HISTORY_LINES);
        if (history)
                read_history(history);
        if (!session->quiet)
                printf("Welcome to drover. 'help' lists the commands, 'quit' leaves.\n\n");
        while (!session->quit) {
                AUTOFREE char *text = prompt(session);
                AUTOFREE char *line = readline(text);

                if (!line)
                        break;
                if (line[strspn(line, " \t")] == '\0')
                        continue;
                add_history(line);
                session_run_text(session, line);
        }
        if (!session->quit)
                printf("\n");
        if (history)
                write_history(history);
}

typedef struct ScriptLine {
        char *text;
        size_t room;
        ssize_t length;
} ScriptLine;

static void read_line(void *arg)
{
        ScriptLine *line = arg;

        line->length = getline(&line->text, &line->room, stdin);
}

/* Another program may write the next line when it likes. */
static bool next_line(Session *session, ScriptLine *line)
{
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

        if (!session->client || poll(&input, 1, 0) != 0)
                read_line(line);
        else if (session_meanwhile(session, read_line, line, NULL) < 0)
                return false;
        return line->length >= 0;
}

static int run_script(Session *session)
{
        ScriptLine line = { 0 };
        int result = 0;

        while (!session->quit && next_line(session, &line))
                if (session_run_text(session, line.text) < 0)
                        result = -1;
        free(line.text);
        return result;
}

int session_run_shell(Session *session)
{
        session->interactive = true;
        if (!isatty(STDIN_FILENO))
                return run_script(session);
        run_terminal(session);
        return 0;
}
