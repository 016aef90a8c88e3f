#pragma once
/*
 * host/capabilities.h - the <host> part of the capabilities document
 *
 * What any driver says about the machine it is on: UUID, processor, sleep
 * states, topology. What guests can be run on it is the driver's to add.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

typedef struct HostCapabilities {
        Uuid uuid;
        const char *cpu_model;             /* name of the model that guests get with host-model; NULL: unknown */
        const char *const *migration_uris; /* "tcp", ... ends with NULL; NULL: guests cannot migrate */
        const char *secmodel, *secdoi;     /* NULL: none */
} HostCapabilities;

/* Appends <host>...</host>, indented by two blanks. root: "" for this machine. */
int host_capabilities_format(const char *root, const HostCapabilities *known, Buf *ret, Error *err);
