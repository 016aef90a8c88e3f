/*
 * daemon/def-store.c - definitions of one kind under the configuration directory
 */
#include "daemon/def-store-private.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

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

static int by_name(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int def_store_list(const DefStore *store, char ***ret, Error *err)
{
        VEC(char *) names = { 0 };
        DIR *dir;

        if (dir_make(store->dir, 0700, err) < 0 || dir_make(store->autostart_dir, 0700, err) < 0)
                return -1;
        dir = opendir(store->dir);
        if (!dir)
                return err_errno(err, errno, "cannot open '%s'", store->dir);
        for (struct dirent *file; (file = readdir(dir));) {
                if (str_ends(file->d_name, ".xml"))
                        vec_push(&names, str_dup_n(file->d_name, strlen(file->d_name) - strlen(".xml")));
        }
        closedir(dir);
        if (names.len)
                qsort(names.items, names.len, sizeof(*names.items), by_name);
        vec_push(&names, NULL);
        *ret = names.items;
        return 0;
}

void def_store_leave_out(const DefStore *store, const char *name, const Error *why)
{
        log_error("a definition is left out: '%s/%s.xml': %s", store->dir, name, why->text);
}

int def_store_load(DefStore *store,
                   int (*load)(void *arg, const char *name, const char *xml, bool autostart, Error *err), void *arg,
                   Error *err)
{
        AUTO_STRLIST names = NULL;

        if (def_store_list(store, &names, err) < 0)
                return -1;
        for (char **name = names; *name; name++) {
                AUTOFREE char *path = def_store_file_of(store->dir, *name);
                AUTOFREE char *mark = def_store_file_of(store->autostart_dir, *name);
                AUTO(Error) why = { 0 };
                AUTO(Buf) xml = { 0 };

                if (file_read_regular(path, LARGEST_DEFINITION, &xml, NULL, &why) < 0 ||
                    load(arg, *name, buf_text(&xml), access(mark, F_OK) == 0, &why) < 0)
                        def_store_leave_out(store, *name, &why);
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
