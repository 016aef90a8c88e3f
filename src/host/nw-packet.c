/*
 * host/nw-packet.c - what a frame says of the address of a guest
 */
#include "host/nw-packet.h"

#include "base/auto.h"
#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

enum {
        ETHER_LEN = 14,
        ARP_LEN = 28,
        UDP_LEN = 8,
        DHCP_LEN = 236, /* up to the magic cookie */
        DHCP_SERVER = 67,
        DHCP_CLIENT = 68,
        OPTION_PAD = 0,
        OPTION_REQUESTED = 50,
        OPTION_LEASE = 51,
        OPTION_TYPE = 53,
        OPTION_END = 255,
};

static unsigned read16(const uint8_t *at)
{
        return (unsigned)at[0] << 8 | at[1];
}

static uint32_t read32(const uint8_t *at)
{
        return (uint32_t)read16(at) << 16 | read16(at + 2);
}

static NetAddress read_address(const uint8_t *at)
{
        NetAddress address = { .family = AF_INET };

        memcpy(address.bytes, at, 4);
        return address;
}

static bool is_some(const uint8_t *at)
{
        return read32(at) != 0;
}

static void read_options(const uint8_t *at, size_t len, NwPacket *ret)
{
        NetAddress requested = { 0 };

        while (len >= 1 && *at != OPTION_END) {
                size_t n;

                if (*at == OPTION_PAD) {
                        at++;
                        len--;
                        continue;
                }
                if (len < 2 || len - 2 < at[1])
                        return;
                n = at[1];
                if (*at == OPTION_TYPE && n == 1)
                        ret->type = at[2];
                else if (*at == OPTION_LEASE && n == 4)
                        ret->lease_s = read32(at + 2);
                else if (*at == OPTION_REQUESTED && n == 4)
                        requested = read_address(at + 2);
                at += 2 + n;
                len -= 2 + n;
        }
        if (ret->type == NW_DHCP_DECLINE)
                ret->leased = requested;
}

static void read_dhcp(const uint8_t *at, size_t len, NwPacket *ret)
{
        static const uint8_t cookie[4] = { 99, 130, 83, 99 };
        enum { CIADDR = 12, YIADDR = 16, CHADDR = 28 };

        /* a reply comes from the server's port, a request goes there */
        if (len < DHCP_LEN + sizeof(cookie) || (at[0] != 1 && at[0] != 2) || at[1] != 1 || at[2] != 6 ||
            memcmp(at + DHCP_LEN, cookie, sizeof(cookie)) != 0)
                return;
        ret->kind = NW_PACKET_DHCP;
        ret->is_reply = at[0] == 2;
        memcpy(ret->client.bytes, at + CHADDR, 6);
        if (is_some(at + (ret->is_reply ? YIADDR : CIADDR)))
                ret->leased = read_address(at + (ret->is_reply ? YIADDR : CIADDR));
        read_options(at + DHCP_LEN + sizeof(cookie), len - DHCP_LEN - sizeof(cookie), ret);
}

static void read_udp(const uint8_t *at, size_t len, NwPacket *ret)
{
        unsigned from, to;

        if (len < UDP_LEN)
                return;
        from = read16(at);
        to = read16(at + 2);
        if ((from == DHCP_SERVER && to == DHCP_CLIENT) || (from == DHCP_CLIENT && to == DHCP_SERVER)) {
                read_dhcp(at + UDP_LEN, len - UDP_LEN, ret);
                /* the server's port on a request, or the other way round, is neither */
                if (ret->kind == NW_PACKET_DHCP && ret->is_reply != (from == DHCP_SERVER))
                        *ret = (NwPacket){ .from = ret->from };
        }
}

static void read_ip(const uint8_t *at, size_t len, NwPacket *ret)
{
        size_t head, total;

        if (len < 20 || at[0] >> 4 != 4)
                return;
        head = (size_t)(at[0] & 15) * 4;
        total = read16(at + 2);
        if (head < 20 || total < head || total > len)
                return;
        ret->kind = NW_PACKET_IP;
        ret->address = read_address(at + 12);
        if (at[9] == 17 && (read16(at + 6) & 0x3fff) == 0) /* no fragment */
                read_udp(at + head, total - head, ret);
}

static void read_arp(const uint8_t *at, size_t len, NwPacket *ret)
{
        if (len < ARP_LEN || read16(at) != 1 || read16(at + 2) != ETH_P_IP || at[4] != 6 || at[5] != 4 ||
            memcmp(at + 8, ret->from.bytes, 6) != 0)
                return;
        ret->kind = NW_PACKET_IP;
        ret->address = read_address(at + 14);
}

void nw_packet_read(const uint8_t *frame, size_t len, NwPacket *ret)
{
        *ret = (NwPacket){ 0 };
        if (len < ETHER_LEN)
                return;
        memcpy(ret->from.bytes, frame + 6, 6);
        if (read16(frame + 12) == ETH_P_IP)
                read_ip(frame + ETHER_LEN, len - ETHER_LEN, ret);
        else if (read16(frame + 12) == ETH_P_ARP)
                read_arp(frame + ETHER_LEN, len - ETHER_LEN, ret);
}

/* --- the socket --- */

/* The kernel throws away everything else, so that a busy guest costs nothing. */
static int attach(int fd, bool only_dhcp)
{
        struct sock_filter all[] = {
                BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_ARP, 1, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, 0xffff),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        struct sock_filter dhcp[] = {
                BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 9),
                BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 7),
                BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
                BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 5, 0),
                BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
                BPF_STMT(BPF_LD | BPF_H | BPF_IND, 14),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DHCP_SERVER, 1, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DHCP_CLIENT, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, 0xffff),
                BPF_STMT(BPF_RET | BPF_K, 0),
        };
        struct sock_fprog program = { .len = only_dhcp ? ARRAY_LEN(dhcp) : ARRAY_LEN(all),
                                      .filter = only_dhcp ? dhcp : all };

        return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int nw_socket_open(const char *dev, bool only_dhcp, Error *err)
{
        /* no protocol until the filter is there: nothing is heard before */
        AUTO(Fd) fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_ll to = { .sll_family = AF_PACKET,
                                  .sll_protocol = __builtin_bswap16(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(dev) };

        if (to.sll_ifindex == 0)
                return err_set(err, ERR_OPERATION_FAILED, "there is no device '%s' on this host", dev);
        if (fd < 0 || attach(fd, only_dhcp) < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
                return err_errno(err, errno, "cannot listen on '%s' for the guest's address", dev);
        return fd_take(&fd);
}

int nw_socket_narrow(int fd)
{
        return attach(fd, true);
}
