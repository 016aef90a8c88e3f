#pragma once
/*
 * daemon/node-events.h - telling clients which devices of the host come and go
 */
#include "base/arena.h"
#include "base/err.h"
#include "host/node-device.h"

typedef struct Driver Driver;
typedef struct NodeEvents NodeEvents;

/*
 * Whoever is the first to listen asks the kernel to tell, reads all devices on a worker, and gives them in: differences
 * from these are told from then on, until nobody listens any more. -1: the kernel cannot be asked.
 */
int node_events_begin(Driver *driver, Error *err);
/* Nobody has given them in yet. */
bool node_events_want_devices(const Driver *driver);
/* Takes the arena, which holds them. Nothing happens when somebody else was faster. */
void node_events_give_devices(Driver *driver, Arena *arena, const NodeDevices *devices);
NodeEvents *node_events_free(NodeEvents *events); /* returns NULL */
