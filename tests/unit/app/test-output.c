/*
 * tests/unit/app/test-output.c - the same words as text and as JSON
 */
#include "app/drover/output.h"

#include "base/fd.h"
#include "test.h"

#include <pty.h>
#include <string.h>
#include <unistd.h>

static char *printed(bool json, bool quiet, void (*say)(Output *out))
{
        char *text = NULL;
        size_t len;
        FILE *to = open_memstream(&text, &len);
        Output *out = output_new(json, quiet, to);

        say(out);
        out_end(out);
        output_free(out);
        fclose(to);
        return text;
}

static void say_fields(Output *out)
{
        out_field(out, 16, "OS Type", "%s", "linux");
        out_number(out, 16, "Max memory", 1024, "KiB");
}

static void say_table(Output *out)
{
        AUTO(Table) *table = table_new(TITLES("Name"));

        table_add(table, CELLS("g"));
        out_table(out, table);
}

static void say_done(Output *out)
{
        out_done(out, "Domain '%s' started", "g");
}

static void say_empty_list(Output *out)
{
        out_list(out);
        out_succeed(out);
}

static void say_nothing(Output *out)
{
        out_succeed(out);
}

static void say_in_steps(Output *out)
{
        out_set_text(out, "step", "first");
        out_flush(out);
        out_succeed(out);
}

static void say_what_is_and_is_not(Output *out)
{
        out_yes_no(out, 16, "Persistent", true);
        out_yes_no(out, 16, "Autostart", false);
        out_none(out, 16, "Id", "-");
}

/* As a guest may call itself. */
static void say_a_hostile_name(Output *out)
{
        out_value(out, "hostname", "a\033[31m\tb\xc2\x9b\x7f\xff\xc3\xa4");
}

TEST(output_is_text_or_one_json_document)
{
        static const struct {
                void (*say)(Output *out);
                bool json, quiet;
                const char *text;
        } cases[] = {
                { say_fields, false, false, "OS Type:        linux\nMax memory:     1024 KiB\n\n" },
                { say_fields, false, true, "OS Type:        linux\nMax memory:     1024 KiB\n" },
                { say_fields, true, false, "{\n  \"os_type\":\"linux\",\n  \"max_memory_kib\":1024\n}\n" },
                { say_table, false, false, " Name\n-------\n g\n\n" },
                { say_table, false, true, " g\n" },
                { say_table, true, false, "[\n  {\n    \"name\":\"g\"\n  }\n]\n" },
                { say_done, false, false, "Domain 'g' started\n\n" },
                { say_done, false, true, "" },
                { say_done, true, true, "{\n  \"message\":\"Domain 'g' started\"\n}\n" },
                { say_empty_list, true, false, "[\n]\n" },
                { say_empty_list, false, true, "" },
                { say_nothing, true, false, "{\n}\n" },
                { say_nothing, false, false, "\n" },
                { say_in_steps, true, false, "{\"step\":\"first\"}\n" },
                { say_what_is_and_is_not, false, true,
                  "Persistent:     yes\nAutostart:      no\nId:             -\n" },
                { say_what_is_and_is_not, true, false,
                  "{\n  \"persistent\":true,\n  \"autostart\":false,\n  \"id\":null\n}\n" },
                { say_a_hostile_name, false, true, "a\033[31m\tb\xc2\x9b\x7f\xff\xc3\xa4\n" },
                { say_a_hostile_name, true, false,
                  "{\n  \"hostname\":\"a\\u001b[31m\\tb\\u009b\\u007f\\\\xff\xc3\xa4\"\n}\n" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *text = printed(cases[i].json, cases[i].quiet, cases[i].say);

                CHECK_STR(text, cases[i].text);
        }
}

TEST(a_terminal_is_shown_what_it_would_obey) /* and a program is given it */
{
        AUTO(Fd) ours = -1;
        char text[256] = { 0 };
        Output *out;
        FILE *to;
        int theirs;

        CHECK(openpty(&ours, &theirs, NULL, NULL, NULL) == 0);
        to = fdopen(theirs, "w");
        out = output_new(false, true, to);
        say_a_hostile_name(out);
        out_done(out, "not said");
        out_end(out);
        CHECK(read(ours, text, sizeof(text) - 1) > 0);
        CHECK_STR(text, "a\\x1b[31m\tb\\xc2\\x9b\\x7f\\xff\xc3\xa4\r\n");
        output_free(out);
        fclose(to);
}
