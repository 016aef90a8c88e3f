/*
 * daemon/network-start.c - a network's way from its definition to serving, and back
 *
 * Start is a job: what is begun is undone when a later step fails. Stop goes on
 * whatever fails, because what could not be removed is best left visible in the
 * log, not kept alive. The status file says what is going on before it begins.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/network-host.h"
#include "host/dnsmasq.h"
#include "host/net-check.h"

static void on_step(void *arg, const Error *failure)
{
        job_resume(((NetworkRun *)arg)->job, failure);
}

/* What cannot be removed is named, and the rest goes on. */
static void on_removal_step(void *arg, const Error *failure)
{
        if (failure)
                log_error("network '%s': %s", ((NetworkRun *)arg)->net->name, failure->text);
        job_resume(((NetworkRun *)arg)->job, NULL);
}

static void ignore(void *arg UNUSED, const Error *failure UNUSED)
{
}

/* --- start --- */

static StepResult note_start(void *state, Job *job UNUSED, Error *err UNUSED)
{
        network_status_save(state, on_step, state);
        return STEP_WAIT;
}

static StepResult forget_start(void *state, Job *job UNUSED, Error *err UNUSED)
{
        network_status_remove(state, on_removal_step, state);
        return STEP_WAIT;
}

static StepResult make_links(void *state, Job *job UNUSED, Error *err)
{
        return network_links_make(state, err) < 0 ? STEP_FAILED : STEP_DONE;
}

static StepResult remove_links(void *state, Job *job UNUSED, Error *err UNUSED)
{
        network_links_remove(state);
        return STEP_DONE;
}

static StepResult add_rules(void *state, Job *job UNUSED, Error *err UNUSED)
{
        NetworkRun *run = state;

        if (!run->has_bridge)
                return STEP_DONE;
        run->has_rules = true;
        net_rules_add(run->host->rules, run->net->live, on_step, run);
        return STEP_WAIT;
}

static StepResult remove_rules(void *state, Job *job UNUSED, Error *err UNUSED)
{
        NetworkRun *run = state;

        if (!run->has_rules)
                return STEP_DONE;
        run->has_rules = false;
        net_rules_remove(run->host->rules, run->net->live, on_removal_step, run);
        return STEP_WAIT;
}

static StepResult start_server(void *state, Job *job UNUSED, Error *err UNUSED)
{
        NetworkRun *run = state;

        if (!network_has_own_bridge(run->net->live) || !dnsmasq_is_needed(run->net->live))
                return STEP_DONE;
        network_server_start(run, on_step, run);
        return STEP_WAIT;
}

static StepResult stop_server(void *state, Job *job UNUSED, Error *err UNUSED)
{
        network_server_stop(state, on_removal_step, state);
        return STEP_WAIT;
}

static StepResult note_active(void *state, Job *job UNUSED, Error *err UNUSED)
{
        NetworkRun *run = state;

        run->phase = NETWORK_ACTIVE;
        network_status_save(run, on_step, run);
        return STEP_WAIT;
}

enum { START_DEADLINE_S = 60 };

static const JobStep start_steps[] = {
        { .name = "note", .run = note_start, .undo = forget_start },
        { .name = "links", .run = make_links, .undo = remove_links },
        { .name = "rules", .run = add_rules, .undo = remove_rules }, /* nft has a deadline of its own */
        { .name = "server", .run = start_server, .undo = stop_server, .deadline_s = START_DEADLINE_S },
        { .name = "active", .run = note_active },
};

/* What a failure may come from that only this machine's owner can change. */
static void add_reasons(Error *failure)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(NetFindings) found = { .arena = arena };

        net_check_host("", &found);
        for (size_t i = 0; i < found.list.len; i++) {
                if (found.list.items[i].verdict == NET_BROKEN)
                        err_set(failure, failure->code, "%s; on this host: %s", failure->text,
                                found.list.items[i].text);
        }
}

