/*
 * daemon/nwfilter.c - the network filters of this host
 *
 * A changed filter is put into force first, then made durable, then shown: a
 * daemon that is killed in between comes back with the old one everywhere.
 */
#include "daemon/nwfilter.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- what there is --- */

static NwStored *stored_new(NwFilters *f, const char *name, const Uuid *uuid)
{
        NwStored *stored = mem_new(NwStored);

        *stored = (NwStored){ .name = str_dup(name), .uuid = *uuid };
        registry_add(f->all, name, uuid, stored);
        return stored;
}

static void stored_free(NwStored *stored)
{
        nw_filter_unref(stored->def);
        nw_filter_unref(stored->next);
        free(stored->name);
        free(stored);
}

static void stored_remove(NwFilters *f, NwStored *stored)
{
        registry_remove(f->all, &stored->uuid);
        stored_free(stored);
}

bool nw_stored_is_defined(const NwStored *stored)
{
        return stored->def || stored->stock;
}

NwFilter *nw_stored_def(NwStored *stored)
{
        AUTO(Error) err = { 0 };

        if (!stored->stock)
                return stored->def;
        if (nw_filter_parse(stored->stock->xml, strlen(stored->stock->xml), 0, &stored->def, NULL, &err) < 0) {
                log_error("network filter '%s': %s", stored->name, err.text);
                return NULL;
        }
        stored->def->head->uuid = stored->uuid;
        stored->stock = NULL;
        return stored->def;
}

NwStored *nw_filters_find(const NwFilters *f, const char *name)
{
        NwStored *stored = registry_find_name(f->all, name);

        return stored && nw_stored_is_defined(stored) ? stored : NULL;
}

const NwFilter *nw_filters_newest(void *arg, const char *name)
{
        const NwFilters *f = arg;
        NwStored *stored = registry_find_name(f->all, name);

        return stored && !stored->going ? stored->next ?: nw_stored_def(stored) : NULL;
}

/* --- define --- */

typedef struct Define {
        NwFilters *filters;
        NwStored *stored;
        NwDone *done;
        void *arg;
} Define;

static void define_end(Define *d, const Error *failure)
{
        NwStored *stored = d->stored;

        if (failure) {
                stored->next = nw_filter_unref(stored->next);
                if (!nw_stored_is_defined(stored))
                        stored_remove(d->filters, stored);
        } else {
                nw_filter_unref(stored->def);
                stored->def = TAKE(stored->next);
                stored->stock = NULL;
        }
        d->done(d->arg, failure);
        free(d);
}

static void on_saved(void *arg, const Error *failure)
{
        Define *d = arg;
        NwFilters *f = d->filters;

        define_end(d, failure);
        if (failure)
                nw_bindings_restore(f); /* the new one is in force by now */
}

static void on_in_force(void *arg, const Error *failure)
{
        Define *d = arg;
        Buf xml = { 0 };

        if (failure) {
                define_end(d, failure);
                return;
        }
        nw_filter_format(d->stored->next, &xml);
        def_store_save(d->filters->store, d->stored->name, &xml, on_saved, d);
}

/* The one that def is about, or NULL; -1 when name or UUID is another's. */
static int find_same(NwFilters *f, NwFilter *def, NwStored **ret, Error *err)
{
        NwStored *by_name = registry_find_name(f->all, def->head->name), *by_uuid;
        char text[UUID_TEXT_LEN + 1];

        if (uuid_is_null(&def->head->uuid)) {
                if (by_name)
                        def->head->uuid = by_name->uuid;
                else
                        uuid_new_random(&def->head->uuid);
        }
        by_uuid = registry_find_uuid(f->all, &def->head->uuid);
        if (by_uuid && by_uuid != by_name)
                return err_set(err, ERR_OPERATION_FAILED,
                               "filter with same UUID but different name ('%s') already exists", by_uuid->name);
        if (by_name && !by_uuid)
                return err_set(err, ERR_OPERATION_FAILED, "filter '%s' already exists with uuid %s", by_name->name,
                               uuid_format(&by_name->uuid, text));
        *ret = by_name;
        return 0;
}

void nw_filters_define(NwFilters *f, NwFilter *filter, NwDone *done, void *arg)
{
        AUTO(NwFilter) *def = filter;
        AUTO(Error) err = { 0 };
        NwStored *stored;
        Define *d;

        if (def_store_check_name("network filter", def->head->name, &err) < 0 ||
            find_same(f, def, &stored, &err) < 0) {
                done(arg, &err);
                return;
        }
        if (!stored)
                stored = stored_new(f, def->head->name, &def->head->uuid);
        d = mem_new(Define);
        *d = (Define){ .filters = f, .stored = stored, .done = done, .arg = arg };
        stored->next = TAKE(def);
        if (nw_filter_uses(stored->name, stored->name, nw_filters_newest, f)) {
                err_set(&err, ERR_OPERATION_FAILED, "filter '%s' would introduce a loop", stored->name);
                define_end(d, &err);
                return;
        }
        nw_bindings_refresh(f, stored, on_in_force, d);
}

/* --- undefine --- */

static void on_removed(void *arg, const Error *failure)
{
        Define *d = arg;

        if (failure)
                d->stored->going = false;
        else
                stored_remove(d->filters, d->stored);
        d->done(d->arg, failure);
        free(d);
}

static bool is_taken_in(const NwFilters *f, const NwStored *stored)
{
        for (size_t i = 0; i < registry_len(f->all); i++) {
                const NwFilter *other = nw_stored_def(registry_at(f->all, i));

                for (size_t e = 0; other && e < other->n_entries; e++) {
                        if (other->entries[e].ref && str_eq(other->entries[e].ref->filter, stored->name))
                                return true;
                }
        }
        return false;
}

