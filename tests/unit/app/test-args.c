/*
 * tests/unit/app/test-args.c - command lines by their grammar
 */
#include "app/drover/args.h"

#include "test.h"

#include <stdio.h>
#include <string.h>

static const char grammar_text[] = "DOMAIN                     the guest\n"
                                   "COUNT:NUMBER               how many\n"
                                   "[--mode MODE{acpi,agent}]  how\n"
                                   "[--live]                  now\n"
                                   "[--tunnelled|tunneled]    both spellings\n"
                                   "[--xpath=EXPR]            by name only\n"
                                   "[--readonly]              for reading\n"
                                   "[WORD]...                 the rest\n";

enum { MOST_WORDS = 12 };

/* What a line of words comes to: "domain=g count=3", or the complaint. Static text. */
static const char *outcome(const char *line)
{
        static char text[512];
        char copy[256];
        const char *words[MOST_WORDS];
        size_t n = 0;
        AUTO(Grammar) *grammar = grammar_new(grammar_text);
        AUTO(Args) *args = NULL;
        AUTO(Error) err = { 0 };

        strcpy(copy, line);
        for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
                words[n++] = word;
        args = args_parse(grammar, "cmd", words, n, &err);
        *text = '\0';
        if (!args)
                return strcpy(text, err.text);
        for (size_t i = 0; i < grammar_len(grammar); i++) {
                const ArgDef *def = grammar_get(grammar, i);

                for (size_t j = 0; j < arg_count(args, def->name); j++)
                        sprintf(text + strlen(text), "%s%s=%s", *text ? " " : "", def->name,
                                arg_nth(args, def->name, j));
        }
        return text;
}

TEST(words_go_to_options_by_name_and_by_position)
{
        static const struct {
                const char *line, *outcome;
        } cases[] = {
                { "g 3", "domain=g count=3" },
                { "--domain g 3", "domain=g count=3" },
                { "3 --domain g", "domain=g count=3" },
                { "--count=3 g", "domain=g count=3" },
                { "g --live 3", "domain=g count=3 live=" },
                { "g 3 acpi", "domain=g count=3 mode=acpi" },
                { "g 3 acpi a b", "domain=g count=3 mode=acpi word=a word=b" },
                { "g 3 --mode acpi --word a --word b", "domain=g count=3 mode=acpi word=a word=b" },
                { "g 3 --xpath=//x", "domain=g count=3 xpath=//x" },
                { "g 3 --tunneled", "domain=g count=3 tunnelled=" },
                { "g 3 --tunnelled", "domain=g count=3 tunnelled=" },
                { "g 3 -readonly", "domain=g count=3 readonly=" },
                { "g -1", "domain=g count=-1" },
                { "-- --live 3", "domain=--live count=3" },
                { "g 3 m - x", "domain=g count=3 mode=m word=- word=x" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                CHECK_STR(outcome(cases[i].line), cases[i].outcome);
}

TEST(what_does_not_fit_is_refused_in_the_words_virsh_users_know)
{
        static const struct {
                const char *line, *complaint;
        } cases[] = {
                { "", "command 'cmd' requires <domain> option\ncommand 'cmd' requires --count option" },
                { "g", "command 'cmd' requires --count option" },
                { "g 3 --foo", "command 'cmd' doesn't support option --foo" },
                { "g 3 --foo=1", "command 'cmd' doesn't support option --foo" },
                { "g 3 --domain h --domain g", "option --domain already seen" },
                { "g 3 --tunneled --tunnelled", "option --tunnelled already seen" },
                { "g 3 --live=1", "invalid '=' after option --live" },
                { "g 3 --mode", "expected syntax: --mode <string>" },
                { "g --count", "expected syntax: --count <number>" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                CHECK_STR(outcome(cases[i].line), cases[i].complaint);
}

TEST(a_word_too_many_is_refused_where_there_is_no_rest)
{
        AUTO(Grammar) *grammar = grammar_new("DOMAIN  the guest");
        const char *words[] = { "a", "b" };
        AUTO(Error) err = { 0 };

        CHECK_NULL(args_parse(grammar, "cmd", words, 2, &err));
        CHECK_STR(err.text, "unexpected data 'b'");
}

TEST(an_empty_text_is_refused_but_where_it_means_something)
{
        AUTO(Grammar) *grammar = grammar_new(
                "DOMAIN  the guest\n[--device DISK~]  all unless given\n[--size SIZE]  bytes");
        static const struct {
                const char *words[3], *complaint;
        } cases[] = {
                { { "g", "", "1" }, NULL },
                { { "", "vda", "1" }, "Failed to get option 'domain': Option argument is empty" },
        };

        CHECK_STR(grammar_find(grammar, "device")->placeholder, "DISK");
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Error) err = { 0 };
                AUTO(Args) *args = args_parse(grammar, "cmd", cases[i].words, 3, &err);

                CHECK_INT(args_check_empty(args, &err), cases[i].complaint ? -1 : 0);
                if (cases[i].complaint)
                        CHECK_STR(err.text, cases[i].complaint);
        }
}

TEST(help_is_asked_for_even_when_something_is_missing)
{
        AUTO(Grammar) *grammar = grammar_new(grammar_text);
        const char *words[] = { "--help" };
        AUTO(Args) *args = args_parse(grammar, "cmd", words, 1, NULL);

        CHECK(args && args_want_help(args));
}

TEST(numbers_and_sizes_are_checked_to_the_last_character)
{
        static const struct {
                const char *text;
                uint64_t bytes;
                bool good;
        } cases[] = {
                { "512", 512 * 1024, true }, { "2G", 2ULL << 30, true }, { "1KB", 1000, true },
                { "1k", 1024, true },        { "-1", 0, false },         { "99999999999999E", 0, false },
                { "12q", 0, false },         { "G", 0, false },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Grammar) *grammar = grammar_new("SIZE  how much");
                const char *words[] = { cases[i].text };
                AUTO(Args) *args = args_parse(grammar, "cmd", words, 1, NULL);
                AUTO(Error) err = { 0 };
                uint64_t bytes = 0;

                CHECK_INT(arg_size(args, "size", 1024, &bytes, &err), cases[i].good ? 1 : -1);
                CHECK_INT(bytes, cases[i].bytes);
                CHECK(err_is_set(&err) == !cases[i].good);
        }
}
