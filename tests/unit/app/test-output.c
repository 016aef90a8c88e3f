/*
 * tests/unit/app/test-output.c - the same words as text and as JSON
 */
#include "app/drover/output.h"

#include "test.h"

#include <string.h>

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
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *text = printed(cases[i].json, cases[i].quiet, cases[i].say);

                CHECK_STR(text, cases[i].text);
        }
}
