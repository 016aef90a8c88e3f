#pragma once
/*
 * host/net-bridge.h - bridges that drover makes, their addresses and routes, and what is in their way
 *
 * Requests go to the kernel over netlink and are answered at once.
 */
#include "base/arena.h"
#include "base/err.h"
#include "base/net-address.h"

#include <net/if.h>

/*
 * One that is made for a virtual network; the error says when the name is taken. Never without its address, by which the
 * next daemon knows it.
 */
int net_bridge_create(const char *name, const uint8_t mac[6], Error *err);
/* Spanning tree, and the seconds before a new port forwards: with it on the kernel waits two at least. */
int net_bridge_set(const char *name, bool stp, uint32_t delay_s, Error *err);
/* Ports of the bridge that are isolated do not see each other. */
int net_port_set_isolated(const char *link, bool isolated, Error *err);
/* What is in the bridge: names in the arena. */
int net_bridge_ports(const char *name, Arena *arena, const char ***ret, size_t *ret_n, Error *err);

/* In use at once: nobody else is asked whether he has it. */
int net_link_add_address(const char *link, const NetAddress *address, unsigned prefix, Error *err);
int net_link_add_route(const char *link, const NetAddress *net, unsigned prefix, const NetAddress *gateway,
                       uint32_t metric, Error *err);

/*
 * Does the host reach a part of this network elsewhere? 1: by `link`, over a route that is not through `except`
 * (NULL: none) - one that is directly connected and overlaps, or one through a gateway into this network. 0: no.
 */
int net_find_route_clash(const NetAddress *net, unsigned prefix, const char *except, char link[IFNAMSIZ], Error *err);
/* 1: a default route of IPv6 came by router advertisement, through `link`, and would be lost if the host forwarded. */
int net_find_advertised_route(char link[IFNAMSIZ], Error *err);

/* A switch of the kernel below /proc/sys/net, like 'ipv4/ip_forward'. */
int net_sysctl_get(const char *name, uint64_t *ret, Error *err);
int net_sysctl_set(const char *name, uint64_t value, Error *err);
