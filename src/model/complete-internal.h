#pragma once
/*
 * model/complete-internal.h - shared by the files of completion only
 *
 * Each step is a function on a definition that is not shared yet, and does
 * nothing to what is complete already.
 */
#include "model/complete.h"

typedef enum MachineKind {
        MACHINE_OTHER = 0, /* no PCI that we place things on */
        MACHINE_I440FX,
        MACHINE_Q35,
} MachineKind;

MachineKind machine_kind(const DomainDef *def);

/* A new device with its defaults at the end of its list. */
void *add_default_device(DomainDef *def, DeviceKind kind);
ControllerDef *find_controller(const DomainDef *def, ControllerType type, unsigned index); /* NULL: none */
ControllerDef *need_controller(DomainDef *def, ControllerType type, unsigned index);       /* adds it */
DeviceAddress *new_address(DomainDef *def, DeviceInfo *info, AddressType type);

int complete_clock(DomainDef *def, Error *err);
int complete_sysinfo(DomainDef *def, Error *err);
int complete_disks(DomainDef *def, Error *err);
int complete_devices(DomainDef *def, const CompletionFacts *facts, Error *err);
int check_number(const DomainDef *def, Error *err); /* of its devices */
int check_unique(DomainDef *def, Error *err);       /* aliases and the like, given by users */
void complete_chardevs(DomainDef *def);
void complete_controllers(DomainDef *def);
int place_on_buses(DomainDef *def, const CompletionFacts *facts, Error *err); /* drive, virtio-serial, USB, CCID */
int place_on_pci(DomainDef *def, const CompletionFacts *facts, Error *err);
