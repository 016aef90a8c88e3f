/*
 * app/drover/migrate.c - the hand-over, driven from here
 *
 * What happens when a step fails decides where the guest runs afterwards:
 * prepare failed - the source is told that it is off; perform failed - both
 * are; finish says it has no guest - the source takes it back. When finish's
 * answer is lost nobody may guess: the destination is asked again, and if it
 * does not answer, the source is told nothing and keeps the guest paused.
 */
#include "app/drover/migrate.h"

#include "base/str.h"
#include "wire/client-wait.h"

enum {
        FEATURE_P2P = 4,
        FEATURE_DIRECT = 5,
        FEATURE_CHANGE_PROTECTION = 7,
        FEATURE_OFFLINE = 12,
        FEATURE_PARAMS = 13
};

/* What one side has for the other. Each step eats the cookie of the step before; one that fails or is left out leaves none. */
typedef struct Cookie {
        const uint8_t *bytes;
        uint32_t n;
} Cookie;

typedef struct Handover {
        Session *session;
        MigrateOrder *order;
        Client *dest;
        char *dest_uri;
        uint32_t source_flags, dest_flags;
        Cookie cookie;
} Handover;

static Cookie take_cookie(Handover *h)
{
        Cookie cookie = h->cookie;

        h->cookie = (Cookie){ 0 };
        return cookie;
}

static int ask(Handover *h, Client *client, int32_t number, const void *args, void *ret, Error *err)
{
        const WireProc *proc = wire_proc_find(WIRE_PROGRAM_REMOTE, number);

        if (client_call_wait(client, proc, args, session_arena(h->session), ret, err) == 0)
                return 0;
        if (client_is_open(client))
                session_spell_out(err);
        return -1;
}

static int has_feature(Handover *h, Client *client, int feature, bool *ret, Error *err)
{
        WireConnectSupportsFeatureRet is;

        if (ask(h, client, WIRE_PROC_CONNECT_SUPPORTS_FEATURE, &(WireConnectSupportsFeatureArgs){ feature }, &is,
                err) < 0)
                return -1;
        *ret = is.supported > 0;
        return 0;
}

static int need_feature(Handover *h, Client *client, int feature, const char *what, Error *err)
{
        bool has;

        if (has_feature(h, client, feature, &has, err) < 0)
                return -1;
        if (!has)
                return err_set(err, ERR_NO_SUPPORT, "%s is not supported by %s", what,
                               client == h->dest ? "the destination" : "the source");
        return 0;
}

static void replace_text(ParamList *params, const char *field, const char *value)
{
        for (uint32_t i = 0; i < params->len; i++) {
                if (str_eq(params->items[i].field, field)) {
                        params->items[i].value.s = value;
                        return;
                }
        }
        params_add_text(params, field, value);
}

static int check_both_sides(Handover *h, Error *err)
{
        Client *source = h->session->client;
        bool protects;

        if (h->order->flags & VIR_MIGRATE_OFFLINE) {
                if (need_feature(h, source, FEATURE_OFFLINE, "offline migration", err) < 0 ||
                    need_feature(h, h->dest, FEATURE_OFFLINE, "offline migration", err) < 0)
                        return -1;
        }
        if (need_feature(h, source, FEATURE_PARAMS, "migration with parameters", err) < 0 ||
            need_feature(h, h->dest, FEATURE_PARAMS, "migration with parameters", err) < 0 ||
            has_feature(h, source, FEATURE_CHANGE_PROTECTION, &protects, err) < 0)
                return -1;
        if ((h->order->flags & VIR_MIGRATE_CHANGE_PROTECTION) && !protects)
                return err_set(err, ERR_NO_SUPPORT,
                               "the source cannot protect a guest from changes while it migrates");
        h->source_flags = h->order->flags | (protects ? VIR_MIGRATE_CHANGE_PROTECTION : 0);
        h->dest_flags = h->order->flags & ~(uint32_t)(VIR_MIGRATE_CHANGE_PROTECTION | VIR_MIGRATE_ABORT_ON_ERROR |
                                                      VIR_MIGRATE_AUTO_CONVERGE);
        return 0;
}

static int begin(Handover *h, Error *err)
{
        MigrateOrder *order = h->order;
        WireDomainMigrateBegin3ParamsArgs args = { order->dom, order->params.len, order->params.items,
                                                   h->source_flags };
        WireDomainMigrateBegin3ParamsRet ret;
        WireDomainGetStateRet state;

        if (ask(h, h->session->client, WIRE_PROC_DOMAIN_MIGRATE_BEGIN3_PARAMS, &args, &ret, err) < 0)
                return -1;
        h->cookie = (Cookie){ ret.cookie_out, ret.n_cookie_out };
        replace_text(&order->params, VIR_MIGRATE_PARAM_DEST_XML, ret.xml);
        if (ask(h, h->session->client, WIRE_PROC_DOMAIN_GET_STATE, &(WireDomainGetStateArgs){ order->dom, 0 }, &state,
                NULL) == 0 &&
            state.state == VIR_DOMAIN_PAUSED) {
                h->source_flags |= VIR_MIGRATE_PAUSED;
                h->dest_flags |= VIR_MIGRATE_PAUSED;
        }
        return 0;
}

