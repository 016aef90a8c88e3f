/*
 * daemon/handle-network-update.c - networks changed: what is in force, what the next start uses, or both
 *
 * A change is an edit that is made on copies first; only when it is valid on
 * each does anything happen.
 */
#include "base/log.h"
#include "daemon/handlers.h"
#include "daemon/network-act.h"
#include "model/metadata.h"
#include "wire/constants.h"

enum { AFFECT = VIR_NETWORK_UPDATE_AFFECT_LIVE | VIR_NETWORK_UPDATE_AFFECT_CONFIG };

typedef int NetworkEdit(const NetworkAct *act, NetworkDef *def, Error *err);

/* Which of both definitions a change is about, as flags say; without any it is the one in force. */
static int choose_targets(const Network *net, uint32_t flags, bool *ret_live, bool *ret_config, Error *err)
{
        *ret_live = flags & VIR_NETWORK_UPDATE_AFFECT_LIVE;
        *ret_config = flags & VIR_NETWORK_UPDATE_AFFECT_CONFIG;
        if (!*ret_live && !*ret_config)
                *(net->active ? ret_live : ret_config) = true;
        if (*ret_live && network_must_be_active(net, err) < 0)
                return -1;
        if (*ret_config && !net->config)
                return err_set(err, ERR_OPERATION_INVALID,
                               "network '%s' is transient: it has no definition to change", net->name);
        return 0;
}

/* The copies that the act gets. */
static int edit_targets(NetworkAct *act, uint32_t flags, NetworkEdit *edit, Error *err)
{
        bool live, config;

        if (choose_targets(act->net, flags, &live, &config, err) < 0)
                return -1;
        act->live = live ? network_def_copy(act->net->live) : NULL;
        act->def = config ? network_def_copy(act->net->config) : NULL;
        return (act->live && edit(act, act->live, err) < 0) || (act->def && edit(act, act->def, err) < 0) ? -1 : 0;
}

/* --- sections --- */

/* The change in force is nowhere again, unless that fails too. */
static void on_taken_back(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (failure)
                log_error("network '%s': a change that could not be saved stays in force: %s", act->net->name,
                          failure->text);
        else
                network_set_live(act->net, TAKE(act->live));
        network_act_end(act, &act->failure);
}

static void on_config_updated(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (failure && act->live) {
                err_copy(&act->failure, failure);
                network_act_ops(act)->change(act->net, act->live, on_taken_back, act);
                return;
        }
        if (!failure)
                network_set_config(act->net, TAKE(act->def));
        network_act_end(act, failure);
}

/*
 * What is in force first, then what the next start uses: a change that is refused leaves both as they were. act->live is
 * what was in force before from here on.
 */
static void on_live_updated(void *arg, const Error *failure)
{
        NetworkAct *act = arg;
        NetworkDef *new = act->live;

        if (!failure && new) {
                act->live = network_def_ref(act->net->live);
                network_set_live(act->net, new);
        }
        if (failure || !act->def)
                network_act_end(act, failure);
        else
                network_act_ops(act)->save_config(act->net, act->def, on_config_updated, act);
}

static int edit_section(const NetworkAct *act, NetworkDef *def, Error *err)
{
        const WireNetworkUpdateArgs *args = call_args(act->call);

        return network_def_update(def, args->command, args->section, args->parentIndex, args->xml, err);
}

static int run_update(NetworkAct *act, Error *err)
{
        const WireNetworkUpdateArgs *args = call_args(act->call);

        if (edit_targets(act, args->flags, edit_section, err) < 0)
                return -1;
        if (act->live)
                network_act_ops(act)->change(act->net, act->live, on_live_updated, act);
        else
                on_live_updated(act, NULL);
        return 0;
}

int handle_network_update(Call *call, const WireNetworkUpdateArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, AFFECT, err) < 0)
                return -1;
        return network_act_on(call, &args->net, run_update, err);
}

/* --- metadata --- */

static int edit_metadata(const NetworkAct *act, NetworkDef *def, Error *err)
{
        const WireNetworkSetMetadataArgs *args = call_args(act->call);
        Metadata all = network_def_metadata(def);

        if (metadata_set(&all, network_def_arena(def), args->type, args->uri, args->key, args->metadata, err) < 0)
                return -1;
        network_def_put_metadata(def, &all);
        return 0;
}

static void tell_metadata(const NetworkAct *act)
{
        const WireNetworkSetMetadataArgs *args = call_args(act->call);
        WireNetworkEventCallbackMetadataChangeMsg msg = { .net = wire_network(act->net),
                                                          .type = args->type,
                                                          .nsuri = args->uri };

        event_emit(act->net->driver->events, WIRE_CLASS_NETWORK, VIR_NETWORK_EVENT_ID_METADATA_CHANGE,
                   &act->net->uuid, &msg);
}

static void on_metadata_saved(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (!failure)
                tell_metadata(act);
        network_act_end(act, failure);
}

static void on_metadata_config(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (!failure)
                network_set_config(act->net, TAKE(act->def));
        on_metadata_saved(act, failure);
}

/* The last step: the live definition with the change is in force and on the disk already, if there is one. */
static void save_metadata(NetworkAct *act)
{
        if (act->def)
                network_act_ops(act)->save_config(act->net, act->def, on_metadata_config, act);
        else
                on_metadata_saved(act, NULL);
}

/* What could not be saved is not in force: act->live is the definition before. */
static void on_metadata_live(void *arg, const Error *failure)
{
        NetworkAct *act = arg;

        if (failure) {
                network_set_live(act->net, TAKE(act->live));
                network_act_end(act, failure);
        } else {
                save_metadata(act);
        }
}

static int run_set_metadata(NetworkAct *act, Error *err)
{
        const WireNetworkSetMetadataArgs *args = call_args(act->call);
        NetworkDef *new;

        if (edit_targets(act, args->flags, edit_metadata, err) < 0)
                return -1;
        if (!act->live) {
                save_metadata(act);
                return 0;
        }
        new = act->live;
        act->live = network_def_ref(act->net->live);
        network_set_live(act->net, new);
        network_act_ops(act)->save_live(act->net, on_metadata_live, act);
        return 0;
}

int handle_network_set_metadata(Call *call, const WireNetworkSetMetadataArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, AFFECT, err) < 0 ||
            metadata_check_kind(args->type, args->uri, err) < 0)
                return -1;
        return network_act_on(call, &args->network, run_set_metadata, err);
}

int handle_network_get_metadata(Call *call, const WireNetworkGetMetadataArgs *args, Error *err)
{
        AUTOFREE char *text = NULL;
        bool live, config;
        const Network *net;
        Metadata all;

        if (call_check_flags(call, args->flags, AFFECT, err) < 0 ||
            !(net = find_network(call, &args->network, err)) ||
            choose_targets(net, args->flags, &live, &config, err) < 0)
                return -1;
        if (live && config)
                return err_set(err, ERR_INVALID_ARG,
                               "the metadata of one definition can be had at a time: live or config");
        all = network_def_metadata(live ? net->live : net->config);
        if (metadata_get(&all, args->type, args->uri, &text, err) < 0)
                return -1;
        if (!text)
                return err_set(err, ERR_NO_NETWORK_METADATA, "network '%s' has no such metadata%s%s", net->name,
                               args->uri ? ": " : "", args->uri ?: "");
        call_reply(call, &(WireNetworkGetMetadataRet){ .metadata = text });
        return 0;
}
