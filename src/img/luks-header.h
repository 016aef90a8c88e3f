#pragma once
/*
 * img/luks-header.h - the header's bytes, for the files of luks
 */
#include "img/luks.h"

enum { LUKS_HEADER_SIZE = 592, LUKS_SLOT_SIZE = 48 };

void luks_header_format(const LuksHeader *header, uint8_t ret[LUKS_HEADER_SIZE]);
void luks_slot_format(const LuksSlot *slot, uint8_t ret[LUKS_SLOT_SIZE]);
/* Where the slot's description stands, from the header's start. */
uint64_t luks_slot_at(unsigned slot);
/* Bytes of a split key, in whole sectors. */
size_t luks_material_size(const LuksHeader *header);
