#pragma once
/*
 * host/storage/logical.h - what lvs says, as volumes
 */
#include "host/storage/backend.h"

/* One volume, with its tags (split by commas). It goes after the call. */
typedef void LogicalFound(void *arg, VolumeDef *def, const char *tags);

/*
 * The table of VOLUME_FIELDS in logical.c: a line for each segment, those of one volume one after another. It is cut up
 * in place. Rows that make no sense, hidden volumes and pools of thin volumes are left out.
 */
void logical_parse_volumes(const PoolDef *pool, char *text, LogicalFound *found, void *arg);
