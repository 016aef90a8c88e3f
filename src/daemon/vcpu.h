#pragma once
/*
 * daemon/vcpu.h - the virtual CPUs of a definition
 */
#include "base/bitmap.h"
#include "model/domain.h"

unsigned vcpus_plugged(const DomainDef *def);
bool vcpu_is_plugged(const DomainDef *def, unsigned id);

/* The one with this number, where they are listed; NULL: it is not. */
VcpuDef *vcpu_find(const DomainDef *def, unsigned id);
/* List all of them one by one, in their order; until then they may be counted only. The first is never unplugged. */
void vcpus_list(DomainDef *def);
/* Of a listed one. */
void vcpu_set_plugged(DomainDef *def, unsigned id, bool plugged);

/* Host CPUs on which a virtual CPU (emulator threads, an I/O thread) may run: as pinned, else those of the guest, else
 * all; host: all there are. */
void vcpu_pin(const DomainDef *def, unsigned id, const Bitmap *host, Bitmap *ret);
void emulator_pin(const DomainDef *def, const Bitmap *host, Bitmap *ret);
void iothread_pin(const DomainDef *def, unsigned id, const Bitmap *host, Bitmap *ret);

bool iothread_exists(const DomainDef *def, unsigned id);
/* Numbers of the I/O threads, ascending, in the arena. */
unsigned *iothread_ids(const DomainDef *def, Arena *arena, unsigned *ret_n);
