/*
 * app/drover/man.c - drover(1), written from the commands' entries
 */
#include "app/drover/help.h"

#include "base/roff.h"
#include "base/str.h"

#include <ctype.h>

static void put_heading(Buf *to, const char *request, const char *text)
{
        AUTOFREE char *upper = str_dup(text);

        for (char *c = upper; *c && str_eq(request, ".SH"); c++)
                *c = (char)toupper((unsigned char)*c);
        buf_format(to, "%s \"", request);
        roff_put_text(to, upper);
        buf_put_text(to, "\"\n");
}

static void put_sentence(Buf *to, const char *text)
{
        AUTO(Buf) sentence = { 0 };

        help_sentence(text, &sentence);
        roff_put_text(to, buf_text(&sentence));
        buf_put_char(to, '\n');
}

static void put_program_options(Buf *to)
{
        put_heading(to, ".SH", "Options");
        for (const ProgramOption *option = program_options; option->doc; option++) {
                AUTO(Buf) shown = { 0 };

                if (option->letter)
                        buf_format(&shown, "-%c", option->letter);
                if (option->name)
                        buf_format(&shown, "%s--%s", option->letter ? ", " : "", option->name);
                if (option->value)
                        buf_format(&shown, "%s%s", option->value[0] == '[' ? "" : " ", option->value);
                buf_put_text(to, ".TP\n.B ");
                roff_put_text(to, buf_text(&shown));
                buf_put_char(to, '\n');
                put_sentence(to, option->doc);
        }
}

static void put_argument(Buf *to, const ArgDef *def)
{
        AUTO(Buf) doc = { 0 };

        buf_put_text(to, ".TP\n");
        if (def->is_positional) {
                buf_put_text(to, ".I ");
                roff_put_text(to, def->name);
        } else {
                AUTOFREE char *shown = str_format("--%s", def->name);

                buf_put_text(to, ".B ");
                roff_put_text(to, shown);
                if (def->placeholder) {
                        buf_put_text(to, " \\fI");
                        roff_put_text(to, def->placeholder);
                        buf_put_text(to, "\\fR");
                }
        }
        buf_put_char(to, '\n');
        buf_put_text(&doc, def->doc);
        help_choices(def, &doc);
        if (def->other_name)
                buf_format(&doc, "; also spelled --%s", def->other_name);
        put_sentence(to, buf_text(&doc));
}

static void put_command(Buf *to, const Command *command)
{
        AUTO(Grammar) *grammar = grammar_new(command->args);
        AUTO(Buf) synopsis = { 0 };

        put_heading(to, ".SS", command->name);
        help_synopsis(command, grammar, &synopsis);
        buf_put_text(to, ".B ");
        roff_put_text(to, buf_text(&synopsis));
        buf_put_text(to, "\n.PP\n");
        put_sentence(to, command->summary);
        if (command->text) {
                roff_put_text(to, command->text);
                buf_put_char(to, '\n');
        }
        for (size_t i = 0; i < grammar_len(grammar); i++)
                put_argument(to, grammar_get(grammar, i));
}

/* Without what a terminal's help has around it. */
static void put_omissions(Buf *to)
{
        const Omission *omission;

        put_heading(to, ".SH", "What virsh has and drover has not");
        for (int of_options = 0; of_options <= 1; of_options++) {
                for (size_t at = 0; (omission = omission_next(NULL, of_options, &at));) {
                        AUTOFREE char *shown = omission->option
                                                       ? str_format("--%s of %s", omission->option, omission->names)
                                                       : str_dup(omission->names);

                        buf_put_text(to, ".PP\n");
                        roff_put_text(to, shown);
                        buf_put_text(to, ": ");
                        roff_put_text(to, omission->why);
                        buf_put_text(to, ".\n");
                }
        }
}

void man_page(Buf *to)
{
        /* no hyphens but those of the words that are to be typed */
        buf_put_text(to, ".TH DROVER 1 \"\" \"drover " DROVER_VERSION "\" \"drover manual\"\n.nh\n");
        put_heading(to, ".SH", "Name");
        buf_put_text(to, "drover \\- manage virtual machines\n");
        put_heading(to, ".SH", "Synopsis");
        buf_put_text(to,
                     ".B drover\n[options] [command [arguments]]\n.br\n.B drover\n[options] \"command; command\"\n");
        put_heading(to, ".SH", "Description");
        roff_put_text(
                to,
                "Speaks to droverd, or to any daemon that speaks the libvirt protocol, and knows the commands, options "
                "and output of virsh. Without a command it reads commands from standard input: with history and "
                "completion on a terminal, silently from a file or pipe. Several commands in one argument are "
                "separated by semicolons. A guest is named by its name, its ID or its UUID. With --output json each "
                "command prints one JSON document.\n");
        put_program_options(to);
        for (int group = 0; group < GROUP_LAST; group++) {
                const Command *command;

                put_heading(to, ".SH", command_group_title(group));
                for (size_t at = 0; (command = command_next(group, &at));)
                        put_command(to, command);
        }
        put_omissions(to);
        put_heading(to, ".SH", "Exit status");
        buf_format(to, ".TP\n.B %d\nThe command did what it says; of several, the last one did.\n", EXIT_DONE);
        buf_format(to,
                   ".TP\n.B %d\nIt failed, was not understood, answers a question with no (cpu\\-compare), or its "
                   "output could not be written; the "
                   "reason is on standard error behind \"error: \". Of a script on standard input, any command "
                   "failed.\n",
                   EXIT_COMMAND_FAILED);
        put_heading(to, ".SH", "Environment");
        roff_put_text(
                to,
                "DROVER_DEFAULT_URI, VIRSH_DEFAULT_CONNECT_URI, LIBVIRT_DEFAULT_URI: the URI when -c is not given, "
                "the first that is set. VISUAL, EDITOR: the editor of the edit commands. XDG_CACHE_HOME: where "
                "drover/history is kept.\n");
}
