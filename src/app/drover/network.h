#pragma once
/*
 * app/drover/network.h - what the commands for networks share
 */
#include "app/drover/common.h"

#define ARG_NETWORK "NETWORK  network: name or UUID\n"
#define ARGS_XML                                                                                                     \
        "[--xpath=EXPR]  only what this XPath expression finds\n"                                                    \
        "[--wrap]        in one root element"

/* The network that the argument names. */
int find_network(Session *s, const Args *args, WireNetwork *ret, Error *err);
