/*
 * daemon/nwfilter-learn.c - finding out a guest's address (NET-37)
 *
 * A socket hears what goes over the guest's device. Leases count as they are
 * given: in a reply that goes to the guest, about its MAC address, from a server
 * that is trusted (DHCPSERVER; any when nobody says). What a guest sends counts
 * only where that was asked for, and once. RUN/nwfilter/DEVICE.lease tells the
 * next daemon.
 */
#include "daemon/nwfilter-learn.h"

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "host/nw-packet.h"

#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum {
        MOST_ADDRESSES = 16,
        LARGEST_FRAME = 2048, /* of what is cut off nothing is needed */
        FRAMES_A_TURN = 32,
        LARGEST_FILE = 4096,
        LONGEST_WAIT_S = 24 * 60 * 60,
        CALM_MS = 1000, /* between two changes of one device's rules */
};

typedef struct Lease {
        NetAddress address;
        int64_t until; /* seconds since 1970; 0: for as long as the interface is there */
} Lease;

struct NwLearner {
        NwBinding *binding;
        Fd fd;
        Watch *watch;
        Timer *expiry, *renewal;
        uint64_t renewed_ms; /* 0: never */
        char *path;
        Lease leases[MOST_ADDRESSES];
        size_t n;
        char texts[MOST_ADDRESSES][NET_ADDRESS_TEXT_LEN + 1];
        const char *list[MOST_ADDRESSES];
};

bool nw_learner_has_device(const NwLearner *l)
{
        struct sockaddr_ll at = { 0 };
        socklen_t len = sizeof(at);

        /* it may have another name now */
        return getsockname(l->fd, (struct sockaddr *)&at, &len) == 0 && at.sll_ifindex > 0 &&
               if_nametoindex(l->binding->def->portdev) == (unsigned)at.sll_ifindex;
}

static Loop *loop_of(const NwLearner *l)
{
        return l->binding->filters->driver->daemon->loop;
}

size_t nw_learner_addresses(const NwLearner *l, const char *const **ret)
{
        *ret = (const char *const *)l->list;
        return l->n;
}

/* --- leases --- */

static void list_again(NwLearner *l)
{
        for (size_t i = 0; i < l->n; i++)
                l->list[i] = net_address_format(&l->leases[i].address, l->texts[i]);
}

static void note(const NwLearner *l)
{
        Buf text = { 0 };

        for (size_t i = 0; i < l->n; i++)
                buf_format(&text, "%s %" PRId64 "\n", l->texts[i], l->leases[i].until);
        file_queue_write(l->binding->filters->files, l->path, &text, 0600, false, NULL, NULL);
}

/* Leases that ended go; true: there were some. */
static bool drop_old(NwLearner *l)
{
        int64_t now = time(NULL);
        size_t kept = 0;

        for (size_t i = 0; i < l->n; i++) {
                if (!l->leases[i].until || l->leases[i].until > now)
                        l->leases[kept++] = l->leases[i];
        }
        if (kept == l->n)
                return false;
        l->n = kept;
        return true;
}

static void wait_for_next(NwLearner *l)
{
        int64_t now = time(NULL), wait = LONGEST_WAIT_S;
        bool any = false;

        for (size_t i = 0; i < l->n; i++) {
                if (!l->leases[i].until)
                        continue;
                any = true;
                wait = MIN(wait, MAX(l->leases[i].until - now, 1));
        }
        if (any)
                timer_set(l->expiry, (uint64_t)wait * 1000);
        else
                timer_stop(l->expiry);
}

static void renew(void *arg)
{
        NwLearner *l = arg;

        l->renewed_ms = loop_now_ms(loop_of(l));
        nw_binding_renew(l->binding);
}

/*
 * The rules change at once, but a guest that takes addresses and gives them back as fast as it can does not keep nft busy.
 * The next daemon is told always, because this one may be killed within that second: of two notes that wait one is written.
 */
static void changed(NwLearner *l)
{
        uint64_t now = loop_now_ms(loop_of(l));

        list_again(l);
        note(l);
        wait_for_next(l);
        if (timer_is_armed(l->renewal))
                return;
        if (!l->renewed_ms || now - l->renewed_ms >= CALM_MS)
                renew(l);
        else
                timer_set(l->renewal, CALM_MS - (now - l->renewed_ms));
}

static void on_expiry(void *arg)
{
        NwLearner *l = arg;

        if (drop_old(l)) {
                log_info("a lease of '%s' has ended", l->binding->def->portdev);
                changed(l);
        } else {
                wait_for_next(l);
        }
}

static Lease *find_lease(NwLearner *l, const NetAddress *address)
{
        for (size_t i = 0; i < l->n; i++) {
                if (net_address_compare(&l->leases[i].address, address) == 0)
                        return &l->leases[i];
        }
        return NULL;
}

static void take_lease(NwLearner *l, const NetAddress *address, int64_t until)
{
        Lease *known = find_lease(l, address);
        char text[NET_ADDRESS_TEXT_LEN + 1];

        if (known) { /* renewed: the rules stay as they are */
                if (known->until == until)
                        return;
                known->until = until;
                note(l);
                wait_for_next(l);
                return;
        }
        if (l->binding->learning == NW_LEARN_ANY)
                l->n = 0;
        if (l->n == MOST_ADDRESSES)
                return;
        l->leases[l->n++] = (Lease){ *address, until };
        log_info("'%s' has the address %s", l->binding->def->portdev, net_address_format(address, text));
        changed(l);
        nw_socket_narrow(l->fd);
}

static void give_back(NwLearner *l, const NetAddress *address)
{
        Lease *known = find_lease(l, address);

        if (!known)
                return;
        memmove(known, known + 1, (l->n - 1 - (size_t)(known - l->leases)) * sizeof(*known));
        l->n--;
        changed(l);
}

