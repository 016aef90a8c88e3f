/*
 * qemu/command-line-net.c - network interfaces
 */
#include "base/mac.h"
#include "base/str.h"
#include "qemu/command-line-private.h"

static void put_forwards(JsonWriter *w, const InterfaceDef *nic)
{
        if (nic->n_port_forwards == 0)
                return;
        json_open_array(w, "hostfwd");
        for (uint32_t i = 0; i < nic->n_port_forwards; i++) {
                const PortForwardDef *f = nic->port_forwards[i];

                for (uint32_t r = 0; r < f->n_ranges; r++) {
                        const PortRangeDef *range = f->ranges[r];
                        uint32_t last = MAX(range->start, range->end), to = range->to ?: range->start;

                        for (uint32_t port = range->start; port <= last && range->exclude != SWITCH_ON; port++) {
                                json_open_object(w, NULL);
                                json_put_format(w, "str", "%s:%s:%u-:%u", f->proto ?: "tcp", f->address ?: "", port,
                                                to + port - range->start);
                                json_close_object(w);
                        }
                }
        }
        json_close_array(w);
}

static void put_user(JsonWriter *w, const InterfaceDef *nic)
{
        part_open(w, "type", "user");
        for (uint32_t i = 0; i < nic->n_ips; i++) {
                const IpDef *ip = nic->ips[i];

                if (ip->family == IP_FAMILY_IPV6)
                        json_put_format(w, "ipv6-net", "%s/%u", ip->address, ip->prefix ?: 64);
                else
                        json_put_format(w, "net", "%s/%u", ip->address, ip->prefix ?: 24);
        }
        put_forwards(w, nic);
}

/* Taps and macvtaps: "5", or "5:6" with several queues. */
static void put_tap(JsonWriter *w, const InterfaceDef *nic, const char *taps, const char *vhosts)
{
        part_open(w, "type", "tap");
        json_put_text(w, strchr(taps, ':') ? "fds" : "fd", taps);
        if (vhosts) {
                json_put_bool(w, "vhost", true);
                json_put_text(w, strchr(vhosts, ':') ? "vhostfds" : "vhostfd", vhosts);
        }
        if (nic->has_sndbuf)
                json_put_u64(w, "sndbuf", nic->sndbuf);
}

static void put_socket(JsonWriter *w, const InterfaceDef *nic)
{
        const char *address = nic->socket_address ?: "";

        part_open(w, "type", "socket");
        switch (nic->type) {
        case INTERFACE_TYPE_SERVER:
                json_put_format(w, "listen", "%s:%u", address, nic->socket_port);
                return;
        case INTERFACE_TYPE_CLIENT:
                json_put_format(w, "connect", "%s:%u", address, nic->socket_port);
                return;
        case INTERFACE_TYPE_MCAST:
                json_put_format(w, "mcast", "%s:%u", address, nic->socket_port);
                return;
        default:
                json_put_format(w, "udp", "%s:%u", address, nic->socket_port);
                json_put_format(w, "localaddr", "%s:%u", nic->local_address ?: "", nic->local_port);
                return;
        }
}

static int put_netdev(const InterfaceDef *nic, const char *taps, const char *vhosts, QemuParts *ret, const char *id,
                      Error *err)
{
        AUTO(JsonWriter) w = { 0 };

        switch (nic->type) {
        case INTERFACE_TYPE_USER:
                put_user(&w, nic);
                break;
        case INTERFACE_TYPE_NETWORK:
        case INTERFACE_TYPE_BRIDGE:
        case INTERFACE_TYPE_ETHERNET:
        case INTERFACE_TYPE_DIRECT:
                if (!taps)
                        return err_set(err, ERR_INTERNAL, "no tap was opened for the interface '%s'",
                                       nic->info.alias);
                put_tap(&w, nic, taps, vhosts);
                break;
        case INTERFACE_TYPE_SERVER:
        case INTERFACE_TYPE_CLIENT:
        case INTERFACE_TYPE_MCAST:
        case INTERFACE_TYPE_UDP:
                put_socket(&w, nic);
                break;
        default:
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "interfaces of type '%s' are not supported",
                               interface_type_text(nic->type) ?: "?");
        }
        json_put_text(&w, "id", id);
        part_close(&w, ret, QEMU_PART_NETDEV, id);
        return 0;
}

