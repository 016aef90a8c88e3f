#pragma once
/*
 * host/neighbour.h - which addresses this machine has seen behind which MAC
 */
#include "base/err.h"
#include "base/mac.h"

/* Call fn for each neighbour that the kernel knows to be there; address is its text, family AF_INET or AF_INET6. */
int neighbours_walk(void (*fn)(void *arg, const Mac *mac, int family, const char *address), void *arg, Error *err);
