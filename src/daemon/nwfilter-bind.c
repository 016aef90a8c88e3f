/*
 * daemon/nwfilter-bind.c - putting filters into force on devices, and others in their place
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/nwfilter-binding.h"
#include "daemon/nwfilter-learn.h"
#include "host/net.h"
#include "model/def.h"

/* --- several at once --- */

struct NwBind {
        NwFilters *filters;
        VEC(char *) devs; /* whose bindings were made for it */
        NwDone *done;     /* NULL: nobody waits any more */
        void *arg;
        bool is_sync; /* the one who began it has not returned yet */
        Error failure;
        bool is_over;
};

static void bind_free(NwBind *bind)
{
        for (size_t i = 0; i < bind->devs.len; i++)
                free(bind->devs.items[i]);
        vec_done(&bind->devs);
        err_done(&bind->failure);
        free(bind);
}

/* They never came into force. */
static void drop_made(NwBind *bind)
{
        for (size_t i = 0; i < bind->devs.len; i++) {
                NwBinding *b = nw_binding_find(bind->filters, bind->devs.items[i]);

                if (!b)
                        continue;
                vec_remove_item(&bind->filters->bindings, b);
                nw_binding_free(b);
        }
}

static void on_bound(void *arg, const Error *failure)
{
        NwBind *bind = arg;

        if (failure)
                drop_made(bind);
        if (bind->is_sync) {
                bind->is_over = true;
                if (failure)
                        err_copy(&bind->failure, failure);
                return;
        }
        if (bind->done)
                bind->done(bind->arg, failure);
        bind_free(bind);
}

NwBind *nw_bind_free(NwBind *bind)
{
        if (bind)
                bind->done = NULL;
        return NULL;
}

/* b joins the list and is put into text; it is freed on failure. */
static int join(NwBind *bind, NwBinding *b, Buf *text, Error *err)
{
        NwFilters *f = bind->filters;

        if (nw_binding_find(f, b->def->portdev)) {
                err_set(err, ERR_OPERATION_FAILED, "a filter is in force on '%s' already", b->def->portdev);
                nw_binding_free(b);
                return -1;
        }
        vec_push(&f->bindings, b);
        vec_push(&bind->devs, str_dup(b->def->portdev));
        if (nw_binding_prepare(b, err) < 0 || nw_binding_listen(b, err) < 0)
                return -1;
        return nw_binding_put_change(b, text, err);
}

/* Everything that joined is put into force by one change. Takes bind; NULL with err on failure. */
static NwBind *bind_begin(NwBind *bind, Buf *text, Error *err)
{
        nft_table_change(bind->filters->table, buf_take(text), on_bound, bind);
        bind->is_sync = false;
        if (!bind->is_over)
                return bind;
        if (!err_is_set(&bind->failure))
                err_set(&bind->failure, ERR_INTERNAL, "nft ended before it began");
        err_move(err, &bind->failure);
        bind_free(bind);
        return NULL;
}

NwBind *nw_bind_new(Domain *dom, InterfaceDef *const *nics, size_t n, NwDone *done, void *arg, Error *err)
{
        NwFilters *f = dom->driver->nwfilters;
        NwBind *bind = NULL;
        Buf text = { 0 };
        int rc = 0;

        for (size_t i = 0; rc == 0 && i < n; i++) {
                if (!nics[i]->filterref)
                        continue;
                if (!bind) {
                        bind = mem_new(NwBind);
                        *bind = (NwBind){ .filters = f, .done = done, .arg = arg, .is_sync = true };
                        nw_rules_put_base(false, &text);
                }
                if (!nics[i]->target_dev || nics[i]->type == INTERFACE_TYPE_DIRECT || nics[i]->source_dev)
                        rc = err_set(err, ERR_CONFIG_UNSUPPORTED,
                                     "filterref is not supported for network interfaces of type %s",
                                     interface_type_text(nics[i]->type));
                else
                        rc = join(bind, nw_binding_new(f, nw_binding_def_of_guest(dom, nics[i]), false), &text, err);
        }
        if (rc == 0 && bind)
                return bind_begin(bind, &text, err);
        buf_done(&text);
        if (bind) {
                drop_made(bind);
                bind_free(bind);
        }
        return NULL;
}

