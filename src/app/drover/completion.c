/*
 * app/drover/completion.c - the bash completion script, written from the commands' entries
 *
 * Names of commands, options and choices stand in the script; what only the
 * daemon knows (names of guests) it asks `drover complete` for.
 */
#include "app/drover/help.h"
#include "app/drover/names.h"

#include "base/str.h"

static void put_commands(Buf *to)
{
        const Command *command;

        buf_put_text(to, "_drover_commands=\"");
        for (int group = 0; group < GROUP_LAST; group++)
                for (size_t at = 0; (command = command_next(group, &at));)
                        buf_format(to, "%s ", command->name);
        buf_put_text(to, "\"\n");
}

static void put_options(const Grammar *grammar, Buf *to)
{
        for (size_t i = 0; i < grammar_len(grammar); i++) {
                const ArgDef *def = grammar_get(grammar, i);

                buf_format(to, " --%s", def->name);
        }
}

/* What the word behind an option, or at a position, can be; NULL where nobody knows. */
static const char *source_of(const ArgDef *def)
{
        if (def->choices)
                return "words";
        if (str_eq(def->placeholder, "FILE") || str_eq(def->placeholder, "DIR"))
                return "file";
        return names_kind(def);
}

static void put_value_rules(const Grammar *grammar, Buf *to)
{
        for (size_t i = 0; i < grammar_len(grammar); i++) {
                const ArgDef *def = grammar_get(grammar, i);
                const char *source = def->placeholder ? source_of(def) : NULL;

                if (!def->placeholder)
                        continue;
                buf_format(to, " %s%s=%s", def->is_positional ? "" : "--", def->name, source ? source : "");
                if (def->choices)
                        buf_format(to, ":%s", def->choices);
        }
}

static void put_cases(Buf *to)
{
        const Command *command;

        buf_put_text(to, "_drover_describe() {\n    case $1 in\n");
        for (int group = 0; group < GROUP_LAST; group++) {
                for (size_t at = 0; (command = command_next(group, &at));) {
                        AUTO(Grammar) *grammar = grammar_new(command->args);

                        if (!grammar_len(grammar))
                                continue;
                        buf_format(to, "    %s)\n        options=\"", command->name);
                        put_options(grammar, to);
                        buf_put_text(to, "\"\n        values=\"");
                        put_value_rules(grammar, to);
                        buf_put_text(to, "\" ;;\n");
                }
        }
        buf_put_text(to, "    esac\n}\n");
}

static void put_program_options(Buf *to)
{
        buf_put_text(to, "_drover_program_options=\"");
        for (const ProgramOption *option = program_options; option->doc; option++)
                if (option->name)
                        buf_format(to, "--%s ", option->name);
        buf_put_text(to, "\"\n_drover_with_value=\"");
        for (const ProgramOption *option = program_options; option->doc; option++)
                if (option->name && option->value && option->value[0] != '[')
                        buf_format(to, "-%c --%s ", option->letter, option->name);
        buf_put_text(to, "\"\n");
}

/* The same for every command: find the command, then what may stand at this place. */
static const char machinery[] =
        "_drover_offer() {\n"
        "    # $1: where words come from, $2: what is typed so far\n"
        "    case $1 in\n"
        "    words:*) local list=${1#words:}; COMPREPLY=($(compgen -W \"${list//,/ }\" -- \"$2\")) ;;\n"
        "    file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$2\") ;;\n"
        "    ?*) mapfile -t COMPREPLY < <(\"${connection[@]}\" -q complete \"$1\" \"$2\" 2>/dev/null) ;;\n"
        "    esac\n"
        "}\n"
        "_drover() {\n"
        "    local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
        "    local connection=(\"${COMP_WORDS[0]}\") options= values= command= rule position=0 i at=1\n"
        "    COMPREPLY=()\n"
        "    while ((at < COMP_CWORD)); do\n"
        "        case ${COMP_WORDS[at]} in\n"
        "        -c|--connect) connection+=(-c \"${COMP_WORDS[at+1]}\"); ((at++)) ;;\n"
        "        -r|--readonly) connection+=(-r) ;;\n"
        "        -*) [[ \" $_drover_with_value \" == *\" ${COMP_WORDS[at]} \"* ]] && ((at++)) ;;\n"
        "        *) break ;;\n"
        "        esac\n"
        "        ((at++))\n"
        "    done\n"
        "    if ((at >= COMP_CWORD)); then\n"
        "        if [[ $word == -* ]]; then\n"
        "            COMPREPLY=($(compgen -W \"$_drover_program_options\" -- \"$word\"))\n"
        "        else\n"
        "            COMPREPLY=($(compgen -W \"$_drover_commands\" -- \"$word\"))\n"
        "        fi\n"
        "        return\n"
        "    fi\n"
        "    command=${COMP_WORDS[at]}\n"
        "    if [[ $command == help ]]; then\n"
        "        COMPREPLY=($(compgen -W \"$_drover_commands\" -- \"$word\"))\n"
        "        return\n"
        "    fi\n"
        "    _drover_describe \"$command\"\n"
        "    for rule in $values; do\n"
        "        if [[ $before == --* && $before == \"${rule%%=*}\" ]]; then\n"
        "            _drover_offer \"${rule#*=}\" \"$word\"\n"
        "            return\n"
        "        fi\n"
        "    done\n"
        "    if [[ $word == -* ]]; then\n"
        "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
        "        return\n"
        "    fi\n"
        "    for ((i = at + 1; i < COMP_CWORD; i++)); do\n"
        "        if [[ ${COMP_WORDS[i]} == --* ]]; then\n"
        "            [[ \" $values \" == *\" ${COMP_WORDS[i]}=\"* ]] && ((i++))\n"
        "        else\n"
        "            ((position++))\n"
        "        fi\n"
        "    done\n"
        "    for rule in $values; do\n"
        "        [[ $rule == --* ]] && continue\n"
        "        if ((position == 0)); then\n"
        "            _drover_offer \"${rule#*=}\" \"$word\"\n"
        "            return\n"
        "        fi\n"
        "        ((position--))\n"
        "    done\n"
        "}\n"
        "complete -F _drover drover\n";

void completion_script(Buf *to)
{
        buf_put_text(to, "# bash completion for drover; written by `drover completion`\n");
        put_commands(to);
        put_program_options(to);
        put_cases(to);
        buf_put_text(to, machinery);
}
