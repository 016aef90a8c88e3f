#pragma once
/*
 * host/nw-packet.h - what a frame says of the address of a guest (NET-37)
 *
 * Frames are bytes from guests: nothing in them is believed but what the caller
 * checks against what it knows.
 */
#include "base/mac.h"
#include "base/net-address.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum NwPacketKind {
        NW_PACKET_OTHER,
        NW_PACKET_IP,   /* or ARP: address is its sender's */
        NW_PACKET_DHCP, /* ... between client and server */
} NwPacketKind;

typedef enum NwDhcpType { /* as option 53 numbers them */
                          NW_DHCP_DECLINE = 4,
                          NW_DHCP_ACK = 5,
                          NW_DHCP_RELEASE = 7,
} NwDhcpType;

typedef struct NwPacket {
        NwPacketKind kind;
        Mac from;           /* of the frame */
        NetAddress address; /* its sender's; a DHCP packet's too */
        /* DHCP */
        bool is_reply;
        unsigned type;     /* NW_DHCP_... and others */
        Mac client;        /* whom it is about */
        NetAddress leased; /* the address that it gives, or gives back; family 0: none */
        uint32_t lease_s;  /* 0: not said */
} NwPacket;

/* A whole Ethernet frame without VLAN tags. */
void nw_packet_read(const uint8_t *frame, size_t len, NwPacket *ret);

/*
 * A socket that hears what goes over a device: DHCP only, or ARP and IPv4 as well. Each frame comes with its direction
 * (struct sockaddr_ll). -1 with err.
 */
typedef struct Error Error;
int nw_socket_open(const char *dev, bool only_dhcp, Error *err);
int nw_socket_narrow(int fd); /* only DHCP from now on; 0 or -1 */
