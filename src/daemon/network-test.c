/*
 * daemon/network-test.c - networks of the test driver: states in memory, and nothing else
 */
#include "daemon/network-test.h"

#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/network-define.h"
#include "daemon/registry.h"

/* As the stock test driver has it. */
static const char first_network[] = "<network>"
                                    "  <name>default</name>"
                                    "  <uuid>dd8fe884-6c02-601e-7551-cca97df1c5df</uuid>"
                                    "  <forward/>"
                                    "  <bridge name='virbr0'/>"
                                    "  <ip address='192.168.122.1' netmask='255.255.255.0'>"
                                    "    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>"
                                    "  </ip>"
                                    "</network>";

static int complete(Driver *driver, NetworkDef *def, Error *err UNUSED)
{
        network_def_complete(def);
        for (unsigned i = 0; network_has_own_bridge(def) && !def->bridge; i++) {
                AUTOFREE char *name = str_format("virbr%u", i);
                bool taken = false;

                for (size_t n = 0; n < registry_len(driver->networks); n++) {
                        const Network *net = registry_at(driver->networks, n);

                        taken = taken || (network_def(net) && str_eq(network_def(net)->bridge, name));
                }
                if (!taken)
                        def->bridge = arena_dup(network_def_arena(def), name);
        }
        return 0;
}

static void save_config(Network *net UNUSED, const NetworkDef *def UNUSED, NetworkDone *done, void *arg)
{
        done(arg, NULL);
}

static void save_autostart(Network *net UNUSED, bool autostart UNUSED, NetworkDone *done, void *arg)
{
        done(arg, NULL);
}

static void act(Network *net UNUSED, NetworkDone *done, void *arg)
{
        done(arg, NULL);
}

static void change(Network *net UNUSED, NetworkDef *def UNUSED, NetworkDone *done, void *arg)
{
        done(arg, NULL);
}

static void leases(Network *net UNUSED, NetworkLeases *done, void *arg)
{
        done(arg, NULL, 0, NULL);
}

const NetworkOps network_test_ops = {
        .complete = complete,
        .save_config = save_config,
        .remove_config = act,
        .save_autostart = save_autostart,
        .start = act,
        .stop = act,
        .change = change,
        .save_live = act,
        .leases = leases,
};

int network_test_load(Driver *driver, Error *err)
{
        AUTO(NetworkDef) *def = network_define_parse(driver, first_network, false, err);
        Network *net;

        if (!def)
                return -1;
        net = network_add(driver, def->name, &def->uuid);
        net->persistent = net->autostart = net->active = true;
        network_set_live(net, network_def_copy(def));
        network_set_config(net, TAKE(def));
        return 0;
}