/* It serves, but perhaps not what it should. */
static void warn_of_host(const Network *net)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(NetFindings) found = { .arena = arena };

        net_check_network("", net->live, &found);
        for (size_t i = 0; i < found.list.len; i++) {
                if (found.list.items[i].verdict != NET_FINE)
                        log_warning("%s", found.list.items[i].text);
        }
}

static void on_start_finished(void *state, const Error *why)
{
        NetworkRun *run = state;
        NetworkDone *done = run->done;
        void *arg = run->arg;
        Network *net = run->net;
        AUTO(Error) failure = { 0 };

        run->job = job_free(run->job);
        if (why->code != ERR_OK) {
                err_copy(&failure, why);
                add_reasons(&failure);
                log_info("network '%s' did not start: %s", net->name, failure.text);
                net->run = network_run_free(run);
                done(arg, &failure);
                return;
        }
        done(arg, NULL);
        if (net->active) { /* unless whoever was told ended it at once */
                network_links_join_guests(net);
                warn_of_host(net);
        }
}

static const JobKind start_kind = { .name = "network-start",
                                    .steps = start_steps,
                                    .n_steps = ARRAY_LEN(start_steps),
                                    .finished = on_start_finished };

static void begin(NetworkRun *run, const JobKind *kind, NetworkPhase phase, NetworkDone *done, void *arg)
{
        run->phase = phase;
        run->done = done;
        run->arg = arg;
        run->job = job_new(run->host->driver->daemon->loop, kind, run);
        job_start(run->job);
}

void network_host_start(Network *net, NetworkDone *done, void *arg)
{
        AUTO(Error) err = { 0 };

        if (network_links_check(net, net->live, &err) < 0) {
                done(arg, &err);
                return;
        }
        begin(network_run_new(net->driver->network_host, net), &start_kind, NETWORK_STARTING, done, arg);
}

/* --- stop --- */

static StepResult note_stop(void *state, Job *job UNUSED, Error *err UNUSED)
{
        network_status_save(state, on_removal_step, state);
        return STEP_WAIT;
}

static const JobStep stop_steps[] = {
        { .name = "note", .run = note_stop },      { .name = "server", .run = stop_server },
        { .name = "rules", .run = remove_rules },  { .name = "links", .run = remove_links },
        { .name = "forget", .run = forget_start },
};

static void on_stop_finished(void *state, const Error *why UNUSED)
{
        NetworkRun *run = state;
        Network *net = run->net;
        NetworkDone *done = run->done;
        void *arg = run->arg;

        run->job = job_free(run->job);
        net->run = network_run_free(run);
        done(arg, NULL);
}

static const JobKind stop_kind = {
        .name = "network-stop", .steps = stop_steps, .n_steps = ARRAY_LEN(stop_steps), .finished = on_stop_finished
};

void network_host_stop(Network *net, NetworkDone *done, void *arg)
{
        begin(network_run(net), &stop_kind, NETWORK_STOPPING, done, arg);
}

/* --- change --- */

typedef struct Change {
        NetworkRun *run;
        NetworkDef *def;
        NetworkDone *done;
        void *arg;
} Change;

static void change_end(Change *c, const Error *failure)
{
        if (!failure) {
                /* the status shows what is in force, so the caller's swap comes first */
                c->done(c->arg, NULL);
                network_status_save(c->run, ignore, NULL);
        } else {
                c->done(c->arg, failure);
        }
        network_def_unref(c->def);
        free(c);
}

static void on_server_changed(void *arg, const Error *failure)
{
        change_end(arg, failure);
}

void network_host_change(Network *net, NetworkDef *def, NetworkDone *done, void *arg)
{
        AUTO(Error) err = { 0 };
        Change *c;

        if (network_links_change(def, &err) < 0) {
                done(arg, &err);
                return;
        }
        c = mem_new(Change);
        *c = (Change){ .run = network_run(net), .def = network_def_ref(def), .done = done, .arg = arg };
        if (network_has_own_bridge(def) && dnsmasq_is_needed(def))
                network_server_change(c->run, def, on_server_changed, c);
        else
                change_end(c, NULL);
}
