/*
 * daemon/nwfilter-binding.c - filters in force on devices
 */
#include "daemon/nwfilter-binding.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/nwfilter-learn.h"
#include "host/net.h"
#include "host/nft-chains.h"
#include "model/def.h"

#include <dirent.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <unistd.h>

enum { LARGEST_BINDING = 1024 * 1024 };

/* --- one --- */

void nw_binding_free(NwBinding *b)
{
        nw_learner_free(b->learner);
        nw_chains_done(&b->chains);
        nw_binding_unref(b->def);
        free(b);
}

/* Takes def. Not in the list yet. */
NwBinding *nw_binding_new(NwFilters *f, NwBindingDef *def, bool by_user)
{
        NwBinding *b = mem_new(NwBinding);

        *b = (NwBinding){ .filters = f, .def = def, .by_user = by_user };
        return b;
}

NwBinding *nw_binding_find(const NwFilters *f, const char *dev)
{
        for (size_t i = 0; i < f->bindings.len; i++) {
                if (str_eq(f->bindings.items[i]->def->portdev, dev))
                        return f->bindings.items[i];
        }
        return NULL;
}

static bool uses_filter(const NwBinding *b, const char *filter)
{
        return str_eq(b->def->filterref->filter, filter) ||
               nw_filter_uses(b->def->filterref->filter, filter, nw_filters_newest, b->filters);
}

bool nw_bindings_use(const NwFilters *f, const char *filter)
{
        for (size_t i = 0; i < f->bindings.len; i++) {
                if (uses_filter(f->bindings.items[i], filter))
                        return true;
        }
        return false;
}

static const char *parameter(const NwBinding *b, const char *name)
{
        const FilterrefDef *ref = b->def->filterref;

        for (uint32_t i = 0; i < ref->n_parameters; i++) {
                if (str_eq(ref->parameters[i]->name, name))
                        return ref->parameters[i]->value;
        }
        return NULL;
}

/* The values that the filter sees; mac stays as long as they are used. */
static void put_vars(const NwBinding *b, char mac[MAC_TEXT_LEN + 1], NwVars *ret)
{
        const FilterrefDef *ref = b->def->filterref;
        const char *const *addresses;
        size_t n = b->learner ? nw_learner_addresses(b->learner, &addresses) : 0;

        if (!parameter(b, "MAC"))
                nw_vars_add(ret, "MAC", mac_format(&b->def->mac, mac));
        for (uint32_t i = 0; i < ref->n_parameters; i++)
                nw_vars_add(ret, ref->parameters[i]->name, ref->parameters[i]->value);
        for (size_t i = 0; i < n && !parameter(b, "IP"); i++)
                nw_vars_add(ret, "IP", addresses[i]);
}

static int find_learning(NwBinding *b, Error *err)
{
        static const char *const words[] = { "any", "dhcp", "none" };
        const char *word = parameter(b, "CTRL_IP_LEARNING") ?: "any";

        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                if (str_eq(words[i], word)) {
                        b->learning = (NwLearning)i;
                        return 0;
                }
        }
        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                       "CTRL_IP_LEARNING of the filter of '%s' cannot be '%s': it is any, dhcp or none",
                       b->def->portdev, word);
}

