#include "test.h"

#include "base/str.h"
#include "model/storage.h"

static const char *refused(const char *type, const char *source, Error *err)
{
        AUTOFREE char *xml = str_format("<pool type='%s'><name>p</name><source>%s</source>"
                                        "<target><path>/mnt</path></target></pool>",
                                        type, source);
        PoolDef *def = NULL;

        if (pool_def_parse(xml, strlen(xml), 0, &def, NULL, err) == 0) {
                pool_def_unref(def);
                return "it was taken";
        }
        return err->text;
}

TEST(no_word_of_a_source_is_an_option_of_the_programs_that_get_it)
{
        static const struct {
                const char *type, *source, *what;
        } wrong[] = {
                { "netfs", "<host name='-obind'/><dir path='/x'/>", "host name '-obind' cannot begin with a dash" },
                { "netfs", "<host name='h'/><dir path='-x'/>", "source directory '-x'" },
                { "netfs", "<host name='h'/><dir path='/x'/><protocol ver='3,suid'/>", "protocol version '3,suid'" },
                { "fs", "<device path='--all'/>", "device path '--all'" },
                { "zfs", "<name>-r</name>", "source name '-r'" },
        };
        static const char unnamed[] = "<pool type='zfs'><name>-r</name></pool>";
        static const char spec[] = "<source><host name='--all'/></source>";
        static const char usual[] = "<source><host name='h'/><dir path='/x'/><protocol ver='4.1'/></source>";
        AUTO(PoolSourcesDef) *sources = NULL;
        AUTO(Error) err = { 0 };
        PoolDef *def = NULL;

        for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
                const char *said = refused(wrong[i].type, wrong[i].source, &err);

                if (!strstr(said, wrong[i].what))
                        fail_msg("%s: %s", wrong[i].source, said);
        }
        CHECK_INT(pool_def_parse(unnamed, strlen(unnamed), 0, &def, NULL, &err), -1);
        CHECK_INT(pool_sources_parse(spec, strlen(spec), &sources, &err), -1);
        CHECK(strstr(err.text, "host name '--all'"));
        CHECK_INT(pool_sources_parse(usual, strlen(usual), &sources, &err), 0);
}

/* What programs write that have nothing to say about the source. */
TEST(a_line_s_end_in_an_empty_element_is_no_text)
{
        static const char blank[] = "<pool type='dir'><name>p</name><source>\n  </source>"
                                    "<target><path>/x</path></target></pool>";
        static const char words[] = "<pool type='dir'><name>p</name><source>\n x </source>"
                                    "<target><path>/x</path></target></pool>";
        AUTO(Warnings) warnings = { 0 };
        AUTO(PoolDef) *def = NULL, *other = NULL;
        AUTO(Error) err = { 0 };

        CHECK_INT(pool_def_parse(blank, strlen(blank), DEF_PARSE_VALIDATE, &def, &warnings, &err), 0);
        CHECK_INT(warnings.list.len, 0);
        CHECK_INT(pool_def_parse(words, strlen(words), 0, &other, &warnings, &err), 0);
        CHECK_STR(warnings.list.items[0], "line 2: text in /pool/source is not known");
}

TEST(pools_on_one_directory_are_told_however_its_path_is_written)
{
        static const struct {
                const char *a, *b;
                bool same;
        } rows[] = {
                { "/a/b", "/a/b", true },       { "/a/b", "/a/b/", true },    { "/a/b", "/a//b", true },
                { "/a/b", "/a/./b", true },     { "/a/./b", "/a/b/.", true }, { "/./a/b", "/a/././b", true },
                { "/a/b", "/a/.b", false },     { "/a/b", "/a/b./", false },  { "/a/b", "/a/bc", false },
                { "/a/b", "/a/c/../b", false }, { "/a/..", "/a", false },     { "/", "/", true },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTOFREE char *a = str_format(
                        "<pool type='dir'><name>a</name><target><path>%s</path></target></pool>", rows[i].a);
                AUTOFREE char *b = str_format(
                        "<pool type='dir'><name>b</name><target><path>%s</path></target></pool>", rows[i].b);
                AUTO(PoolDef) *one = NULL;
                AUTO(PoolDef) *two = NULL;

                CHECK_INT(pool_def_parse(a, strlen(a), 0, &one, NULL, NULL), 0);
                CHECK_INT(pool_def_parse(b, strlen(b), 0, &two, NULL, NULL), 0);
                if (pool_def_same_source(one, two) != rows[i].same)
                        fail_msg("'%s' and '%s'", rows[i].a, rows[i].b);
        }
}
