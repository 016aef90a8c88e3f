/*
 * app/drover/os-variant.c - how much disk a system wants, as the database of libosinfo says (STO-39)
 *
 * The database is some hundreds of XML files. Short names are inside them, so a file is parsed when the name stands in its
 * text. What a system says for several architectures, the largest counts.
 */
#include "app/drover/os-variant.h"

#include "base/file.h"
#include "base/str.h"
#include "model/xml.h"

#include <dirent.h>
#include <errno.h>

enum { MOST_FILE = 1 << 20 };

static bool is_called(const XmlNode *os, const char *name)
{
        for (const XmlNode *id = xml_next(os->first, "short-id"); id; id = xml_next(id->next, "short-id")) {
                if (str_eq(id->text, name))
                        return true;
        }
        return false;
}

static void take_larger(const XmlNode *resources, const char *which, uint64_t *ret)
{
        const XmlNode *part = xml_find(resources, which);
        const XmlNode *storage = part ? xml_find(part, "storage") : NULL;
        uint64_t bytes;

        if (storage && storage->text && str_to_u64(storage->text, &bytes) == 0 && bytes > *ret)
                *ret = bytes;
}

/* Whether the file is about the system. One that cannot be read is about another. */
static bool read_variant(const char *path, const char *name, OsDisk *ret)
{
        AUTOFREE char *id = str_format(">%s<", name);
        AUTO(XmlDoc) doc = { 0 };
        AUTO(Buf) text = { 0 };
        const XmlNode *os;

        if (file_read(path, MOST_FILE, &text, NULL) < 0 || !strstr(buf_text(&text), id) ||
            xml_parse(text.data, text.len, path, &doc, NULL) < 0)
                return false;
        os = xml_find(doc.root, "os");
        if (!os || !is_called(os, name))
                return false;
        *ret = (OsDisk){ 0 };
        for (const XmlNode *r = xml_next(os->first, "resources"); r; r = xml_next(r->next, "resources")) {
                take_larger(r, "minimum", &ret->minimum);
                take_larger(r, "recommended", &ret->recommended);
        }
        return true;
}

static bool search_vendor(const char *dir, const char *name, OsDisk *ret)
{
        DIR *files = opendir(dir);
        bool found = false;

        for (struct dirent *entry; files && !found && (entry = readdir(files));) {
                AUTOFREE char *path = str_format("%s/%s", dir, entry->d_name);

                found = str_ends(entry->d_name, ".xml") && read_variant(path, name, ret);
        }
        if (files)
                closedir(files);
        return found;
}

int os_variant_disk(const char *dir, const char *name, OsDisk *ret, Error *err)
{
        DIR *vendors = opendir(dir);
        bool found = false;

        if (!vendors)
                return err_errno(err, errno, "cannot open '%s', where osinfo-db says what systems need", dir);
        for (struct dirent *entry; !found && (entry = readdir(vendors));) {
                AUTOFREE char *path = str_format("%s/%s", dir, entry->d_name);

                found = entry->d_name[0] != '.' && search_vendor(path, name, ret);
        }
        closedir(vendors);
        return found ? 0
                     : err_set(err, ERR_INVALID_ARG, "no system is called '%s'; osinfo-query os lists them", name);
}
