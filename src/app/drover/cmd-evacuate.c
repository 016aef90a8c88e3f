/*
 * app/drover/cmd-evacuate.c - move all guests off this host, before it is worked on or switched off (MIG-13)
 *
 * One after the other: together they would share the link, each would be on its way for longer, and pause for longer.
 * One that cannot move stays where it is, and the others move all the same.
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/migrate.h"

#include "base/str.h"

typedef struct Evacuation {
        Session *session;
        const char *dest_uri;
        uint32_t flags;
        WatchOptions watch;
        uint64_t bandwidth_mib; /* 0: no limit */
        unsigned moved, left, gone;
} Evacuation;

static const SwitchFlag switches[] = {
        { "p2p", VIR_MIGRATE_PEER2PEER },
        { "tunnelled", VIR_MIGRATE_TUNNELLED },
        { "copy-storage-all", VIR_MIGRATE_NON_SHARED_DISK },
        { "unsafe", VIR_MIGRATE_UNSAFE },
        { "compressed", VIR_MIGRATE_COMPRESSED },
        { "auto-converge", VIR_MIGRATE_AUTO_CONVERGE },
        { "parallel", VIR_MIGRATE_PARALLEL },
        { 0 },
};

enum {
        ONLY_OF_RUNNING = VIR_MIGRATE_TUNNELLED | VIR_MIGRATE_NON_SHARED_DISK | VIR_MIGRATE_UNSAFE |
                          VIR_MIGRATE_COMPRESSED | VIR_MIGRATE_AUTO_CONVERGE | VIR_MIGRATE_PARALLEL
};

static int order_for(const Evacuation *e, const WireDomain *dom, MigrateOrder *ret, Error *err)
{
        WireDomainIsPersistentRet persistent;
        bool active = dom->id >= 0;

        if (session_call(e->session, WIRE_PROC_DOMAIN_IS_PERSISTENT, &(WireDomainIsPersistentArgs){ *dom },
                         &persistent, err) < 0)
                return -1;
        *ret = (MigrateOrder){ .dom = *dom, .dest_uri = e->dest_uri, .flags = e->flags, .watch = e->watch };
        ret->params.arena = session_arena(e->session);
        if (persistent.persistent > 0)
                ret->flags |= VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE;
        if (!active) {
                ret->flags = (ret->flags & ~(uint32_t)ONLY_OF_RUNNING) | VIR_MIGRATE_OFFLINE;
                ret->watch = (WatchOptions){ 0 };
                return 0;
        }
        ret->flags |= VIR_MIGRATE_LIVE;
        if (e->bandwidth_mib)
                params_add_u64(&ret->params, VIR_MIGRATE_PARAM_BANDWIDTH, e->bandwidth_mib);
        migrate_order_keep_pause(ret);
        return 0;
}

static void tell(Evacuation *e, const WireDomain *dom, uint64_t elapsed_ms, const Error *failure)
{
        struct json_object *entry = json_object_new_object();

        json_object_object_add(entry, "domain", json_object_new_string(dom->name));
        json_object_object_add(entry, "moved", json_object_new_boolean(!failure));
        if (failure)
                json_object_object_add(entry, "error", json_object_new_string(failure->text));
        else
                json_object_object_add(entry, "elapsed_ms", json_object_new_int64((int64_t)elapsed_ms));
        out_add(e->session->out, entry);
        if (failure)
                out_print(e->session->out, "Domain '%s' stays here: %s\n", dom->name, failure->text);
        else
                out_print(e->session->out, "Domain '%s' moved in %.1f s\n", dom->name, (double)elapsed_ms / 1000);
        out_flush(e->session->out);
}

/* It ended by itself, or somebody else moved it. That a destination knows none does not say so: it lost the guest. */
static bool is_gone(const Evacuation *e, const WireDomain *dom)
{
        WireDomainLookupByUuidRet found;
        AUTO(Error) err = { 0 };

        return session_call(e->session, WIRE_PROC_DOMAIN_LOOKUP_BY_UUID, &(WireDomainLookupByUuidArgs){ dom->uuid },
                            &found, &err) < 0 &&
               err.code == ERR_NO_DOMAIN;
}