static bool is_of(const NwBinding *b, const Domain *dom)
{
        return !b->by_user && uuid_eq(&b->def->owner_uuid, &dom->uuid);
}

void nw_unbind(const Domain *dom, const InterfaceDef *nic)
{
        NwBinding *b = dom->driver->nwfilters && nic->target_dev
                               ? nw_binding_find(dom->driver->nwfilters, nic->target_dev)
                               : NULL;

        if (b && is_of(b, dom))
                nw_binding_remove(b, NULL, NULL);
}

/* --- what was learned about a guest that moves --- */

static bool is_learned_of(const NwBinding *b, const Domain *dom)
{
        return b->learner && is_of(b, dom);
}

void nw_learned_list(const Domain *dom, NwLearnedList *ret)
{
        const NwFilters *f = dom->driver->nwfilters;

        for (size_t i = 0; f && i < f->bindings.len; i++) {
                if (is_learned_of(f->bindings.items[i], dom))
                        nw_learner_list(f->bindings.items[i]->learner, ret);
        }
}

void nw_learned_take(const Domain *dom, const NwLearnedList *list)
{
        const NwFilters *f = dom->driver->nwfilters;

        for (size_t i = 0; f && i < f->bindings.len; i++) {
                const NwBinding *b = f->bindings.items[i];

                for (size_t k = 0; is_learned_of(b, dom) && k < list->len; k++) {
                        if (mac_eq(&list->items[k].mac, &b->def->mac))
                                nw_learner_take(b->learner, &list->items[k]);
                }
        }
}

/* --- another filter for a device --- */

typedef struct Rebind {
        NwFilters *filters;
        char *dev;
        NwBindingDef *old;
        NwDone *done;
        void *arg;
} Rebind;

static void rebind_end(Rebind *r, const Error *failure)
{
        r->done(r->arg, failure);
        nw_binding_unref(r->old);
        free(r->dev);
        free(r);
}

static void on_rebound(void *arg, const Error *failure)
{
        Rebind *r = arg;
        NwBinding *b = nw_binding_find(r->filters, r->dev);

        if (failure && b) {
                nw_binding_unref(b->def);
                b->def = TAKE(r->old);
                nw_binding_settle(b);
                nft_table_rebuild(r->filters->table, NULL, NULL);
        }
        rebind_end(r, failure);
}

static void swap(NwBinding *b, NwBindingDef *def, NwDone *done, void *arg)
{
        Rebind *r = mem_new(Rebind);
        AUTO(Error) err = { 0 };
        Buf text = { 0 };

        *r = (Rebind){ .filters = b->filters, .dev = str_dup(def->portdev), .old = b->def, .done = done, .arg = arg };
        b->def = def;
        b->learner = nw_learner_free(b->learner); /* it may be another way of learning */
        nw_rules_put_base(false, &text);
        if (nw_binding_prepare(b, &err) == 0 && nw_binding_listen(b, &err) == 0 &&
            nw_binding_put_change(b, &text, &err) == 0) {
                nft_table_change(b->filters->table, buf_take(&text), on_rebound, r);
                return;
        }
        buf_done(&text);
        on_rebound(r, &err);
}

/* What is still in force is shown; unless its device went meanwhile. */
static void on_removed(void *arg, const Error *failure)
{
        Rebind *r = arg;

        if (failure && net_link_exists(r->dev) && !nw_binding_find(r->filters, r->dev)) {
                NwBinding *b = nw_binding_new(r->filters, TAKE(r->old), false);

                vec_push(&r->filters->bindings, b);
                nw_binding_settle(b);
                nft_table_rebuild(r->filters->table, NULL, NULL);
        }
        rebind_end(r, failure);
}

static void take_off(NwBinding *b, NwDone *done, void *arg)
{
        Rebind *r = mem_new(Rebind);

        *r = (Rebind){ .filters = b->filters,
                       .dev = str_dup(b->def->portdev),
                       .old = def_ref(b->def),
                       .done = done,
                       .arg = arg };
        nw_binding_remove(b, on_removed, r);
}

static bool is_same_filter(const FilterrefDef *a, const FilterrefDef *b)
{
        return a == b || (a && b && fields_equal(&filterref_def_info, a, b));
}