void nw_filters_undefine(NwFilters *f, NwStored *stored, NwDone *done, void *arg)
{
        AUTO(Error) err = { 0 };
        Define *d;

        if (nw_bindings_use(f, stored->name) || is_taken_in(f, stored)) {
                err_set(&err, ERR_OPERATION_INVALID, "network filter '%s' is in use", stored->name);
                done(arg, &err);
                return;
        }
        stored->going = true; /* a guest that starts meanwhile must do without */
        d = mem_new(Define);
        *d = (Define){ .filters = f, .stored = stored, .done = done, .arg = arg };
        def_store_remove(f->store, stored->name, NULL, on_removed, d);
}

/* --- load --- */

static const char uuid_begins[] = "  <uuid>", uuid_ends[] = "</uuid>\n";

/* As nw_filter_format() writes it: the facts hold the same without a UUID, which follows the first line. */
static void put_stock(const NwStock *stock, const Uuid *uuid, Buf *ret)
{
        size_t head = strcspn(stock->xml, "\n") + 1;
        char text[UUID_TEXT_LEN + 1];

        buf_put(ret, stock->xml, head);
        buf_format(ret, "%s%s%s", uuid_begins, uuid_format(uuid, text), uuid_ends);
        buf_put_text(ret, stock->xml + head);
}

static const NwStock *find_stock(const char *name)
{
        for (size_t i = 0; i < N_NW_STOCK; i++) {
                if (str_eq(nw_stock[i].name, name))
                        return &nw_stock[i];
        }
        return NULL;
}

/* Whether the text is what put_stock() wrote. */
static bool is_stock(const NwStock *stock, const char *xml, Uuid *ret)
{
        size_t head = strcspn(stock->xml, "\n") + 1;
        char text[UUID_TEXT_LEN + 1];
        AUTO(Buf) written = { 0 };

        if (strncmp(xml, stock->xml, head) != 0 || !str_starts(xml + head, uuid_begins))
                return false;
        snprintf(text, sizeof(text), "%.*s", UUID_TEXT_LEN, xml + head + strlen(uuid_begins));
        if (uuid_parse(text, ret) < 0)
                return false;
        put_stock(stock, ret, &written);
        return str_eq(buf_text(&written), xml);
}

static int load_one(void *arg, const char *name, const char *xml, bool autostart UNUSED, Error *err)
{
        NwFilters *f = arg;
        const NwStock *stock = find_stock(name);
        AUTO(NwFilter) *filter = NULL;
        NwStored *stored;
        Uuid uuid;

        /* known to be in order: most hosts use none of them, which then need no XML parser either */
        if (stock && is_stock(stock, xml, &uuid) && !registry_find_uuid(f->all, &uuid) &&
            !registry_find_name(f->all, name)) {
                stored_new(f, name, &uuid)->stock = stock;
                return 0;
        }
        if (nw_filter_parse(xml, strlen(xml), 0, &filter, NULL, err) < 0 ||
            def_store_check_file(name, filter->head->name, err) < 0 || find_same(f, filter, &stored, err) < 0)
                return -1;
        stored = stored ?: stored_new(f, filter->head->name, &filter->head->uuid);
        nw_filter_unref(stored->def);
        stored->def = TAKE(filter);
        return 0;
}

/* At the first start. Whoever removes one later has it removed; an empty file is what a crash left of the first start. */
static int make_stock(NwFilters *f, const char *dir, Error *err)
{
        AUTOFREE char *mark = str_format("%s/stock-made", f->state_dir);
        bool made = access(mark, F_OK) == 0;

        for (size_t i = 0; i < N_NW_STOCK; i++) {
                AUTOFREE char *path = str_format("%s/%s.xml", dir, nw_stock[i].name);
                AUTO(Buf) xml = { 0 };
                struct stat st;
                Uuid uuid;
                bool is_there = lstat(path, &st) == 0;

                if (is_there ? st.st_size > 0 : made || errno != ENOENT)
                        continue;
                uuid_new_random(&uuid);
                put_stock(&nw_stock[i], &uuid, &xml);
                if (file_write_atomic(path, xml.data, xml.len, 0600, err) < 0)
                        return -1;
        }
        return made ? 0 : file_write_durable(mark, "", 0, 0600, err);
}

int nw_filters_load(Driver *driver, FileQueue *files, Error *err)
{
        const DaemonDirs *dirs = &driver->daemon->dirs;
        AUTOFREE char *dir = str_format("%s/nwfilter", dirs->config);
        NwFilters *f = mem_new(NwFilters);

        driver->nwfilters = f;
        *f = (NwFilters){ .driver = driver,
                          .all = registry_new(),
                          .files = files,
                          .store = def_store_new(files, dir),
                          .jobs = job_slot_new(driver->daemon->loop),
                          .run_dir = str_format("%s/nwfilter", dirs->run),
                          .state_dir = str_format("%s/nwfilter", dirs->state) };
        if (dir_make(dir, 0700, err) < 0 || dir_make(f->run_dir, 0755, err) < 0 ||
            dir_make(f->state_dir, 0755, err) < 0 || make_stock(f, dir, err) < 0 ||
            def_store_load(f->store, load_one, f, err) < 0)
                return -1;
        return nw_bindings_load(f, err);
}

NwFilters *nw_filters_free(NwFilters *f)
{
        if (!f)
                return NULL;
        nw_bindings_free(f);
        for (size_t i = 0; i < registry_len(f->all); i++)
                stored_free(registry_at(f->all, i));
        registry_free(f->all);
        def_store_free(f->store);
        job_slot_free(f->jobs);
        free(f->run_dir);
        free(f->state_dir);
        free(f);
        return NULL;
}
