/*
 * Every definition of the corpus is read, written, read again and compared, as it is and completed. Given a
 * directory, writes there what came out, for the check against the schema that stock tools use.
 */
#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "model/complete.h"

#include <dirent.h>
#include <stdio.h>

static const CompletionFacts facts = { .emulator = "/usr/bin/qemu-system-x86_64" };

static DomainDef *parse(const char *text, size_t len, const char *name)
{
        AUTO(Warnings) warnings = { 0 };
        AUTO(Error) err = { 0 };
        DomainDef *def = NULL;

        /* what no row knows is an error; what has no effect may be there */
        if (domain_def_parse(text, len, DEF_PARSE_VALIDATE, &def, &warnings, &err) < 0)
                fail_msg("%s: %s", name, err.text);
        return def;
}

/* Texts are long: say where they part. */
static void check_same(const char *name, const char *one, const char *two)
{
        AUTO_STRLIST a = str_split(one, "\n");
        AUTO_STRLIST b = str_split(two, "\n");

        for (size_t i = 0; a[i] || b[i]; i++) {
                if (!str_eq(a[i], b[i]))
                        fail_msg("%s, line %zu: '%s' became '%s'", name, i + 1, a[i] ?: "", b[i] ?: "");
        }
}

static void write_out(const DomainDef *def, const char *name, const char *kind, unsigned flags)
{
        const char *dir = getenv("DROVER_TEST_XML_OUT");
        AUTOFREE char *path = NULL;
        AUTO(Buf) text = { 0 };
        FILE *file;

        if (!dir)
                return;
        path = str_format("%s/%s-%s", dir, kind, name);
        domain_def_format(def, flags, &text);
        file = fopen(path, "we");
        CHECK(file && fwrite(text.data, 1, text.len, file) == text.len);
        fclose(file);
}

static void check_survives(const DomainDef *def, const char *name)
{
        AUTO(DomainDef) *again = NULL;
        AUTO(DomainDef) *copy = domain_def_copy(def);
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        domain_def_format(def, DEF_FORMAT_SECURE, &one);
        again = parse(one.data, one.len, name);
        domain_def_format(again, DEF_FORMAT_SECURE, &two);
        check_same(name, buf_text(&one), buf_text(&two));
        CHECK(fields_equal(&domain_def_info, def, again));
        CHECK(fields_equal(&domain_def_info, def, copy));
        CHECK_INT(domain_def_check_abi(def, again, NULL), 0);
}

static void check_completes(DomainDef *def, const char *name)
{
        AUTO(DomainDef) *once = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };
        AUTO(Buf) again = { 0 };

        if (domain_def_complete(def, &facts, &err) < 0)
                fail_msg("%s: %s", name, err.text);
        domain_def_format(def, 0, &text);
        once = domain_def_copy(def);
        CHECK_INT(domain_def_complete(def, &facts, &err), 0);
        domain_def_format(def, 0, &again);
        check_same(name, buf_text(&text), buf_text(&again));
        CHECK(fields_equal(&domain_def_info, def, once));
}

static void check_file(const char *dir, const char *name)
{
        AUTOFREE char *path = str_format("%s/%s", dir, name);
        AUTO(DomainDef) *def = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };

        CHECK_INT(file_read(path, 1 << 20, &text, &err), 0);
        def = parse(text.data, text.len, name);
        check_survives(def, name);
        write_out(def, name, "plain", 0);
        check_completes(def, name);
        check_survives(def, name);
        write_out(def, name, "complete", 0);
        domain_def_assign_aliases(def);
        check_survives(def, name);
        write_out(def, name, "live", 0);
        write_out(def, name, "inactive", DEF_FORMAT_INACTIVE | DEF_FORMAT_SECURE);
}

TEST(every_definition_of_the_corpus_survives)
{
        DIR *dir = opendir(DOMAIN_XML_DIR);
        unsigned n = 0;

        CHECK(dir);
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (!str_ends(entry->d_name, ".xml"))
                        continue;
                check_file(DOMAIN_XML_DIR, entry->d_name);
                n++;
        }
        closedir(dir);
        CHECK(n >= 11);
}
