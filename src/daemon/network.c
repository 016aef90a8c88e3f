/*
 * daemon/network.c - a virtual network's state, and telling about its changes
 */
#include "daemon/network.h"

#include "base/mem.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/registry.h"
#include "model/network-port.h"
#include "wire/constants.h"
#include "wire/structs.h"

Network *network_ref(Network *net)
{
        if (net)
                net->refs++;
        return net;
}

static void forget_ports(Network *net)
{
        for (size_t i = 0; i < net->made.len; i++)
                network_port_def_unref(net->made.items[i]);
        vec_done(&net->made);
}

Network *network_unref(Network *net)
{
        if (!net || --net->refs)
                return NULL;
        forget_ports(net);
        job_slot_free(net->jobs);
        network_def_unref(net->config);
        network_def_unref(net->live);
        free(net->name);
        free(net);
        return NULL;
}

Network *network_add(Driver *driver, const char *name, const Uuid *uuid)
{
        Network *net = mem_new(Network);

        *net = (Network){ .refs = 1,
                          .driver = driver,
                          .uuid = *uuid,
                          .name = str_dup(name),
                          .listed = true,
                          .jobs = job_slot_new(driver->daemon->loop) };
        registry_add(driver->networks, name, uuid, net);
        return net;
}

void network_remove(Network *net)
{
        if (!net->listed)
                return;
        registry_remove(net->driver->networks, &net->uuid);
        net->listed = false;
        network_unref(net);
}

void network_free_all(Registry *all)
{
        for (size_t i = 0; i < registry_len(all); i++)
                network_unref(registry_at(all, i));
        registry_free(all);
}

Network *network_find(const Driver *driver, const char *name)
{
        return registry_find_name(driver->networks, name);
}

const NetworkDef *network_def(const Network *net)
{
        return net->live ? net->live : net->config;
}

void network_set_config(Network *net, NetworkDef *def)
{
        network_def_unref(net->config);
        net->config = def;
}

void network_set_live(Network *net, NetworkDef *def)
{
        network_def_unref(net->live);
        net->live = def;
}

void network_tell(const Network *net, int event)
{
        WireNetworkEventLifecycleMsg msg = { .net = { .name = net->name, .uuid = net->uuid }, .event = event };

        event_emit(net->driver->events, WIRE_CLASS_NETWORK, VIR_NETWORK_EVENT_ID_LIFECYCLE, &net->uuid, &msg);
}

/* --- start and stop --- */

typedef struct Act {
        Network *net;
        NetworkDone *done;
        void *arg;
} Act;

static Act *act_new(Network *net, NetworkDone *done, void *arg)
{
        Act *act = mem_new(Act);

        *act = (Act){ .net = network_ref(net), .done = done, .arg = arg };
        return act;
}

static void act_end(Act *act, const Error *failure)
{
        Network *net = act->net;

        if (!net->active) {
                forget_ports(net);
                network_set_live(net, NULL);
                if (!net->persistent)
                        network_remove(net);
        }
        act->done(act->arg, failure);
        network_unref(net);
        free(act);
}

static void on_started(void *arg, const Error *failure)
{
        Act *act = arg;

        if (!failure) {
                act->net->active = true;
                network_tell(act->net, VIR_NETWORK_EVENT_STARTED);
        }
        act_end(act, failure);
}

void network_start(Network *net, NetworkDone *done, void *arg)
{
        net->driver->ops->networks->start(net, on_started, act_new(net, done, arg));
}

static void on_stopped(void *arg, const Error *failure)
{
        Act *act = arg;

        if (!failure) {
                act->net->active = false;
                network_tell(act->net, VIR_NETWORK_EVENT_STOPPED);
        }
        act_end(act, failure);
}

void network_stop(Network *net, NetworkDone *done, void *arg)
{
        net->driver->ops->networks->stop(net, on_stopped, act_new(net, done, arg));
}