void nw_rebind(Domain *dom, const InterfaceDef *old, InterfaceDef *new, NwDone *done, void *arg)
{
        NwBinding *b = new->target_dev ? nw_binding_find(dom->driver->nwfilters, new->target_dev) : NULL;
        AUTO(Error) err = { 0 };

        if (is_same_filter(old->filterref, new->filterref)) {
                done(arg, NULL);
        } else if (!new->filterref && !(b && is_of(b, dom))) {
                done(arg, NULL);
        } else if (!new->filterref) {
                take_off(b, done, arg);
        } else if (b && !b->by_user) {
                swap(b, nw_binding_def_of_guest(dom, new), done, arg);
        } else if (!nw_bind_new(dom, &new, 1, done, arg, &err)) {
                done(arg, &err);
        }
}

/* --- those of clients --- */

static char *path_of(const NwFilters *f, const char *dev)
{
        return str_format("%s/%s.xml", f->run_dir, dev);
}

struct NwCreate {
        NwFilters *filters;
        NwBindingDef *def;
        NwBind *bind;
        NwDone *done;
        void *arg;
};

static bool is_being_made(const NwFilters *f, const char *dev)
{
        for (size_t i = 0; i < f->creating.len; i++) {
                if (str_eq(f->creating.items[i]->def->portdev, dev))
                        return true;
        }
        return false;
}

/*
 * The file is of the binding that did not come about, unless another client made one of the same device meanwhile, or is
 * about to: that one has written its file, or will.
 */
static void note_what_stays(NwFilters *f, const char *dev)
{
        AUTOFREE char *path = path_of(f, dev);
        const char *paths[] = { path, NULL };
        const NwBinding *other = nw_binding_find(f, dev);
        AUTO(Buf) xml = { 0 };

        if (other && other->by_user) {
                nw_binding_format(other->def, &xml);
                file_queue_write(f->files, path, &xml, 0600, false, NULL, NULL);
        } else if (!is_being_made(f, dev)) {
                file_queue_remove(f->files, paths, NULL, NULL);
        }
}

static void create_end(NwCreate *c, const Error *failure)
{
        vec_remove_item(&c->filters->creating, c);
        if (failure)
                note_what_stays(c->filters, c->def->portdev);
        c->done(c->arg, failure);
        nw_binding_unref(c->def);
        free(c);
}

static void on_created(void *arg, const Error *failure)
{
        create_end(arg, failure);
}

static void on_noted(void *arg, const Error *failure)
{
        NwCreate *c = arg;
        NwBind *bind = mem_new(NwBind);
        AUTO(Error) err = { 0 };
        Buf text = { 0 };

        *bind = (NwBind){ .filters = c->filters, .done = on_created, .arg = c, .is_sync = true };
        nw_rules_put_base(false, &text);
        if (failure) {
                err_copy(&err, failure);
                bind_free(bind);
        } else if (join(bind, nw_binding_new(c->filters, def_ref(c->def), true), &text, &err) < 0) {
                drop_made(bind);
                bind_free(bind);
        } else if (bind_begin(bind, &text, &err)) {
                return;
        }
        buf_done(&text);
        create_end(c, &err);
}

void nw_binding_create(NwFilters *f, NwBindingDef *taken, NwDone *done, void *arg)
{
        AUTO(NwBindingDef) *def = taken;
        AUTO(Error) err = { 0 };
        Buf xml = { 0 };
        AUTOFREE char *path = path_of(f, def->portdev);
        NwCreate *c;

        if (nw_binding_find(f, def->portdev)) {
                err_set(&err, ERR_OPERATION_FAILED, "binding '%s' already exists", def->portdev);
                done(arg, &err);
                return;
        }
        nw_binding_format(def, &xml);
        c = mem_new(NwCreate);
        *c = (NwCreate){ .filters = f, .def = TAKE(def), .done = done, .arg = arg };
        vec_push(&f->creating, c);
        file_queue_write(f->files, path, &xml, 0600, false, on_noted, c);
}

void nw_binding_delete(NwBinding *b, NwDone *done, void *arg)
{
        AUTOFREE char *path = path_of(b->filters, b->def->portdev);
        const char *paths[] = { path, NULL };

        if (b->by_user)
                file_queue_remove(b->filters->files, paths, NULL, NULL);
        nw_binding_remove(b, done, arg);
}
