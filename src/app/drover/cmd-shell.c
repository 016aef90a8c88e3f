/*
 * app/drover/cmd-shell.c - commands about drover itself
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/help.h"
#include "app/drover/names.h"
#include "app/drover/session.h"
#include "app/drover/shell.h"
#include "app/drover/xml.h"

#include "base/str.h"

#include <errno.h>
#include <unistd.h>

static struct json_object *command_to_json(const Command *command)
{
        struct json_object *object = json_object_new_object();
        AUTO(Grammar) *grammar = grammar_new(command->args);
        AUTO(Buf) synopsis = { 0 };

        help_synopsis(command, grammar, &synopsis);
        json_object_object_add(object, "name", json_object_new_string(command->name));
        json_object_object_add(object, "group", json_object_new_string(command_group_keyword(command->group)));
        json_object_object_add(object, "summary", json_object_new_string(command->summary));
        json_object_object_add(object, "synopsis", json_object_new_string(buf_text(&synopsis)));
        return object;
}

static void add_group_as_json(Session *s, CommandGroup group)
{
        const Command *command;

        for (size_t at = 0; (command = command_next(group, &at));)
                out_add(s->out, command_to_json(command));
}

static int help(Session *s, const Args *args, Error *err)
{
        const char *name = arg_text(args, "command");
        const Command *command = name ? command_find(name) : NULL;
        AUTO(Buf) text = { 0 };

        if (command) {
                help_command(command, &text);
                if (output_is_json(s->out))
                        out_add(s->out, command_to_json(command));
                out_print(s->out, "%s", buf_text(&text));
                return 0;
        }
        if (!name)
                help_all(&text);
        if (name && command_omitted(name)) {
                help_omitted(name, &text);
                out_set_text(s->out, "name", name);
                out_set_text(s->out, "left_out", command_omitted(name));
        }
        for (int group = 0; group < GROUP_LAST; group++) {
                if (name && !str_eq(name, command_group_keyword(group)))
                        continue;
                if (name)
                        help_group(group, true, &text);
                if (output_is_json(s->out))
                        add_group_as_json(s, group);
        }
        if (!text.len)
                return err_set(err, ERR_INVALID_ARG, "command or command group '%s' doesn't exist", name);
        out_print(s->out, "%s", buf_text(&text));
        return 0;
}

static int quit(Session *s, const Args *args UNUSED, Error *err UNUSED)
{
        s->quit = true;
        return 0;
}

static int cd(Session *s, const Args *args, Error *err)
{
        const char *dir = arg_text(args, "dir") ?: getenv("HOME") ?: "/";

        if (!s->interactive)
                return err_set(err, ERR_OPERATION_INVALID, "cd: command valid only in interactive mode");
        if (chdir(dir) < 0)
                return err_errno(err, errno, "cd: %s", dir);
        return 0;
}

static int pwd(Session *s, const Args *args UNUSED, Error *err)
{
        AUTOFREE char *dir = getcwd(NULL, 0);

        if (!dir)
                return err_errno(err, errno, "pwd: cannot get current directory");
        out_value(s->out, "directory", dir);
        return 0;
}

/* "a,b,,c" as lines a and b,c: a doubled comma stands for itself. */
static void split_at_commas(const char *word, Buf *to)
{
        for (; *word; word++) {
                if (word[0] == ',' && word[1] == ',')
                        buf_put_char(to, *word++);
                else
                        buf_put_char(to, *word == ',' ? '\n' : *word);
        }
}

