#pragma once
/*
 * daemon/network-test.h - networks of the test driver: states in memory, and nothing else
 */
#include "daemon/network.h"

extern const NetworkOps network_test_ops;
/* The one that is there from the start. */
int network_test_load(Driver *driver, Error *err);
