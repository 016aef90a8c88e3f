/*
 * daemon/network-floors.c - what guests on a network are sure to receive
 *
 * Floors are shares of what the network's bridge may send, so they are classes
 * there, not limits of the guest's tap. They are not kept anywhere: they are what
 * the live definitions of guests say, and the kernel is told all of them anew.
 */
#include "daemon/network-floors.h"

#include "base/str.h"
#include "base/vec.h"
#include "daemon/domain.h"
#include "daemon/network-port.h"
#include "host/net-bandwidth.h"

static uint64_t floor_of(const InterfaceDef *nic)
{
        return nic && nic->bandwidth ? nic->bandwidth->inbound_floor : 0;
}

typedef struct Floors {
        VEC(NetFloor) list;
        uint64_t sum;
} Floors;

static void add(Floors *floors, const InterfaceDef *nic)
{
        NetFloor floor = { .rate = floor_of(nic) };

        if (!floor.rate)
                return;
        memcpy(floor.mac, nic->mac.bytes, sizeof(floor.mac));
        floors->sum += MIN(floor.rate, UINT32_MAX);
        vec_push(&floors->list, floor);
}

static bool is_port(const InterfaceDef *nic, const InterfaceDef *one)
{
        return one && str_eq(nic->portid, one->portid);
}

/* What is promised when gone leaves, come joins and the guest `ended` is no more; each may be NULL. */
static void collect(const Network *net, const InterfaceDef *gone, const InterfaceDef *come, const Domain *ended,
                    Floors *ret)
{
        AUTO(Arena) *arena = arena_new();
        NetworkPort *ports;
        size_t n = network_ports(net, arena, &ports);

        for (size_t i = 0; i < n; i++) {
                if (!(ended && ports[i].dom == ended) && !is_port(ports[i].interface, gone) &&
                    !is_port(ports[i].interface, come))
                        add(ret, ports[i].interface);
        }
        if (come)
                add(ret, come);
}

static int check(const Network *net, const InterfaceDef *come, uint64_t sum, Error *err)
{
        const BandwidthDef *all = net->live->bandwidth;
        char mac[MAC_TEXT_LEN + 1];

        if (!floor_of(come))
                return 0;
        mac_format(&come->mac, mac);
        if (!network_has_own_bridge(net->live))
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "Invalid use of 'floor' on interface with MAC address %s - 'floor' is only supported "
                               "for interface type 'network' with forward type 'nat', 'route', 'open' or none",
                               mac);
        if (!all || !all->inbound_average)
                return err_set(
                        err, ERR_CONFIG_UNSUPPORTED,
                        "Invalid use of 'floor' on interface with MAC address %s - network '%s' has no inbound "
                        "QoS set",
                        mac, net->name);
        if (sum > all->inbound_average)
                return err_set(err, ERR_OPERATION_INVALID,
                               "Cannot plug interface %s into network '%s': it would overcommit 'average' (%llu of "
                               "%llu kilobytes per second promised)",
                               mac, net->name, (unsigned long long)sum, (unsigned long long)all->inbound_average);
        return 0;
}

static bool has_limit(const Network *net)
{
        return network_has_own_bridge(net->live) && net->live->bandwidth && net->live->bandwidth->inbound_average;
}

static int tell(const Network *net, const Floors *floors, Error *err)
{
        const BandwidthDef *b = net->live->bandwidth;
        NetRate send = { .average = b->inbound_average, .peak = b->inbound_peak, .burst = b->inbound_burst };

        return net_set_floors(net->live->bridge, &send, floors->list.items, floors->list.len, err);
}

int network_floors_change(const Network *net, const InterfaceDef *gone, const InterfaceDef *come, Error *err)
{
        Floors floors = { 0 };
        int ret = 0;

        if ((!floor_of(gone) && !floor_of(come)) || !net->live)
                return 0;
        collect(net, gone, come, NULL, &floors);
        if (check(net, come, floors.sum, err) < 0)
                ret = -1;
        else if (has_limit(net))
                ret = tell(net, &floors, err);
        vec_done(&floors.list);
        return ret;
}

int network_floors_forget(const Network *net, const Domain *ended, Error *err)
{
        Floors floors = { 0 };
        int ret = 0;

        if (!net->live || !has_limit(net))
                return 0;
        collect(net, NULL, NULL, ended, &floors);
        if (floors.list.len || ended)
                ret = tell(net, &floors, err);
        vec_done(&floors.list);
        return ret;
}
