#pragma once
/*
 * host/net-check.h - what on this machine keeps virtual networks from working
 *
 * Facts that are not drover's to change, each with what to do about it. Only
 * /proc, /sys and the places of programs are read, below a root directory (""
 * for this machine). Findings are in their arena.
 */
#include "base/arena.h"
#include "base/vec.h"
#include "host/nft-chains.h"
#include "model/network.h"

typedef enum NetVerdict {
        NET_FINE,
        NET_DOUBTFUL, /* it may be meant so */
        NET_BROKEN,
} NetVerdict;

typedef struct NetFinding {
        NetVerdict verdict;
        const char *about; /* a word or two; static */
        const char *text;  /* no full stop */
} NetFinding;

typedef struct NetFindings {
        Arena *arena; /* the caller's */
        VEC(NetFinding) list;
} NetFindings;

void net_findings_add(NetFindings *to, NetVerdict verdict, const char *about, const char *fmt, ...) PRINTF(4, 5);
void net_findings_done(NetFindings *findings);
DEFINE_AUTO_VALUE(NetFindings, net_findings_done)

/* What every network needs: programs, the kernel's switches, taps. */
void net_check_host(const char *root, NetFindings *ret);
/* Do bridged frames pass the packet filter of IP (NET-26)? Is a wireless card in a bridge (NET-35)? */
void net_check_bridges(const char *root, NetFindings *ret);
/*
 * A network that is active: is forwarding still on (NET-08), is a real card in its own bridge (NET-33), are its guests
 * bridged to a wireless card (NET-35)?
 */
void net_check_network(const char *root, const NetworkDef *def, NetFindings *ret);
/* Chains of others that may drop what networks let through. */
void net_check_chains(const NftChain *chains, size_t n, NetFindings *ret);