/* false: no more of them. */
static bool move_one(Evacuation *e, const WireDomain *dom)
{
        MigrateOrder order;
        AUTO(Error) why = { 0 };
        uint64_t began = loop_now_ms(e->session->loop);
        int result = order_for(e, dom, &order, &why);

        if (result == 0)
                result = migrate_run(e->session, &order, &why);
        if (result < 0 && why.code == ERR_NO_DOMAIN && is_gone(e, dom)) {
                e->gone++;
                return true;
        }
        e->moved += result == 0;
        e->left += result < 0;
        tell(e, dom, loop_now_ms(e->session->loop) - began, result < 0 ? &why : NULL);
        return why.code != ERR_OPERATION_ABORTED && client_is_open(e->session->client);
}

static int read_options(Session *s, const Args *args, Evacuation *ret, Error *err)
{
        *ret = (Evacuation){ .session = s,
                             .dest_uri = arg_text(args, "desturi"),
                             .flags = switch_flags(args, switches) };
        if (arg_u64(args, "bandwidth", &ret->bandwidth_mib, err) < 0 ||
            arg_u64(args, "max-pause", &ret->watch.max_pause_ms, err) < 0)
                return -1;
        if (arg_has(args, "max-pause") && ret->watch.max_pause_ms == 0)
                return err_set(err, ERR_INVALID_ARG, "--max-pause takes a number of milliseconds above 0");
        return 0;
}

static int evacuate(Session *s, const Args *args, Error *err)
{
        uint32_t which = VIR_CONNECT_LIST_DOMAINS_ACTIVE |
                         (arg_has(args, "all") ? VIR_CONNECT_LIST_DOMAINS_INACTIVE : 0);
        WireConnectListAllDomainsRet found;
        Evacuation e;

        if (read_options(s, args, &e, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_DOMAINS, &(WireConnectListAllDomainsArgs){ 1, which }, &found,
                         err) < 0)
                return fail(err, "Failed to list domains");
        out_list(s->out);
        for (uint32_t i = 0; i < found.n_domains && move_one(&e, &found.domains[i]); i++)
                ;
        if (e.moved + e.left + e.gone < found.n_domains)
                return err_set(err, ERR_OPERATION_ABORTED, "given up after %u of %u guests", e.moved,
                               found.n_domains);
        if (e.left)
                return err_set(err, ERR_OPERATION_FAILED, "%u of %u guests are still on this host", e.left,
                               found.n_domains);
        return 0;
}

const Command evacuate_commands[] = {
        { .name = "evacuate",
          .group = GROUP_HOST,
          .args = "DESTURI:URI  the destination's URI, or a host's name; with --p2p as this host sees it\n"
                  "[--all]           also the definitions of guests that do not run\n"
                  "[--p2p]           the source's daemon talks to the destination's\n"
                  "[--tunnelled|tunneled]  the guests' memory goes through the daemons' connection\n"
                  "[--copy-storage-all]  copy their disks\n"
                  "[--unsafe]        even if their disks may suffer\n"
                  "[--compressed]    compress memory\n"
                  "[--auto-converge]  slow guests down until they can be moved\n"
                  "[--parallel]      over several connections\n"
                  "[--bandwidth=NUMBER]  MiB a second\n"
                  "[--max-pause=NUMBER]  milliseconds that a guest may stand still; it is moved in any case",
          .summary = "move all guests to another host",
          .text = "Guests that run move live, one after the other; a guest with a definition takes it along, and none of it "
                  "stays here. One that cannot move stays as it is and is named, and the others move all the same. ^C aborts "
                  "the move that is going on, and those that did not begin.",
          .run = evacuate },
        { 0 },
};
