#pragma once
/*
 * app/drover/network.h - what the commands for networks share
 */
#include "app/drover/common.h"

#define ARG_NETWORK "NETWORK  network: name or UUID\n"
#define ARGS_AFFECT_NETWORK                                                                                          \
        "[--config]   affect the definition, in force from the next start\n"                                         \
        "[--live]     affect the active network\n"                                                                   \
        "[--current]  affect the network as it is: active or not\n"
#define ARGS_XML                                                                                                     \
        "[--xpath=EXPR]  only what this XPath expression finds\n"                                                    \
        "[--wrap]        in one root element"

/* The network that the argument names. */
int find_network(Session *s, const Args *args, WireNetwork *ret, Error *err);
/* Its title or description (VIR_NETWORK_METADATA_*); "" when it has none, NULL with err. */
const char *network_words(Session *s, const WireNetwork *net, int type, uint32_t flags, Error *err);
