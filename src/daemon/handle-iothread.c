/*
 * daemon/handle-iothread.c - I/O threads: more of them, fewer, how they poll
 */
#include "base/str.h"
#include "daemon/change.h"
#include "daemon/handlers.h"
#include "daemon/tune.h"
#include "daemon/vcpu.h"
#include "wire/constants.h"

/* Those that were only counted get their numbers written down, so that one more or fewer renumbers nobody. */
static void list_iothreads(DomainDef *def, unsigned room)
{
        Arena *arena = domain_def_arena(def);
        IothreadDef **all;
        unsigned n, *ids = iothread_ids(def, arena, &n);

        all = arena_new_array(arena, IothreadDef *, (size_t)n + room);
        for (unsigned i = 0; i < n; i++) {
                for (uint32_t old = 0; old < def->n_iothreads; old++) {
                        if (def->iothreads[old]->id == ids[i])
                                all[i] = def->iothreads[old];
                }
                if (all[i])
                        continue;
                all[i] = fields_new(arena, &iothread_def_info);
                all[i]->id = ids[i];
        }
        def->iothreads = all;
        def->n_iothreads = n;
}

static int edit_add(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainAddIothreadArgs *args = call_args(call);
        IothreadDef *new;

        *ret = (LiveChange){ .kind = LIVE_IOTHREAD_ADD, .number = args->iothread_id };
        if (!args->iothread_id)
                return err_set(err, ERR_INVALID_ARG, "I/O threads are numbered from 1");
        if (iothread_exists(def, args->iothread_id))
                return err_set(err, ERR_INVALID_ARG, "'%s' has an I/O thread %u already", def->name,
                               args->iothread_id);
        list_iothreads(def, 1);
        new = fields_new(domain_def_arena(def), &iothread_def_info);
        new->id = args->iothread_id;
        def->iothreads[def->n_iothreads++] = new;
        def->iothread_count = def->n_iothreads;
        return 0;
}

static const ChangeKind change_add = { .edit = edit_add };

int handle_domain_add_iothread(Call *call, const WireDomainAddIothreadArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_add, err);
}

static int check_unused(const DomainDef *def, unsigned id, Error *err)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                if (def->disks[i]->iothread == id)
                        return err_set(err, ERR_INVALID_ARG, "disk '%s' of '%s' uses I/O thread %u",
                                       def->disks[i]->target_dev, def->name, id);
        }
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                if (def->controllers[i]->iothread == id)
                        return err_set(err, ERR_INVALID_ARG, "controller %u of '%s' uses I/O thread %u",
                                       def->controllers[i]->index, def->name, id);
        }
        return 0;
}

static int edit_delete(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainDelIothreadArgs *args = call_args(call);
        CputuneDef *tune = def->cputune;
        uint32_t kept = 0;

        *ret = (LiveChange){ .kind = LIVE_IOTHREAD_DELETE, .number = args->iothread_id };
        if (!iothread_exists(def, args->iothread_id))
                return err_set(err, ERR_INVALID_ARG, "'%s' has no I/O thread %u", def->name, args->iothread_id);
        if (check_unused(def, args->iothread_id, err) < 0)
                return -1;
        list_iothreads(def, 0);
        for (uint32_t i = 0; i < def->n_iothreads; i++) {
                if (def->iothreads[i]->id != args->iothread_id)
                        def->iothreads[kept++] = def->iothreads[i];
        }
        def->n_iothreads = def->iothread_count = kept;
        kept = 0;
        for (uint32_t i = 0; tune && i < tune->n_iothreadpins; i++) {
                if (tune->iothreadpins[i]->iothread != args->iothread_id)
                        tune->iothreadpins[kept++] = tune->iothreadpins[i];
        }
        if (tune)
                tune->n_iothreadpins = kept;
        return 0;
}

static const ChangeKind change_delete = { .edit = edit_delete };

int handle_domain_del_iothread(Call *call, const WireDomainDelIothreadArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, 0, &change_delete, err);
}

/* How long a thread polls is nothing a definition says: those go to the driver as they are. */
static int check_poll(const WireTypedParam *p, Error *err)
{
        static const struct {
                const char *name;
                int type;
        } known[] = { { VIR_DOMAIN_IOTHREAD_POLL_MAX_NS, PARAM_ULLONG },
                      { VIR_DOMAIN_IOTHREAD_POLL_GROW, PARAM_UINT },
                      { VIR_DOMAIN_IOTHREAD_POLL_SHRINK, PARAM_UINT } };

        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
                if (!str_eq(p->field, known[i].name))
                        continue;
                if (p->value.type != known[i].type)
                        return err_set(err, ERR_INVALID_ARG, "parameter '%s' must be of type %s, not %s", p->field,
                                       param_type_text(known[i].type), param_type_text(p->value.type));
                return 0;
        }
        return err_set(err, ERR_INVALID_ARG, "parameter '%s' is not supported here", p->field);
}

static int edit_params(Call *call, DomainDef *def, bool live, LiveChange *ret, Error *err)
{
        const WireDomainSetIothreadParamsArgs *args = call_args(call);
        IothreadDef *thread = NULL;

        *ret = (LiveChange){ .kind = LIVE_IOTHREAD_SET,
                             .number = args->iothread_id,
                             .n_params = args->n_params,
                             .params = args->params };
        if (!live)
                return err_set(err, ERR_OPERATION_INVALID, "how I/O threads poll can be set on a running guest only");
        if (!iothread_exists(def, args->iothread_id))
                return err_set(err, ERR_INVALID_ARG, "'%s' has no I/O thread %u", def->name, args->iothread_id);
        list_iothreads(def, 0);
        for (uint32_t i = 0; i < def->n_iothreads; i++) {
                if (def->iothreads[i]->id == args->iothread_id)
                        thread = def->iothreads[i];
        }
        for (uint32_t i = 0; i < args->n_params; i++) {
                if (tune_find(&param_group_iothread, args->params[i].field)
                            ? tune_set(&param_group_iothread, thread, domain_def_arena(def), &args->params[i], 1,
                                       err) < 0
                            : check_poll(&args->params[i], err) < 0)
                        return -1;
        }
        return 0;
}

static const ChangeKind change_params = { .edit = edit_params };

int handle_domain_set_iothread_params(Call *call, const WireDomainSetIothreadParamsArgs *args, Error *err)
{
        return change_start(call, &args->dom, args->flags, VIR_TYPED_PARAM_STRING_OKAY, &change_params, err);
}
