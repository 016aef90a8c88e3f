/*
 * daemon/qemu-store.c - definitions under the configuration directory
 *
 * DIR/qemu/NAME.xml holds a definition, DIR/qemu/autostart/NAME.xml is a link
 * to it when it starts with the host. They are the truth: what an administrator
 * writes there by hand counts at the next start. A file that cannot be read or
 * parsed is named in the log and left alone.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/define.h"
#include "daemon/qemu-driver.h"
#include "wire/constants.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

enum { LARGEST_DEFINITION = 10 * 1024 * 1024 };

static char *config_path(const QemuDriver *qemu, const char *name)
{
        return str_format("%s/%s.xml", qemu->config_dir, name);
}

static char *autostart_path(const QemuDriver *qemu, const char *name)
{
        return str_format("%s/%s.xml", qemu->autostart_dir, name);
}

static int load_one(QemuDriver *qemu, const char *file, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s", qemu->config_dir, file);
        AUTOFREE char *mark = str_format("%s/%s", qemu->autostart_dir, file);
        AUTOFREE char *saved = str_format("%s/%.*s.save", qemu->save_dir, (int)strlen(file) - 4, file);
        AUTO(Buf) xml = { 0 };
        AUTO(DomainDef) *def = NULL;
        Domain *dom;

        if (file_read(path, LARGEST_DEFINITION, &xml, err) < 0)
                return -1;
        def = define_parse(qemu->driver, buf_text(&xml), false, true, err);
        if (!def || define_find(qemu->driver, def, &dom, err) < 0)
                return err_prefix(err, "'%s'", path);
        if (strlen(file) != strlen(def->name) + 4 || !str_starts(file, def->name))
                return err_set(err, ERR_XML, "'%s' defines a guest named '%s'; rename the file or the guest", path,
                               def->name);
        dom = define_add(qemu->driver, def);
        dom->persistent = true;
        dom->autostart = access(mark, F_OK) == 0;
        dom->has_managed_save = access(saved, F_OK) == 0;
        domain_set_config(dom, TAKE(def));
        return 0;
}

int qemu_store_load(QemuDriver *qemu, Error *err)
{
        DIR *dir;

        if (dir_make(qemu->config_dir, 0700, err) < 0 || dir_make(qemu->autostart_dir, 0700, err) < 0)
                return -1;
        dir = opendir(qemu->config_dir);
        if (!dir)
                return err_errno(err, errno, "cannot open '%s'", qemu->config_dir);
        for (struct dirent *entry; (entry = readdir(dir));) {
                AUTO(Error) why = { 0 };

                if (entry->d_name[0] != '.' && str_ends(entry->d_name, ".xml") &&
                    load_one(qemu, entry->d_name, &why) < 0)
                        log_error("a definition is left out: %s", why.text);
        }
        closedir(dir);
        return 0;
}

void qemu_store_save(Domain *dom, DomainDef *def, DriverDone *done, void *arg)
{
        QemuDriver *qemu = qemu_driver(dom->driver);
        AUTOFREE char *path = config_path(qemu, def->name);
        AUTO(Buf) xml = { 0 };
        AUTO(Error) err = { 0 };

        if (domain_def_format(def, DEF_FORMAT_INACTIVE | DEF_FORMAT_SECURE, &xml) < 0) {
                err_set(&err, ERR_INTERNAL, "the definition of '%s' cannot be written as XML", def->name);
                done(arg, &err);
                return;
        }
        file_queue_write(qemu->files, path, &xml, 0600, true, done, arg);
}

void qemu_store_remove(Domain *dom, unsigned undefine_flags, DriverDone *done, void *arg)
{
        QemuDriver *qemu = qemu_driver(dom->driver);
        AUTOFREE char *mark = autostart_path(qemu, dom->name);
        AUTOFREE char *save = str_format("%s/%s.save", qemu->save_dir, dom->name);
        AUTOFREE char *path = config_path(qemu, dom->name);
        const char *paths[5] = { mark };
        size_t n = 1;

        if (undefine_flags & VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
                paths[n++] = save;
        if (undefine_flags & VIR_DOMAIN_UNDEFINE_NVRAM && dom->config->os.nvram)
                paths[n++] = dom->config->os.nvram;
        /* the definition last: while it is there, the rest can be removed again */
        paths[n++] = path;
        file_queue_remove(qemu->files, paths, done, arg);
}

void qemu_store_autostart(Domain *dom, bool autostart, DriverDone *done, void *arg)
{
        QemuDriver *qemu = qemu_driver(dom->driver);
        AUTOFREE char *mark = autostart_path(qemu, dom->name);
        AUTOFREE char *target = str_format("../%s.xml", dom->name);
        const char *paths[] = { mark, NULL };

        if (autostart)
                file_queue_link(qemu->files, mark, target, done, arg);
        else
                file_queue_remove(qemu->files, paths, done, arg);
}

/* --- another name: the new file first, then its mark, then the old ones go --- */

typedef struct Rename {
        QemuDriver *qemu;
        char *old_name, *new_name;
        bool autostart;
        DriverDone *done;
        void *arg;
} Rename;

static void end_rename(void *arg, const Error *failure)
{
        Rename *r = arg;

        r->done(r->arg, failure);
        free(r->old_name);
        free(r->new_name);
        free(r);
}

static void remove_old(void *arg, const Error *failure)
{
        Rename *r = arg;
        AUTOFREE char *mark = autostart_path(r->qemu, r->old_name), *path = config_path(r->qemu, r->old_name);
        const char *paths[] = { mark, path, NULL };

        if (failure)
                end_rename(r, failure);
        else
                file_queue_remove(r->qemu->files, paths, end_rename, r);
}

static void mark_new(void *arg, const Error *failure)
{
        Rename *r = arg;
        AUTOFREE char *mark = autostart_path(r->qemu, r->new_name), *target = str_format("../%s.xml", r->new_name);

        if (failure || !r->autostart)
                remove_old(r, failure);
        else
                file_queue_link(r->qemu->files, mark, target, remove_old, r);
}

void qemu_store_rename(Domain *dom, DomainDef *def, const char *old_name, DriverDone *done, void *arg)
{
        Rename *r = mem_new(Rename);

        *r = (Rename){ .qemu = qemu_driver(dom->driver),
                       .old_name = str_dup(old_name),
                       .new_name = str_dup(def->name),
                       .autostart = dom->autostart,
                       .done = done,
                       .arg = arg };
        qemu_store_save(dom, def, mark_new, r);
}