/* Can the filter be put into force, and what does it need for that? */
int nw_binding_prepare(NwBinding *b, Error *err)
{
        NwPort port = { .dev = b->def->portdev, .mac = b->def->mac, .filter = b->def->filterref->filter };
        AUTOFREE char *missing = NULL;
        char mac[MAC_TEXT_LEN + 1];
        NwVars vars = { 0 };
        int rc;

        for (uint32_t i = 0; i < b->def->filterref->n_parameters; i++) {
                if (!nw_is_variable_name(b->def->filterref->parameters[i]->name))
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "a network filter's parameter cannot be called '%s'",
                                       b->def->filterref->parameters[i]->name);
        }
        if (strpbrk(b->def->portdev, "\"\\*"))
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "an interface called '%s' cannot have a network filter: nft reads that name otherwise",
                               b->def->portdev);
        if (find_learning(b, err) < 0)
                return -1;
        nw_vars_add(&vars, "MAC", mac_format(&b->def->mac, mac));
        for (uint32_t i = 0; i < b->def->filterref->n_parameters; i++)
                nw_vars_add(&vars, b->def->filterref->parameters[i]->name, b->def->filterref->parameters[i]->value);
        port.vars = &vars;
        rc = nw_rules_missing(&port, nw_filters_newest, b->filters, &missing, err);
        nw_vars_done(&vars);
        if (rc < 0)
                return -1;
        b->needs_ip = str_eq(missing, "IP");
        if (missing && (!b->needs_ip || b->learning == NW_LEARN_NONE))
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "network filter '%s' needs a value for the variable '%s': give it as a <parameter> of "
                               "the interface's <filterref>",
                               port.filter, missing);
        return 0;
}

/* What a client bound is bound to a name: it is of every device that comes to have it. */
static bool may_lose_device(const NwBinding *b)
{
        return b->by_user && b->needs_ip;
}

static void on_devices(void *arg, const char *changed)
{
        NwFilters *f = arg;
        bool any = false;

        if (changed)
                return;
        for (size_t i = 0; i < f->bindings.len; i++) {
                NwBinding *b = f->bindings.items[i];
                AUTO(Error) err = { 0 };
                bool had;

                if (!may_lose_device(b))
                        continue;
                any = true;
                if (b->learner && nw_learner_has_device(b->learner))
                        continue;
                had = b->learner;
                b->learner = nw_learner_free(b->learner);
                if (had) /* that was about a device that is gone */
                        nw_learned_forget(b);
                if (nw_binding_listen(b, &err) < 0)
                        log_error("the filter of '%s': %s", b->def->portdev, err.text);
                if (had)
                        nw_binding_renew(b);
        }
        if (!any)
                f->devices = device_watch_free(f->devices);
}

int nw_binding_listen(NwBinding *b, Error *err)
{
        NwFilters *f = b->filters;

        if (!b->needs_ip) {
                b->learner = nw_learner_free(b->learner);
                return 0;
        }
        if (b->learner)
                return 0;
        if (may_lose_device(b)) {
                /* first: a device that comes now is seen or told of */
                if (!f->devices && !(f->devices = device_watch_new(f->driver->daemon->loop, on_devices, f, err)))
                        return -1;
                if (!net_link_exists(b->def->portdev)) {
                        nw_learned_forget(b);
                        return 0;
                }
        }
        b->learner = nw_learner_new(b, err);
        return b->learner ? 0 : -1;
}

static int put_binding(NwBinding *b, NwChains *chains, Buf *ret, Error *err)
{
        NwPort port = { .dev = b->def->portdev, .mac = b->def->mac, .filter = b->def->filterref->filter };
        const char *const *addresses;
        char mac[MAC_TEXT_LEN + 1];
        NwVars vars = { 0 };
        int rc;

        if (b->needs_ip && (!b->learner || nw_learner_addresses(b->learner, &addresses) == 0)) {
                nw_rules_put_basic(&port, b->learning == NW_LEARN_DHCP, chains, ret);
                return 0;
        }
        put_vars(b, mac, &vars);
        port.vars = &vars;
        rc = nw_rules_put_port(&port, nw_filters_newest, b->filters, chains, ret, err);
        nw_vars_done(&vars);
        return rc;
}