static int prepare(Handover *h, Error *err)
{
        MigrateOrder *order = h->order;
        Cookie cookie = take_cookie(h);
        WireDomainMigratePrepare3ParamsArgs args = { order->params.len, order->params.items, cookie.n, cookie.bytes,
                                                     h->dest_flags };
        WireDomainMigratePrepare3ParamsRet ret;
        bool has_uri;

        if (ask(h, h->dest, WIRE_PROC_DOMAIN_MIGRATE_PREPARE3_PARAMS, &args, &ret, err) < 0)
                return -1;
        has_uri = param_find(order->params.items, order->params.len, VIR_MIGRATE_PARAM_URI) != NULL;
        if (ret.uri_out)
                replace_text(&order->params, VIR_MIGRATE_PARAM_URI, ret.uri_out);
        else if (!has_uri && !(order->flags & VIR_MIGRATE_OFFLINE))
                return err_set(err, ERR_INTERNAL, "the destination named no address to send the guest to");
        h->cookie = (Cookie){ ret.cookie_out, ret.n_cookie_out };
        return 0;
}

static int perform(Handover *h, Error *err)
{
        MigrateOrder *order = h->order;
        Cookie cookie = take_cookie(h);
        WireDomainMigratePerform3ParamsArgs args = { .dom = order->dom,
                                                     .n_params = order->params.len,
                                                     .params = order->params.items,
                                                     .n_cookie_in = cookie.n,
                                                     .cookie_in = cookie.bytes,
                                                     .flags = h->source_flags };
        WireDomainMigratePerform3ParamsRet ret;
        MigrateWatch *watch = migrate_watch_new(h->session, &order->dom, &order->watch, err);
        int result;

        if (!watch)
                return -1;
        result = ask(h, h->session->client, WIRE_PROC_DOMAIN_MIGRATE_PERFORM3_PARAMS, &args, &ret, err);
        migrate_watch_free(watch, result == 0);
        if (result == 0)
                h->cookie = (Cookie){ ret.cookie_out, ret.n_cookie_out };
        return result;
}

static int confirm(Handover *h, bool cancelled, Error *err)
{
        MigrateOrder *order = h->order;
        Cookie cookie = take_cookie(h);
        WireDomainMigrateConfirm3ParamsArgs args = { order->dom, order->params.len, order->params.items,
                                                     cookie.n,   cookie.bytes,      h->source_flags,
                                                     cancelled };

        return ask(h, h->session->client, WIRE_PROC_DOMAIN_MIGRATE_CONFIRM3_PARAMS, &args, NULL, err);
}

static int finish(Handover *h, bool cancelled, Error *err)
{
        MigrateOrder *order = h->order;
        Cookie cookie = take_cookie(h);
        WireDomainMigrateFinish3ParamsArgs args = {
                .n_cookie_in = cookie.n, .cookie_in = cookie.bytes, .flags = h->dest_flags, .cancelled = cancelled
        };
        WireDomainMigrateFinish3ParamsRet ret;

        if (!param_find(order->params.items, order->params.len, VIR_MIGRATE_PARAM_DEST_NAME))
                params_add_text(&order->params, VIR_MIGRATE_PARAM_DEST_NAME, order->dom.name);
        args.n_params = order->params.len;
        args.params = order->params.items;
        if (ask(h, h->dest, WIRE_PROC_DOMAIN_MIGRATE_FINISH3_PARAMS, &args, &ret, err) < 0)
                return -1;
        h->cookie = (Cookie){ ret.cookie_out, ret.n_cookie_out };
        return 0;
}

/* The answer of finish was lost. 1: the destination runs the guest, 0: it does not, -1: it does not say. */
static int ask_destination_again(Handover *h, Error *err)
{
        WireDomainLookupByUuidRet found;
        WireDomainIsActiveRet is;
        AUTO(Error) why = { 0 };

        h->dest = client_free(h->dest);
        h->dest = session_connect(h->session, h->dest_uri, false, err);
        if (!h->dest)
                return -1;
        if (ask(h, h->dest, WIRE_PROC_DOMAIN_LOOKUP_BY_UUID, &(WireDomainLookupByUuidArgs){ h->order->dom.uuid },
                &found, &why) < 0)
                return why.code == ERR_NO_DOMAIN ? 0 : err_move(err, &why);
        if (ask(h, h->dest, WIRE_PROC_DOMAIN_IS_ACTIVE, &(WireDomainIsActiveArgs){ found.dom }, &is, err) < 0)
                return -1;
        return is.active == 1;
}