/* --- what is heard --- */

static bool is_trusted(const NwLearner *l, const NetAddress *server)
{
        const FilterrefDef *ref = l->binding->def->filterref;
        bool any = true;

        for (uint32_t i = 0; i < ref->n_parameters; i++) {
                NetAddress named;

                if (!str_eq(ref->parameters[i]->name, "DHCPSERVER"))
                        continue;
                any = false;
                if (net_address_parse(ref->parameters[i]->value, &named) == 0 && named.family == server->family &&
                    net_address_compare(&named, server) == 0)
                        return true;
        }
        return any;
}

/* One that a host can have: not 0.0.0.0, not of the loopback net, not multicast or broadcast. */
static bool is_of_host(const NetAddress *address)
{
        return address->family == AF_INET && address->bytes[0] != 0 && address->bytes[0] != 127 &&
               address->bytes[0] < 224;
}

static void see(NwLearner *l, const NwPacket *packet, bool to_guest)
{
        const Mac *mac = &l->binding->def->mac;
        bool is_dhcp = packet->kind == NW_PACKET_DHCP && mac_eq(&packet->client, mac);

        if (to_guest) {
                if (is_dhcp && packet->is_reply && packet->type == NW_DHCP_ACK && is_of_host(&packet->leased) &&
                    is_trusted(l, &packet->address))
                        take_lease(l, &packet->leased,
                                   l->binding->learning == NW_LEARN_DHCP && packet->lease_s &&
                                                   packet->lease_s != UINT32_MAX
                                           ? time(NULL) + packet->lease_s
                                           : 0);
                return;
        }
        if (!mac_eq(&packet->from, mac))
                return;
        if (is_dhcp && !packet->is_reply && (packet->type == NW_DHCP_RELEASE || packet->type == NW_DHCP_DECLINE) &&
            packet->leased.family)
                give_back(l, &packet->leased);
        else if (packet->kind == NW_PACKET_IP && l->binding->learning == NW_LEARN_ANY && l->n == 0 &&
                 is_of_host(&packet->address))
                take_lease(l, &packet->address, 0);
}

static void on_frame(void *arg, uint32_t revents UNUSED)
{
        NwLearner *l = arg;
        uint8_t frame[LARGEST_FRAME];

        for (int i = 0; i < FRAMES_A_TURN; i++) {
                struct sockaddr_ll from;
                socklen_t len = sizeof(from);
                ssize_t n = recvfrom(l->fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &len);
                NwPacket packet;

                if (n < 0)
                        return;
                nw_packet_read(frame, (size_t)n, &packet);
                see(l, &packet, from.sll_pkttype == PACKET_OUTGOING);
        }
}

/* --- a guest that moves --- */

void nw_learner_list(const NwLearner *l, NwLearnedList *ret)
{
        int64_t now = time(NULL);

        for (size_t i = 0; i < l->n; i++) {
                const Lease *lease = &l->leases[i];
                NwLearned learned = { .mac = l->binding->def->mac, .address = lease->address };

                if (lease->until && lease->until <= now)
                        continue;
                learned.left_s = lease->until ? lease->until - now : 0; /* the other host's clock may be another */
                vec_push(ret, learned);
        }
}

void nw_learner_take(NwLearner *l, const NwLearned *learned)
{
        if (is_of_host(&learned->address))
                take_lease(l, &learned->address, learned->left_s ? time(NULL) + learned->left_s : 0);
}

/* --- begin and end --- */

static void read_old(NwLearner *l)
{
        AUTO(Buf) text = { 0 };

        if (file_read(l->path, LARGEST_FILE, &text, NULL) < 0)
                return;
        for (const char *line = buf_text(&text); *line && l->n < MOST_ADDRESSES;) {
                Lease lease;
                char address[NET_ADDRESS_TEXT_LEN + 1];

                if (sscanf(line, "%45s %" SCNd64, address, &lease.until) == 2 &&
                    net_address_parse(address, &lease.address) == 0 && is_of_host(&lease.address))
                        l->leases[l->n++] = lease;
                line += strcspn(line, "\n");
                line += *line == '\n';
        }
        drop_old(l);
        list_again(l);
}

static char *path_of(const NwBinding *b)
{
        return str_format("%s/%s.lease", b->filters->run_dir, b->def->portdev);
}

NwLearner *nw_learner_new(NwBinding *b, Error *err)
{
        AUTOFREE char *path = path_of(b);
        NwLearner *l;
        int fd = nw_socket_open(b->def->portdev, b->learning == NW_LEARN_DHCP, err);

        if (fd < 0)
                return NULL;
        l = mem_new(NwLearner);
        *l = (NwLearner){ .binding = b, .fd = fd, .path = TAKE(path) };
        l->watch = watch_new(loop_of(l), fd, EPOLLIN, on_frame, l);
        l->expiry = timer_new(loop_of(l), 1000, on_expiry, l);
        timer_stop(l->expiry);
        l->renewal = timer_new(loop_of(l), CALM_MS, renew, l);
        timer_stop(l->renewal);
        read_old(l);
        if (l->n)
                nw_socket_narrow(fd);
        wait_for_next(l);
        return l;
}

NwLearner *nw_learner_free(NwLearner *l)
{
        if (!l)
                return NULL;
        watch_free(l->watch);
        timer_free(l->expiry);
        timer_free(l->renewal);
        fd_close(&l->fd);
        free(l->path);
        free(l);
        return NULL;
}

void nw_learned_forget(const NwBinding *b)
{
        AUTOFREE char *path = path_of(b);
        const char *paths[] = { path, NULL };

        file_queue_remove(b->filters->files, paths, NULL, NULL);
}
