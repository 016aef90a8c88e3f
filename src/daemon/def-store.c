/*
 * daemon/def-store.c - definitions of one kind under the configuration directory
 */
#include "daemon/def-store-private.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "loop/parallel.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

DefStore *def_store_new(FileQueue *files, const char *dir)
{
        DefStore *store = mem_new(DefStore);

        *store = (DefStore){ .files = files, .dir = str_dup(dir), .autostart_dir = str_format("%s/autostart", dir) };
        return store;
}

DefStore *def_store_free(DefStore *store)
{
        if (!store)
                return NULL;
        free(store->dir);
        free(store->autostart_dir);
        free(store);
        return NULL;
}

char *def_store_file_of(const char *dir, const char *name)
{
        return str_format("%s/%s.xml", dir, name);
}

int def_store_check_file(const char *file_name, const char *defined_name, Error *err)
{
        return str_eq(file_name, defined_name)
                       ? 0
                       : err_set(err, ERR_XML,
                                 "the file is named '%s.xml' and defines '%s'; rename the one or the other",
                                 file_name, defined_name);
}

int def_store_check_name(const char *kind, const char *name, Error *err)
{
        enum { MOST = 200 };

        if (!*name || str_eq(name, ".") || str_eq(name, ".."))
                return err_set(err, ERR_XML, "<name>: '%s' cannot be the name of a %s", name, kind);
        if (strlen(name) > MOST)
                return err_set(err, ERR_XML, "<name>: the name has %zu bytes; at most %d are allowed", strlen(name),
                               MOST);
        for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
                if (*p == '/' || *p < ' ' || *p == 0x7f)
                        return err_set(err, ERR_XML, "<name>: a name cannot hold '/' or control characters");
        }
        return 0;
}

/* --- reading --- */

typedef struct Entry {
        char *name, *path;
        bool autostart;
        Buf xml;
        void *def;
        Error err;
} Entry;

typedef struct Entries {
        VEC(Entry) list;
        const DefStore *store;
        const DefReader *reader;
        void *arg;
} Entries;

static void entries_done(Entries *entries)
{
        for (size_t i = 0; i < entries->list.len; i++) {
                Entry *entry = &entries->list.items[i];

                free(entry->name);
                free(entry->path);
                buf_done(&entry->xml);
                err_done(&entry->err);
        }
        vec_done(&entries->list);
}
DEFINE_AUTO_VALUE(Entries, entries_done)

static int by_name(const void *a, const void *b)
{
        return strcmp(((const Entry *)a)->name, ((const Entry *)b)->name);
}

static int list_entries(const DefStore *store, Entries *ret, Error *err)
{
        DIR *dir;

        if (dir_make(store->dir, 0700, err) < 0 || dir_make(store->autostart_dir, 0700, err) < 0)
                return -1;
        dir = opendir(store->dir);
        if (!dir)
                return err_errno(err, errno, "cannot open '%s'", store->dir);
        for (struct dirent *file; (file = readdir(dir));) {
                size_t len = strlen(file->d_name);
                Entry entry = { 0 };

                if (!str_ends(file->d_name, ".xml"))
                        continue;
                entry.name = str_dup_n(file->d_name, len - strlen(".xml"));
                entry.path = def_store_file_of(store->dir, entry.name);
                vec_push(&ret->list, entry);
        }
        closedir(dir);
        if (ret->list.len)
                qsort(ret->list.items, ret->list.len, sizeof(Entry), by_name);
        return 0;
}

/* 0, or -1 with entry->err. */
static int read_entry(const DefStore *store, Entry *entry)
{
        AUTOFREE char *mark = def_store_file_of(store->autostart_dir, entry->name);

        entry->autostart = access(mark, F_OK) == 0;
        return file_read(entry->path, LARGEST_DEFINITION, &entry->xml, &entry->err);
}

static void leave_out(Entry *entry)
{
        err_prefix(&entry->err, "'%s'", entry->path);
        log_error("a definition is left out: %s", entry->err.text);
}

int def_store_load(DefStore *store,
                   int (*load)(void *arg, const char *name, const char *xml, bool autostart, Error *err), void *arg,
                   Error *err)
{
        AUTO(Entries) entries = { 0 };

        if (list_entries(store, &entries, err) < 0)
                return -1;
        for (size_t i = 0; i < entries.list.len; i++) {
                Entry *entry = &entries.list.items[i];

                if (read_entry(store, entry) < 0 ||
                    load(arg, entry->name, buf_text(&entry->xml), entry->autostart, &entry->err) < 0)
                        leave_out(entry);
        }
        return 0;
}

static void read_and_parse(void *data, size_t i)
{
        Entries *entries = data;
        Entry *entry = &entries->list.items[i];

        if (read_entry(entries->store, entry) == 0)
                entry->def = entries->reader->parse(entries->arg, buf_text(&entry->xml), &entry->err);
        buf_done(&entry->xml);
}

int def_store_load_many(DefStore *store, const DefReader *reader, void *arg, Error *err)
{
        AUTO(Entries) entries = { .store = store, .reader = reader, .arg = arg };

        if (list_entries(store, &entries, err) < 0)
                return -1;
        parallel_each(entries.list.len, read_and_parse, &entries);
        for (size_t i = 0; i < entries.list.len; i++) {
                Entry *entry = &entries.list.items[i];

                if (!entry->def || reader->add(arg, entry->name, entry->def, entry->autostart, &entry->err) < 0)
                        leave_out(entry);
        }
        return 0;
}

/* --- writing --- */

void def_store_save(DefStore *store, const char *name, Buf *xml, StoreDone *done, void *arg)
{
        AUTOFREE char *path = def_store_file_of(store->dir, name);

        file_queue_write(store->files, path, xml, 0600, true, done, arg);
}

void def_store_remove(DefStore *store, const char *name, const char *const *others, StoreDone *done, void *arg)
{
        enum { MOST_OTHERS = 8 };
        AUTOFREE char *mark = def_store_file_of(store->autostart_dir, name),
                      *path = def_store_file_of(store->dir, name);
        const char *paths[MOST_OTHERS + 3] = { mark };
        size_t n = 1;

        while (others && *others && n <= MOST_OTHERS)
                paths[n++] = *others++;
        paths[n] = path;
        file_queue_remove(store->files, paths, done, arg);
}

void def_store_autostart(DefStore *store, const char *name, bool autostart, StoreDone *done, void *arg)
{
        AUTOFREE char *mark = def_store_file_of(store->autostart_dir, name), *target = def_store_file_of("..", name);
        const char *paths[] = { mark, NULL };

        if (autostart)
                file_queue_link(store->files, mark, target, done, arg);
        else
                file_queue_remove(store->files, paths, done, arg);
}
