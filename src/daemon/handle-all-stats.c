/*
 * daemon/handle-all-stats.c - statistics of many guests
 *
 * The answer is written as it will go out, some guests a turn of the loop: ten thousand of them keep nobody waiting,
 * and what one guest says is needed no longer than until it is written.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/collect.h"
#include "daemon/daemon.h"
#include "daemon/domain-stats.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "wire/codec.h"
#include "wire/constants.h"
#include "wire/frame.h"
#include "wire/xdr.h"

enum {
        FILTER = VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE |
                 VIR_CONNECT_GET_ALL_DOMAINS_STATS_PERSISTENT | VIR_CONNECT_GET_ALL_DOMAINS_STATS_TRANSIENT |
                 VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING | VIR_CONNECT_GET_ALL_DOMAINS_STATS_PAUSED |
                 VIR_CONNECT_GET_ALL_DOMAINS_STATS_SHUTOFF | VIR_CONNECT_GET_ALL_DOMAINS_STATS_OTHER,
        MODES = VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT | VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING,
        MOST_RECORDS = 16384,
        GUESTS_A_TURN = 500,
};

/* Lives as long as the call. */
typedef struct AllStats {
        Call *call;
        Collection *collected;
        size_t at; /* the next guest to write */
        Buf frame;
        Idle *more;
} AllStats;

static void drop(void *state)
{
        AllStats *s = state;

        idle_free(s->more);
        collection_free(s->collected);
        buf_done(&s->frame);
        free(s);
}

static unsigned wanted_groups(const WireConnectGetAllDomainStatsArgs *args)
{
        return args->stats ? args->stats : domain_stats_known();
}

static void put_guest(AllStats *s, XdrWriter *w, Arena *arena)
{
        const WireConnectGetAllDomainStatsArgs *args = call_args(s->call);
        const Domain *dom = collection_domain(s->collected, s->at);
        AUTO(Params) params = { 0 };

        domain_stats_put(dom, collection_figures(s->collected, s->at), wanted_groups(args),
                         args->flags & VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING, arena, &params);
        wire_encode_domain_stats_record(w, &(WireDomainStatsRecord){ .dom = call_wire_domain(dom),
                                                                     .n_params = (uint32_t)params.list.len,
                                                                     .params = params.list.items });
        s->at++;
}

static void put_some(void *arg);

static void go_on_later(AllStats *s)
{
        idle_free(s->more);
        s->more = idle_new(call_daemon(s->call)->loop, put_some, s);
}

static void put_some(void *arg)
{
        AllStats *s = arg;
        size_t n = collection_len(s->collected), end = MIN(n, s->at + GUESTS_A_TURN);
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        XdrWriter w;

        xdr_writer_init(&w, &s->frame);
        while (s->at < end && !w.failure && s->frame.len <= FRAME_MAX)
                put_guest(s, &w, arena);
        if (w.failure || s->frame.len > FRAME_MAX) {
                err_set(&err, ERR_RPC, "the statistics of %zu guests do not fit an answer (%s): ask for fewer", n,
                        w.failure ?: "it would be too large");
                call_fail(s->call, &err);
        } else if (s->at == n) {
                call_reply_written(s->call, &s->frame);
        } else {
                go_on_later(s);
        }
}

static void on_collected(void *arg)
{
        AllStats *s = arg;
        XdrWriter w;

        frame_begin(&s->frame);
        xdr_writer_init(&w, &s->frame);
        xdr_put_u32(&w, (uint32_t)collection_len(s->collected));
        if (collection_len(s->collected) > GUESTS_A_TURN)
                go_on_later(s);
        else
                put_some(s);
}

static int add_named(Call *call, const WireConnectGetAllDomainStatsArgs *args, Collection *c, bool nowait, Error *err)
{
        const DomainList *list = call_driver(call)->domains;

        for (uint32_t i = 0; i < args->n_doms; i++) {
                Domain *dom = domain_list_find_uuid(list, &args->doms[i].uuid);
                char text[UUID_TEXT_LEN + 1];

                if (!dom)
                        return err_set(err, ERR_NO_DOMAIN, "no domain with matching uuid '%s' (%s)",
                                       uuid_format(&args->doms[i].uuid, text), args->doms[i].name);
                collection_add(c, dom, nowait);
        }
        return 0;
}

static int add_all(Call *call, const WireConnectGetAllDomainStatsArgs *args, Collection *c, bool nowait, Error *err)
{
        const DomainList *list = call_driver(call)->domains;

        for (size_t i = 0; i < domain_list_len(list); i++) {
                Domain *dom = domain_list_at(list, i);

                if (domain_passes_filter(dom, args->flags & FILTER))
                        collection_add(c, dom, nowait);
        }
        if (collection_len(c) > MOST_RECORDS)
                return err_set(err, ERR_RPC,
                               "there are %zu guests; an answer holds at most %d, so name them or filter by state",
                               collection_len(c), MOST_RECORDS);
        return 0;
}

int handle_connect_get_all_domain_stats(Call *call, const WireConnectGetAllDomainStatsArgs *args, Error *err)
{
        bool nowait = args->flags & VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
        unsigned unknown = args->stats & ~domain_stats_known();
        AllStats *s;

        if (call_check_flags(call, args->flags, FILTER | MODES | VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS,
                             err) < 0)
                return -1;
        if (unknown && args->flags & VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS)
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED,
                               "Stats types bits 0x%x are not supported by this daemon", unknown);
        s = mem_new(AllStats);
        *s = (AllStats){ .call = call };
        s->collected = collection_new(call_daemon(call)->loop, domain_stats_figures(wanted_groups(args)));
        call_keep(call, s, drop);
        if (args->n_doms ? add_named(call, args, s->collected, nowait, err) < 0
                         : add_all(call, args, s->collected, nowait, err) < 0)
                return -1;
        collection_start(s->collected, on_collected, s);
        return 0;
}