static int echo(Session *s, const Args *args, Error *err)
{
        AUTO(Buf) text = { 0 };

        if (refuse_both(args, "shell", "xml", err) < 0 || refuse_both(args, "shell", "split", err) < 0 ||
            refuse_both(args, "xml", "split", err) < 0)
                return -1;
        for (size_t i = 0; i < arg_count(args, "string"); i++) {
                const char *word = arg_nth(args, "string", i);
                AUTO(Buf) escaped = { 0 };

                if (i)
                        buf_put_char(&text, ' ');
                if (arg_has(args, "xml"))
                        xml_escape(word, &escaped);
                else
                        buf_put_text(&escaped, word);
                if (arg_has(args, "shell"))
                        buf_put_shell_word(&text, buf_text(&escaped));
                else if (arg_has(args, "split"))
                        split_at_commas(buf_text(&escaped), &text);
                else
                        buf_put_text(&text, buf_text(&escaped));
        }
        if (arg_has(args, "err"))
                fprintf(stderr, "error: %s\n", buf_text(&text));
        else
                out_print(s->out, "%s%s", buf_text(&text), s->quiet ? "\n" : "");
        out_set_text(s->out, "text", buf_text(&text));
        return 0;
}

/* connect is in the session's hands; the command only says where to. */
static int connect_to(Session *s, const Args *args, Error *err)
{
        return session_reconnect(s, arg_text(args, "name"), arg_has(args, "readonly"), err);
}

static int complete(Session *s, const Args *args, Error *err UNUSED)
{
        const char *prefix = arg_text(args, "prefix") ?: "";
        AUTO_STRLIST words = names_of_kind(s, arg_text(args, "what"));

        out_list(s->out);
        for (char **word = words; word && *word; word++) {
                if (!str_starts(*word, prefix))
                        continue;
                out_print(s->out, "%s\n", *word);
                out_add(s->out, json_object_new_string(*word));
        }
        return 0;
}

static int man(Session *s, const Args *args UNUSED, Error *err UNUSED)
{
        AUTO(Buf) text = { 0 };

        man_page(&text);
        out_set_text(s->out, "troff", buf_text(&text));
        out_print(s->out, "%s", buf_text(&text));
        return 0;
}

static int completion(Session *s, const Args *args UNUSED, Error *err UNUSED)
{
        AUTO(Buf) text = { 0 };

        completion_script(&text);
        out_set_text(s->out, "script", buf_text(&text));
        out_print(s->out, "%s", buf_text(&text));
        return 0;
}

const Command shell_commands[] = {
        { .name = "help",
          .group = GROUP_SHELL,
          .args = "[COMMAND]  a command, or the keyword of a group of them",
          .summary = "print help",
          .text = "Without a word all commands, with a command's name its options, with a group's keyword its commands.",
          .run = help },
        { .name = "quit", .group = GROUP_SHELL, .summary = "leave the shell", .run = quit },
        { .name = "exit", .group = GROUP_SHELL, .summary = "leave the shell", .run = quit },
        { .name = "cd",
          .group = GROUP_SHELL,
          .args = "[DIR]  where to; the home directory unless given",
          .summary = "change the shell's current directory",
          .run = cd },
        { .name = "pwd", .group = GROUP_SHELL, .summary = "print the current directory", .run = pwd },
        { .name = "echo",
          .group = GROUP_SHELL,
          .args = "[--shell]    quote each word for a shell\n"
                  "[--xml]      escape what has a meaning in XML\n"
                  "[--split]    put what commas separate on lines of its own; ',,' is a comma\n"
                  "[--err]      print to standard error\n"
                  "[STRING]...  what to print",
          .summary = "print the words given, quoted if asked for",
          .run = echo },
        { .name = "connect",
          .group = GROUP_SHELL,
          .args = "[--name URI~]  the hypervisor's URI, or a host's name; the default one unless given\n"
                  "[--readonly]  connect for reading only",
          .summary = "connect to another hypervisor",
          .text = "Closes the connection there is. A bare host name stands for qemu+ssh://HOST/system.",
          .run = connect_to },
        { .name = "complete",
          .group = GROUP_SHELL,
          .args = "WHAT            what kind of thing\n"
                  "[PREFIX:WORD~]  how the word begins",
          .summary = "print what a word can be completed to",
          .hidden = true,
          .run = complete },
        { .name = "man",
          .group = GROUP_SHELL,
          .summary = "print the manual page as troff",
          .hidden = true,
          .run = man },
        { .name = "completion",
          .group = GROUP_SHELL,
          .summary = "print the completion script for bash",
          .hidden = true,
          .run = completion },
        { 0 },
};
