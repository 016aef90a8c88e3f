/*
 * daemon/def-store-rename.c - a definition gets another name
 *
 * A note, the link DIR/.rename/OLD.xml to NEW.xml, is there before the new file is and goes after the old one has: a
 * daemon that finds it with both files there goes on where the last one ended, and with one of them forgets it.
 */
#include "daemon/def-store-private.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Rename {
        DefStore *store;
        char *old_name, *new_name, *note;
        Buf xml;
        bool autostart;
        Error failure; /* why the new name is being taken back */
        StoreDone *done;
        void *arg;
} Rename;

static char *note_of(const DefStore *store, const char *old_name)
{
        return str_format("%s/.rename/%s.xml", store->dir, old_name);
}

static void rename_free(Rename *r)
{
        free(r->old_name);
        free(r->new_name);
        free(r->note);
        buf_done(&r->xml);
        err_done(&r->failure);
        free(r);
}

static void on_undone(void *arg, const Error *failure)
{
        Rename *r = arg;

        if (failure)
                log_warning("'%s' keeps its name, but what was made for the new one stays: %s", r->old_name,
                            failure->text);
        r->done(r->arg, &r->failure);
        rename_free(r);
}

static void undo(Rename *r, const Error *failure)
{
        const char *const note[] = { r->note, NULL };

        err_copy(&r->failure, failure);
        def_store_remove(r->store, r->new_name, NULL, NULL, NULL);
        file_queue_remove(r->store->files, note, on_undone, r);
}

static void on_old_removed(void *arg, const Error *failure)
{
        Rename *r = arg;

        if (failure)
                log_warning("'%s' is '%s' now, but the old definition stays until the next start: %s", r->old_name,
                            r->new_name, failure->text);
        r->done(r->arg, NULL);
        rename_free(r);
}

static void on_marked(void *arg, const Error *failure)
{
        Rename *r = arg;
        AUTOFREE char *mark = def_store_file_of(r->store->autostart_dir, r->old_name);
        AUTOFREE char *path = def_store_file_of(r->store->dir, r->old_name);
        const char *const paths[] = { mark, path, r->note, NULL };

        if (failure)
                undo(r, failure);
        else
                file_queue_remove(r->store->files, paths, on_old_removed, r);
}

static void on_written(void *arg, const Error *failure)
{
        Rename *r = arg;

        if (failure)
                undo(r, failure);
        else if (r->autostart)
                def_store_autostart(r->store, r->new_name, true, on_marked, r);
        else
                on_marked(r, NULL);
}

static void on_noted(void *arg, const Error *failure)
{
        Rename *r = arg;

        if (!failure) {
                def_store_save(r->store, r->new_name, &r->xml, on_written, r);
                return;
        }
        r->done(r->arg, failure);
        rename_free(r);
}

void def_store_rename(DefStore *store, const char *old_name, const char *name, Buf *xml, bool autostart,
                      StoreDone *done, void *arg)
{
        Rename *r = mem_new(Rename);
        AUTOFREE char *target = def_store_file_of("..", name);

        *r = (Rename){ .store = store,
                       .old_name = str_dup(old_name),
                       .new_name = str_dup(name),
                       .note = note_of(store, old_name),
                       .xml = *xml,
                       .autostart = autostart,
                       .done = done,
                       .arg = arg };
        *xml = (Buf){ 0 };
        file_queue_link(store->files, r->note, target, on_noted, r);
}

/* --- what a daemon that was killed left --- */

/* The name that the note leads to; NULL when it is none of ours. */
static char *new_name_of(const char *note)
{
        static const char before[] = "../", after[] = ".xml";
        char target[PATH_MAX];
        ssize_t n = readlink(note, target, sizeof(target) - 1);
        AUTOFREE char *name = NULL;

        if (n < 0)
                return NULL;
        target[n] = '\0';
        if (!str_starts(target, before) || !str_ends(target, after) || (size_t)n < sizeof(before) + sizeof(after) - 2)
                return NULL;
        name = str_dup_n(target + strlen(before), (size_t)n - strlen(before) - strlen(after));
        return strchr(name, '/') ? NULL : TAKE(name);
}

/* Both files are there and define one object. */
static bool is_half_done(const char *old_path, const char *new_path, DefSame *same)
{
        AUTO(Buf) old_xml = { 0 }, new_xml = { 0 };

        return access(old_path, F_OK) == 0 && access(new_path, F_OK) == 0 &&
               file_read_regular(old_path, LARGEST_DEFINITION, &old_xml, NULL, NULL) == 0 &&
               file_read_regular(new_path, LARGEST_DEFINITION, &new_xml, NULL, NULL) == 0 &&
               same(buf_text(&old_xml), buf_text(&new_xml));
}

static int finish(const DefStore *store, const char *old_name, const char *new_name, Error *err)
{
        AUTOFREE char *old_mark = def_store_file_of(store->autostart_dir, old_name);
        AUTOFREE char *new_mark = def_store_file_of(store->autostart_dir, new_name);
        AUTOFREE char *target = def_store_file_of("..", new_name);
        AUTOFREE char *old_path = def_store_file_of(store->dir, old_name);
        struct stat st;

        if (lstat(old_mark, &st) == 0 && file_link_durable(new_mark, target, err) < 0)
                return -1;
        if (file_remove_durable(old_mark, err) < 0 || file_remove_durable(old_path, err) < 0)
                return -1;
        log_info("'%s' is named '%s' now: its renaming had been interrupted", old_name, new_name);
        return 0;
}

static void settle(const DefStore *store, const char *old_name, DefSame *same)
{
        AUTOFREE char *note = note_of(store, old_name), *new_name = new_name_of(note);
        AUTOFREE char *old_path = def_store_file_of(store->dir, old_name);
        AUTOFREE char *new_path = def_store_file_of(store->dir, new_name ? new_name : old_name);
        AUTO(Error) err = { 0 };

        if (new_name && is_half_done(old_path, new_path, same) && finish(store, old_name, new_name, &err) < 0)
                log_error("the renaming of '%s' to '%s' cannot be finished: %s", old_name, new_name, err.text);
        else if (file_remove_durable(note, &err) < 0)
                log_error("%s", err.text);
}

void def_store_settle_renames(DefStore *store, DefSame *same)
{
        AUTOFREE char *notes = str_format("%s/.rename", store->dir);
        DIR *dir = opendir(notes);

        if (!dir)
                return; /* nothing was ever renamed here */
        for (struct dirent *file; (file = readdir(dir));) {
                size_t len = strlen(file->d_name);
                AUTOFREE char *old_name = NULL;

                if (!str_ends(file->d_name, ".xml"))
                        continue;
                old_name = str_dup_n(file->d_name, len - strlen(".xml"));
                settle(store, old_name, same);
        }
        closedir(dir);
}
