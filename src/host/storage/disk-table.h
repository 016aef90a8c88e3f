#pragma once
/*
 * host/storage/disk-table.h - what parted says about a disk
 */
#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct DiskPart {
        unsigned number;     /* 0: a free part */
        uint64_t start, end; /* bytes; end is behind the last */
        bool extended;       /* it holds the logical ones */
} DiskPart;

typedef struct DiskTable {
        char label[16]; /* as parted calls it */
        uint64_t size;
        uint32_t sector;
        VEC(DiskPart) parts, room; /* room: what is free */
} DiskTable;

/* `parted -ms DEVICE unit B print free`; text is cut up in place. ret is written on success only. */
int disk_table_parse(char *text, DiskTable *ret, Error *err);
void disk_table_done(DiskTable *table);
/* Where a partition of so many bytes could be, and the number it would get; -1 with the error: nowhere. */
int disk_table_find_room(const DiskTable *table, uint64_t bytes, bool extended, DiskPart *ret, bool *is_logical,
                         Error *err);

DEFINE_AUTO_VALUE(DiskTable, disk_table_done)
