/*
 * app/drover-img/main.c - which command it is
 */
#include "app/drover-img/about.h"

#include "base/str.h"

#include <stdio.h>

const Command *const commands[] = {
        &cmd_amend,   &cmd_bench,  &cmd_bitmap, &cmd_check,    &cmd_commit,   &cmd_compare,
        &cmd_convert, &cmd_create, &cmd_dd,     &cmd_describe, &cmd_info,     &cmd_map,
        &cmd_measure, &cmd_rebase, &cmd_resize, &cmd_serve,    &cmd_snapshot, NULL,
};

/* Who calls it qemu-img looks for that name, and for the version whose options and output these are. */
static void print_version(void)
{
        if (str_eq(program_name, "qemu-img"))
                printf("qemu-img version 7.2.0 (drover-img " DROVER_VERSION ")\n");
        else
                printf("drover-img version " DROVER_VERSION "\n");
}

static void help(void)
{
        print_version();
        printf("usage: drover-img [standard options] command [command options]\n"
               "Disk images: create, convert, check and change them. Options are those of qemu-img.\n\n"
               "    '-h', '--help'       display this help and exit\n"
               "    '-V', '--version'    output version information and exit\n"
               "    '-T', '--trace' WORD taken, and of no effect\n"
               "    man, completion      print the manual page, or a completion script for bash\n\n"
               "Command syntax:\n");
        for (size_t i = 0; commands[i]; i++)
                printf("  %s %s\n      %s\n", commands[i]->name, commands[i]->args, commands[i]->summary);
        printf("\nSupported formats:");
        for (ImageFormat f = 0; f < IMAGE_FORMAT_COUNT; f++)
                printf(" %s", image_format_name(f));
        printf("\nA directory is read as a FAT disk: fat:[floppy:][12:|16:|32:]DIRECTORY\n");
}

static void help_of(const Command *command)
{
        printf("usage: drover-img %s %s\n%s.\n", command->name, command->args, command->summary);
}

static const Command *find(const char *name)
{
        for (size_t i = 0; commands[i]; i++)
                if (str_eq(commands[i]->name, name))
                        return commands[i];
        return NULL;
}

/* Behind the command, or behind all else. */
static bool asks_for_help(int argc, char **argv)
{
        const char *last = argv[argc - 1];

        for (int i = 1; i < argc; i++)
                if (str_eq(argv[i], "--"))
                        return false;
        return argc > 1 &&
               (str_eq(argv[1], "-h") || str_eq(argv[1], "--help") || str_eq(last, "-h") || str_eq(last, "--help"));
}

static int run(const Command *command, int argc, char **argv)
{
        int status;

        if (!command->helps_itself && asks_for_help(argc, argv)) {
                help_of(command);
                return 0;
        }
        interrupt_catch();
        confine_look_at(argc, argv);
        status = command->run(argc, argv);
        objects_wipe();
        return status;
}

int main(int argc, char **argv)
{
        const Command *command;
        const char *name;

        name = argc > 0 ? strrchr(argv[0], '/') : NULL;
        program_name = name ? name + 1 : argc > 0 ? argv[0] : program_name;
        /* What QEMU's programs trace is of no meaning here. */
        while (argc > 1 && (str_eq(argv[1], "-T") || str_starts(argv[1], "--trace"))) {
                int words = MIN(argc - 1, strchr(argv[1], '=') ? 1 : 2);

                argv += words;
                argc -= words;
        }
        name = argc > 1 ? argv[1] : NULL;
        if (!name)
                return complain("Not enough arguments\nTry 'drover-img --help' for more information");
        if (str_eq(name, "-h") || str_eq(name, "--help")) {
                help();
                return 0;
        }
        if (str_eq(name, "-V") || str_eq(name, "--version")) {
                print_version();
                return 0;
        }
        if (str_eq(name, "man") || str_eq(name, "completion")) {
                AUTO(Buf) text = { 0 };

                if (str_eq(name, "man"))
                        about_man_page(&text);
                else
                        about_completion(&text);
                fputs(buf_text(&text), stdout);
                return 0;
        }
        command = find(name);
        if (command)
                return run(command, argc - 1, argv + 1);
        return complain("Command not found: %s\nTry 'drover-img --help' for more information", name);
}
