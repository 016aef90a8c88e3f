#pragma once
/*
 * model/complete.h - from what was written to what will run
 *
 * Fills in what a definition leaves open and refuses what cannot be: identity,
 * buses, controllers, addresses, default devices, clock rules. Pure: all it
 * knows about host and QEMU are the facts it is given. Completing twice changes
 * nothing, and what has an address keeps it.
 */
#include "model/device.h"

typedef struct CompletionFacts {
        const char *arch;        /* NULL: x86_64 */
        const char *machine;     /* canonical name for the definition's machine or alias; NULL: as written */
        const char *emulator;    /* NULL: as written */
        uint32_t memory_min_kib; /* smaller guests are raised to this (DOM-03) */
        uint8_t mac_prefix[3];   /* all zero: 52:54:00 (CON-24) */
        bool running;            /* the definition is a running guest's: no new controllers, no new root ports */
} CompletionFacts;

/* def must not be shared yet. */
int domain_def_complete(DomainDef *def, const CompletionFacts *facts, Error *err);
/* After a device was added to a complete definition: its defaults, bus and address, by the same rules. */
int domain_def_place_device(DomainDef *def, const CompletionFacts *facts, Error *err);
/* Names for every device that has none: virtio-disk0, net0, ... as a running guest shows them. */
void domain_def_assign_aliases(DomainDef *def);
/* The name that a target device implies a bus by: vda -> virtio (DOM-18). UNSET: none. */
DiskBus disk_bus_of_target(const char *target);
/* Number of a target: vda 0, sdb 1, vdaa 26; -1: it has none. */
int disk_target_index(const char *target);