static void put_offloads(JsonWriter *w, const InterfaceDef *nic)
{
        const OffloadHostDef *h = nic->offload_host;
        const OffloadGuestDef *g = nic->offload_guest;

        if (h) {
                put_bool(w, "csum", h->csum);
                put_bool(w, "gso", h->gso);
                put_bool(w, "host_tso4", h->tso4);
                put_bool(w, "host_tso6", h->tso6);
                put_bool(w, "host_ecn", h->ecn);
                put_bool(w, "host_ufo", h->ufo);
                put_bool(w, "mrg_rxbuf", h->mrg_rxbuf);
        }
        if (g) {
                put_bool(w, "guest_csum", g->csum);
                put_bool(w, "guest_tso4", g->tso4);
                put_bool(w, "guest_tso6", g->tso6);
                put_bool(w, "guest_ecn", g->ecn);
                put_bool(w, "guest_ufo", g->ufo);
        }
}

static void put_virtio_net(JsonWriter *w, const InterfaceDef *nic)
{
        put_virtio(w, &nic->virtio);
        if (nic->queues > 1) {
                json_put_bool(w, "mq", true);
                json_put_u64(w, "vectors", 2 * nic->queues + 2);
        }
        if (nic->driver_txmode)
                json_put_text(w, "tx", nic->driver_txmode == TX_MODE_TIMER ? "timer" : "bh");
        put_bool(w, "ioeventfd", nic->ioeventfd);
        put_bool(w, "event_idx", nic->event_idx);
        put_bool(w, "rss", nic->rss);
        put_bool(w, "hash", nic->rss_hash_report);
        put_u32(w, "rx_queue_size", nic->rx_queue_size);
        put_u32(w, "tx_queue_size", nic->tx_queue_size);
        put_u32(w, "host_mtu", nic->mtu);
        put_offloads(w, nic);
}

static bool is_virtio(const InterfaceDef *nic)
{
        return nic->model && str_starts(nic->model, "virtio");
}

int qemu_interface_parts(const DomainDef *def, const InterfaceDef *nic, const char *tap_fds, const char *vhost_fds,
                         QemuParts *ret, Error *err)
{
        AUTOFREE char *netdev = str_format("host%s", nic->info.alias);
        AUTO(JsonWriter) w = { 0 };
        char room[64], mac[MAC_TEXT_LEN + 1];
        const char *driver = is_virtio(nic) ? virtio_driver("virtio-net", nic->model, room) : nic->model ?: "rtl8139";

        if (put_netdev(nic, tap_fds, vhost_fds, ret, netdev, err) < 0 ||
            part_open_device(&w, driver, def, &nic->info, err) < 0)
                return -1;
        json_put_text(&w, "netdev", netdev);
        json_put_text(&w, "mac", mac_format(&nic->mac, mac));
        if (is_virtio(nic))
                put_virtio_net(&w, nic);
        put_u32(&w, "bootindex", boot_index_interface(def, nic));
        if (nic->rom) {
                json_put_text(&w, "romfile", nic->rom->enabled == SWITCH_OFF ? "" : nic->rom->file);
                if (nic->rom->bar != SWITCH_DEFAULT)
                        json_put_u64(&w, "rombar", nic->rom->bar == SWITCH_ON);
        }
        part_close(&w, ret, QEMU_PART_DEVICE, nic->info.alias);
        return 0;
}

static char *pass_fds(CommandLine *line, const Fd *fds, size_t n)
{
        AUTO(Buf) text = { 0 };

        for (size_t i = 0; i < n; i++)
                buf_format(&text, "%s%d", i ? ":" : "", line_put_fd(line, fds[i]));
        return text.len ? buf_take(&text) : NULL;
}

int command_line_interfaces(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        for (uint32_t i = 0; i < spec->def->n_interfaces; i++) {
                const InterfaceDef *nic = spec->def->interfaces[i];
                const NicFds *fds = spec->nics ? &spec->nics[i] : NULL;
                AUTOFREE char *taps = fds ? pass_fds(line, fds->taps, fds->n_taps) : NULL;
                AUTOFREE char *vhosts = fds ? pass_fds(line, fds->vhosts, fds->n_vhosts) : NULL;
                AUTO(QemuParts) parts = { 0 };

                if (qemu_interface_parts(spec->def, nic, taps, vhosts, &parts, err) < 0)
                        return -1;
                line_put_parts(line, &parts);
        }
        return 0;
}