/* The table as it should be: what cannot be put into force lets nothing through. */
static bool put_everything(void *arg, Buf *ret)
{
        NwFilters *f = arg;

        if (f->bindings.len == 0) {
                nw_rules_put_gone(ret);
                return false;
        }
        nw_rules_put_base(true, ret);
        for (size_t i = 0; i < f->bindings.len; i++) {
                NwBinding *b = f->bindings.items[i];
                AUTO(Error) err = { 0 };
                Buf text = { 0 };

                nw_chains_done(&b->chains);
                if (put_binding(b, &b->chains, &text, &err) < 0) {
                        NwPort port = { .dev = b->def->portdev };

                        log_error("'%s' is cut off: %s", b->def->portdev, err.text);
                        nw_chains_done(&b->chains);
                        buf_clear(&text);
                        nw_rules_put_block(&port, &b->chains, &text);
                }
                buf_put(ret, text.data, text.len);
                buf_done(&text);
        }
        return true;
}

/* The rules of a binding in the list, in place of those that it has. */
int nw_binding_put_change(NwBinding *b, Buf *ret, Error *err)
{
        NwChains chains = { 0 };

        if (put_binding(b, &chains, ret, err) < 0) {
                nw_chains_done(&chains);
                return -1;
        }
        nw_rules_put_removal(b->def->portdev, &b->chains, &chains, ret);
        nw_chains_done(&b->chains);
        b->chains = chains;
        return 0;
}

void nw_binding_renew(NwBinding *b)
{
        AUTO(Error) err = { 0 };
        Buf text = { 0 };

        nw_rules_put_base(false, &text);
        if (nw_binding_put_change(b, &text, &err) == 0) {
                nft_table_change(b->filters->table, buf_take(&text), NULL, NULL);
                return;
        }
        buf_done(&text);
        nft_table_rebuild(b->filters->table, NULL, NULL); /* which cuts it off, and says why */
}

/* Out of the list, and out of the table. done may be NULL. */
void nw_binding_remove(NwBinding *b, NwDone *done, void *arg)
{
        NwFilters *f = b->filters;
        Buf text = { 0 };

        vec_remove_item(&f->bindings, b);
        if (b->learner)
                nw_learned_forget(b);
        if (f->bindings.len == 0) {
                nft_table_rebuild(f->table, done, arg);
        } else {
                nw_rules_put_base(false, &text);
                nw_rules_put_removal(b->def->portdev, &b->chains, NULL, &text);
                nft_table_change(f->table, buf_take(&text), done, arg);
        }
        nw_binding_free(b);
}

/* What is in force needs what its definition needs: that was so before. */
void nw_binding_settle(NwBinding *b)
{
        AUTO(Error) err = { 0 };

        if (nw_binding_prepare(b, &err) < 0 || nw_binding_listen(b, &err) < 0)
                log_error("the filter of '%s': %s", b->def->portdev, err.text);
}

/* --- a filter changes --- */

static int refresh_one(NwBinding *b, Buf *text, Error *err)
{
        if (nw_binding_prepare(b, err) < 0 || nw_binding_listen(b, err) < 0 ||
            nw_binding_put_change(b, text, err) < 0)
                return err_prefix(err, "on '%s'", b->def->portdev);
        return 0;
}

typedef struct Refresh {
        NwFilters *filters;
        NwDone *done;
        void *arg;
} Refresh;

void nw_bindings_restore(NwFilters *f)
{
        for (size_t i = 0; i < f->bindings.len; i++)
                nw_binding_settle(f->bindings.items[i]);
        nft_table_rebuild(f->table, NULL, NULL);
}

/* The old definition counts again when done() has come back. */
static void on_refreshed(void *arg, const Error *failure)
{
        Refresh *r = arg;

        r->done(r->arg, failure);
        if (failure)
                nw_bindings_restore(r->filters);
        free(r);
}

