/*
 * tests/unit/app/test-table.c - the layout of tables, against what virsh 9.0 printed
 */
#include "app/drover/table.h"

#include "test.h"

#include <locale.h>

TEST(tables_look_as_virsh_prints_them) /* CON-71 */
{
        AUTO(Table) *table = table_new(TITLES("Id#", "Name", "State"));
        AUTO(Buf) text = { 0 };

        table_add(table, CELLS("1", "test", "running"));
        table_print(table, true, &text);
        CHECK_STR(buf_text(&text), " Id   Name   State\n"
                                   "----------------------\n"
                                   " 1    test   running\n");
}

TEST(an_empty_table_is_its_header)
{
        AUTO(Table) *table = table_new(TITLES("Id#", "Name", "State"));
        AUTO(Buf) text = { 0 };

        table_print(table, true, &text);
        CHECK_STR(buf_text(&text), " Id   Name   State\n"
                                   "--------------------\n");
}

TEST(wide_characters_and_empty_last_cells_keep_the_columns)
{
        AUTO(Table) *table = table_new(TITLES("Id#", "Name", "State", "Title"));
        AUTO(Buf) text = { 0 };

        setlocale(LC_CTYPE, "C.UTF-8");
        table_add(table, CELLS("1", "test", "running", ""));
        table_add(table, CELLS("-", "b\u00e4r\u6f22\u5b57", "shut off", ""));
        table_print(table, true, &text);
        CHECK_STR(buf_text(&text), " Id   Name      State      Title\n"
                                   "----------------------------------\n"
                                   " 1    test      running    \n"
                                   " -    b\u00e4r\u6f22\u5b57   shut off   \n");
}

TEST(the_header_can_be_left_out)
{
        AUTO(Table) *table = table_new(TITLES("Target", "Source"));
        AUTO(Buf) text = { 0 };

        table_add(table, CELLS("vda", "/guest/diskimage1"));
        table_print(table, false, &text);
        CHECK_STR(buf_text(&text), " vda   /guest/diskimage1\n");
}

TEST(what_a_terminal_would_obey_is_escaped)
{
        AUTO(Table) *table = table_new(TITLES("Name"));
        AUTO(Buf) text = { 0 };

        setlocale(LC_CTYPE, "C.UTF-8");
        table_add(table, CELLS("a\033[31m\nb\xff"));
        table_print(table, false, &text);
        CHECK_STR(buf_text(&text), " a\\x1b[31m\\x0ab\\xff\n");
}

TEST(rows_become_objects_with_the_types_that_the_titles_say)
{
        AUTO(Table) *table = table_new(TITLES("Id#", "Max Memory", "Autostart?", "Source~"));
        struct json_object *rows;

        table_add(table, CELLS("7", "12", "yes", "/a"));
        table_add(table, CELLS("-", "-", "no", "-"));
        table_add(table, CELLS("18446744073709551615", "", "-", ""));
        rows = table_to_json(table);
        CHECK_STR(json_object_to_json_string_ext(rows, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                  "[{\"id\":7,\"max_memory\":\"12\",\"autostart\":true,\"source\":\"/a\"},"
                  "{\"id\":null,\"max_memory\":\"-\",\"autostart\":false,\"source\":null},"
                  "{\"id\":18446744073709551615,\"max_memory\":\"\",\"autostart\":null,\"source\":\"\"}]");
        json_object_put(rows);
}

TEST(programs_are_told_what_a_terminal_is_not)
{
        AUTO(Table) *table = table_new(TITLES("Name"));
        struct json_object *rows;

        setlocale(LC_CTYPE, "C");
        table_add(table, CELLS("b\u00e4r\x01"));
        table_add(table, CELLS("b\xff"));
        setlocale(LC_CTYPE, "C.UTF-8");
        rows = table_to_json(table);
        CHECK_STR(json_object_to_json_string_ext(rows, JSON_C_TO_STRING_PLAIN),
                  "[{\"name\":\"b\u00e4r\\u0001\"},{\"name\":\"b\\\\xff\"}]");
        json_object_put(rows);
}
