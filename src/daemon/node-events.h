#pragma once
/*
 * daemon/node-events.h - telling clients which devices of the host come and go
 */
#include "base/err.h"

typedef struct Driver Driver;
typedef struct NodeEvents NodeEvents;

/* From now on, until nobody listens any more. -1: the kernel cannot be asked to tell. */
int node_events_begin(Driver *driver, Error *err);
NodeEvents *node_events_free(NodeEvents *events); /* returns NULL */