/* Tell the source what became of it; it is the one that may let the guest run again. */
static int settle(Handover *h, Error *failure, Error *err)
{
        int there;

        if (client_is_open(h->dest)) {
                confirm(h, true, NULL);
                return err_move(err, failure);
        }
        there = ask_destination_again(h, err);
        if (there < 0)
                return err_set(
                        err, ERR_OPERATION_FAILED,
                        "the connection to the destination was lost at the last step, and whether '%s' runs there is not "
                        "known: %s. It stays paused here. Look at the destination: if the guest runs there, destroy it "
                        "here; if not, resume it here",
                        h->order->dom.name, failure->text);
        if (there > 0)
                return confirm(h, false, err);
        confirm(h, true, NULL);
        return err_move(err, failure);
}

static int hand_over(Handover *h, Error *err)
{
        AUTO(Error) why = { 0 };
        bool offline = h->order->flags & VIR_MIGRATE_OFFLINE;

        if (begin(h, err) < 0)
                return -1;
        if (prepare(h, err) < 0) {
                confirm(h, true, NULL);
                return -1;
        }
        if (offline)
                take_cookie(h); /* the destination's own: nothing came from the source since */
        if (!offline && perform(h, err) < 0) {
                if (finish(h, true, &why) < 0 && why.code == ERR_OPERATION_FAILED &&
                    err->code == ERR_OPERATION_FAILED)
                        err_move(err,
                                 &why); /* what broke is behind what the source saw: the guest could not be taken */
                confirm(h, true, NULL);
                return -1;
        }
        if (finish(h, false, &why) < 0)
                return settle(h, &why, err);
        return confirm(h, false, err);
}

static int run_managed(Session *s, MigrateOrder *order, Error *err)
{
        Handover h = { .session = s, .order = order, .dest_uri = session_expand_uri(order->dest_uri) };
        int result = -1;

        h.dest = session_connect(s, h.dest_uri, false, err);
        if (!h.dest)
                fail(err, "failed to connect to the destination %s", h.dest_uri);
        else if (check_both_sides(&h, err) == 0)
                result = hand_over(&h, err);
        client_free(h.dest);
        free(h.dest_uri);
        return result;
}

static int run_at_source(Session *s, MigrateOrder *order, Error *err)
{
        Handover h = { .session = s, .order = order };
        AUTOFREE char *uri = session_expand_uri(order->dest_uri);
        WireDomainMigratePerform3ParamsArgs args = { .dom = order->dom,
                                                     .dconnuri = uri,
                                                     .n_params = order->params.len,
                                                     .params = order->params.items,
                                                     .flags = order->flags };
        WireDomainMigratePerform3ParamsRet ret;
        MigrateWatch *watch;
        int result;

        if (order->direct ? need_feature(&h, s->client, FEATURE_DIRECT, "direct migration", err) < 0
                          : need_feature(&h, s->client, FEATURE_P2P, "peer-to-peer migration", err) < 0)
                return -1;
        if (need_feature(&h, s->client, FEATURE_PARAMS, "migration with parameters", err) < 0)
                return -1;
        watch = migrate_watch_new(s, &order->dom, &order->watch, err);
        if (!watch)
                return -1;
        result = ask(&h, s->client, WIRE_PROC_DOMAIN_MIGRATE_PERFORM3_PARAMS, &args, &ret, err);
        migrate_watch_free(watch, result == 0);
        return result;
}

static int run_once(Session *s, MigrateOrder *order, Error *err)
{
        return order->direct || (order->flags & VIR_MIGRATE_PEER2PEER) ? run_at_source(s, order, err)
                                                                       : run_managed(s, order, err);
}

void migrate_order_keep_pause(MigrateOrder *order)
{
        if (!order->watch.max_pause_ms || order->flags & VIR_MIGRATE_TUNNELLED)
                return;
        order->fall_back = !(order->flags & VIR_MIGRATE_POSTCOPY);
        order->flags |= VIR_MIGRATE_POSTCOPY;
        order->watch.may_postcopy = true;
}

int migrate_run(Session *s, MigrateOrder *order, Error *err)
{
        MigrateOrder without = *order;
        AUTO(Error) why = { 0 };

        if (run_once(s, order, &why) == 0)
                return 0;
        /* Post-copy was our idea, not the user's: where it is refused, pre-copy with a throttled guest must do. */
        if (order->fall_back && why.code != ERR_OPERATION_ABORTED && why.text && strcasestr(why.text, "post")) {
                without.flags = (order->flags & ~(uint32_t)VIR_MIGRATE_POSTCOPY) | VIR_MIGRATE_AUTO_CONVERGE;
                without.watch.may_postcopy = false;
                return run_once(s, &without, err);
        }
        return err_move(err, &why);
}
