#pragma once
/*
 * daemon/registry.h - objects of one kind, by name and UUID
 *
 * What guests, pools and networks are kept in. The registry knows names and
 * UUIDs, not what the objects are: who adds one keeps it alive while it is in.
 */
#include "base/auto.h"
#include "base/uuid.h"

typedef struct Registry Registry;

Registry *registry_new(void);
Registry *registry_free(Registry *registry); /* the objects stay; returns NULL */

/* Name and UUID are copied; the caller checked that both are free. */
void registry_add(Registry *registry, const char *name, const Uuid *uuid, void *object);
/* The object is in no longer. One that is not in is fine. */
void registry_remove(Registry *registry, const Uuid *uuid);
/* Under another name from now on; it is in, and the name is free. */
void registry_rename(Registry *registry, const Uuid *uuid, const char *name);

/* NULL: there is none. */
void *registry_find_name(const Registry *registry, const char *name);
void *registry_find_uuid(const Registry *registry, const Uuid *uuid);

size_t registry_len(const Registry *registry);
void *registry_at(const Registry *registry, size_t i); /* in no order worth relying on */

DEFINE_AUTO(Registry, registry_free)
