/*
 * tests/unit/app/test-commands.c - the table of commands holds together
 */
#include "app/drover/commands.h"

#include "base/str.h"
#include "test.h"

TEST(every_command_has_a_grammar_a_summary_and_something_to_run)
{
        const Command *command;

        for (int group = 0; group < GROUP_LAST; group++) {
                for (size_t at = 0; (command = command_next(group, &at));) {
                        AUTO(Grammar) *grammar = grammar_new(command->args);

                        CHECK(command->run != NULL);
                        CHECK(command->summary && *command->summary && !str_ends(command->summary, "."));
                        CHECK(command_find(command->name) == command);
                        for (size_t i = 0; i < grammar_len(grammar); i++) {
                                const ArgDef *def = grammar_get(grammar, i);

                                CHECK(*def->doc && !str_ends(def->doc, "."));
                                CHECK(grammar_find(grammar, def->name) == def);
                        }
                }
        }
}

TEST(a_wrong_word_gets_a_hint_that_names_a_command)
{
        CHECK(strstr(command_hint("stop"), "'shutdown'") && strstr(command_hint("stop"), "'destroy'"));
        CHECK_NULL(command_find("stop"));
        CHECK_NULL(command_hint("nonsense"));
}

TEST(what_is_left_out_is_not_there_and_says_why)
{
        const Omission *omission;

        for (size_t at = 0; (omission = omission_next(NULL, false, &at));) {
                AUTO_STRLIST names = str_split(omission->names, " ");

                CHECK(*omission->why && !str_ends(omission->why, "."));
                for (char **name = names; *name; name++) {
                        CHECK_NULL(command_find(*name));
                        CHECK(command_omitted(*name) == omission->why);
                }
        }
        for (size_t at = 0; (omission = omission_next(NULL, true, &at));) {
                AUTO_STRLIST names = str_split(omission->names, " ");

                for (char **name = names; *name; name++) {
                        AUTO(Grammar) *grammar = grammar_new(command_find(*name)->args);

                        CHECK_NULL(grammar_find(grammar, omission->option));
                        CHECK_NULL(command_omitted(*name));
                }
        }
}

TEST(commands_of_a_group_come_by_name)
{
        const Command *command, *before = NULL;

        for (size_t at = 0; (command = command_next(GROUP_SHELL, &at)); before = command)
                CHECK(!before || strcmp(before->name, command->name) < 0);
        CHECK(before != NULL);
}