void nw_bindings_refresh(NwFilters *f, const NwStored *changed, NwDone *done, void *arg)
{
        Refresh *r = mem_new(Refresh);
        AUTO(Error) err = { 0 };
        Buf text = { 0 };
        bool any = false;
        int rc = 0;

        *r = (Refresh){ .filters = f, .done = done, .arg = arg };
        nw_rules_put_base(false, &text);
        for (size_t i = 0; rc == 0 && i < f->bindings.len; i++) {
                NwBinding *b = f->bindings.items[i];

                if (!uses_filter(b, changed->name))
                        continue;
                any = true;
                rc = refresh_one(b, &text, &err);
        }
        if (rc == 0 && any) {
                nft_table_change(f->table, buf_take(&text), on_refreshed, r);
                return;
        }
        buf_done(&text);
        if (rc < 0) {
                on_refreshed(r, &err);
        } else {
                done(arg, NULL);
                free(r);
        }
}

/* --- after a restart --- */

NwBindingDef *nw_binding_def_of_guest(const Domain *dom, const InterfaceDef *nic)
{
        NwBindingDef *def = def_new(&nw_binding_def_info);
        Arena *arena = def->head.arena;

        def->owner_name = arena_dup(arena, dom->name);
        def->owner_uuid = dom->uuid;
        def->portdev = arena_dup(arena, nic->target_dev);
        def->mac = nic->mac;
        def->filterref = fields_copy(&filterref_def_info, nic->filterref, arena);
        return def;
}

/* Takes def. What cannot be put into force cuts the device off until it can. */
static void take_up(NwFilters *f, NwBindingDef *def, bool by_user)
{
        NwBinding *b = nw_binding_new(f, def, by_user);
        AUTO(Error) err = { 0 };

        if (nw_binding_find(f, def->portdev)) {
                nw_binding_free(b);
                return;
        }
        vec_push(&f->bindings, b);
        if (nw_binding_prepare(b, &err) < 0 || nw_binding_listen(b, &err) < 0)
                log_error("the filter of '%s': %s", def->portdev, err.text);
}

static void take_up_guests(NwFilters *f)
{
        const DomainList *all = f->driver->domains;

        for (size_t i = 0; i < domain_list_len(all); i++) {
                const Domain *dom = domain_list_at(all, i);

                for (uint32_t n = 0; dom->guest && dom->live && n < dom->live->n_interfaces; n++) {
                        const InterfaceDef *nic = dom->live->interfaces[n];

                        if (nic->filterref && nic->target_dev)
                                take_up(f, nw_binding_def_of_guest(dom, nic), false);
                }
        }
}

static int load_file(NwFilters *f, const char *path, Error *err)
{
        NwBindingDef *def = NULL;
        AUTO(Buf) xml = { 0 };

        if (file_read_regular(path, LARGEST_BINDING, &xml, NULL, err) < 0 ||
            nw_binding_parse(buf_text(&xml), xml.len, 0, &def, NULL, err) < 0)
                return -1;
        take_up(f, def, true);
        return 0;
}

int nw_bindings_load(NwFilters *f, Error *err)
{
        DIR *dir = opendir(f->run_dir);

        if (!dir)
                return err_errno(err, errno, "cannot open '%s'", f->run_dir);
        f->table = nft_table_new(f->driver->daemon->loop, NW_RULES_TABLE, "network filters", put_everything, f);
        take_up_guests(f);
        for (struct dirent *entry; (entry = readdir(dir));) {
                AUTOFREE char *path = str_format("%s/%s", f->run_dir, entry->d_name);
                AUTO(Error) why = { 0 };

                if (str_ends(entry->d_name, ".xml") && load_file(f, path, &why) < 0) {
                        log_warning("'%s' is removed: %s", path, why.text);
                        unlink(path);
                }
        }
        closedir(dir);
        /* the last of an earlier daemon may have gone with its device */
        if (f->bindings.len || nft_has_table(NFPROTO_BRIDGE, NW_RULES_TABLE_NAME))
                nft_table_rebuild(f->table, NULL, NULL);
        return 0;
}

void nw_bindings_free(NwFilters *f)
{
        for (size_t i = 0; i < f->bindings.len; i++)
                nw_binding_free(f->bindings.items[i]);
        vec_done(&f->bindings);
        vec_done(&f->creating);
        device_watch_free(f->devices);
        nft_table_free(f->table);
}
