/*
 * tests/unit/app/test-help.c - help, manual page and completion, from one entry
 */
#include "app/drover/help.h"

#include "base/file.h"
#include "base/str.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TEST(help_of_a_command_has_the_four_sections)
{
        static const Command command = {
                .name = "tune",
                .args = "DOMAIN          guest: name, ID or UUID\n"
                        "SIZE:NUMBER     how much\n"
                        "[--mode MODE{fast,slow}]   how\n"
                        "[--level=NUMBER]  how far\n"
                        "[--live]        now\n"
                        "[WORD]...       the rest",
                .summary = "tune a guest",
        };
        AUTO(Buf) text = { 0 };

        help_command(&command, &text);
        CHECK_STR(buf_text(&text),
                  "  NAME\n"
                  "    tune - tune a guest\n"
                  "\n"
                  "  SYNOPSIS\n"
                  "    tune <domain> <size> [--mode <string>] [--level <number>] [--live] [[--word] <string>]...\n"
                  "\n"
                  "  DESCRIPTION\n"
                  "    Tune a guest.\n"
                  "\n"
                  "  OPTIONS\n"
                  "    [--domain] <string>  guest: name, ID or UUID\n"
                  "    [--size] <number>  how much\n"
                  "    --mode <string>  how: one of fast, slow\n"
                  "    --level <number>  how far\n"
                  "    --live           now\n"
                  "    [--word] <string>  the rest\n"
                  "\n");
}

TEST(the_manual_has_every_command_and_nothing_troff_would_obey)
{
        AUTO(Buf) page = { 0 };
        const Command *command;

        man_page(&page);
        for (int group = 0; group < GROUP_LAST; group++) {
                for (size_t at = 0; (command = command_next(group, &at));) {
                        AUTO(Buf) heading = { 0 };

                        buf_put_text(&heading, ".SS \"");
                        for (const char *c = command->name; *c; c++)
                                buf_format(&heading, "%s%c", *c == '-' ? "\\" : "", *c);
                        buf_put_text(&heading, "\"\n");
                        CHECK(strstr(buf_text(&page), buf_text(&heading)) != NULL);
                }
        }
        CHECK(strstr(buf_text(&page), "\n'") == NULL);
}

/* What bash completes the last word of the line to. */
static void complete_in_bash(const char *script, const char *words, Buf *ret)
{
        AUTOFREE char *command = str_format(". %s; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _drover; "
                                            "echo \"${COMPREPLY[@]}\"",
                                            script, words);
        AUTOFREE char *line = str_format("bash -c '%s'", command);
        FILE *from = popen(line, "r");
        char piece[256];
        size_t n;

        while ((n = fread(piece, 1, sizeof(piece), from)) > 0)
                buf_put(ret, piece, n);
        CHECK_INT(pclose(from), 0);
}

TEST(bash_takes_the_completion_script_and_completes_by_it)
{
        static const struct {
                const char *words, *completed;
        } cases[] = {
                { "drover ech", "echo\n" },
                { "drover -q qui", "quit\n" },
                { "drover -c qemu:///system --read", "--readonly\n" },
                { "drover echo --sh", "--shell\n" },
                { "drover help conn", "connect\n" },
                { "drover complete dom", "\n" }, /* hidden */
        };
        char path[] = "/tmp/test-completion-XXXXXX";
        int fd = mkstemp(path);
        AUTO(Buf) script = { 0 };
        AUTOFREE char *check = str_format("bash -n %s", path);

        completion_script(&script);
        CHECK_INT(write(fd, script.data, script.len), script.len);
        close(fd);
        CHECK_INT(system(check), 0);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Buf) completed = { 0 };

                complete_in_bash(path, cases[i].words, &completed);
                CHECK_STR(buf_text(&completed), cases[i].completed);
        }
        unlink(path);
}
