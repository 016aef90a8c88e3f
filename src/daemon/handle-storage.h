#pragma once
/*
 * daemon/handle-storage.h - what the handlers of pools and volumes share
 */
#include "daemon/call.h"
#include "daemon/pool.h"

/* Borrowed; NULL with the error set. */
Pool *call_find_pool(Call *call, const WireStoragePool *wire, Error *err);
WireStoragePool wire_pool(const Pool *pool);
int call_reply_pool(Call *call, const Pool *pool); /* returns 0 */
/* An active pool's volume; both borrowed. */
int call_find_volume(Call *call, const WireStorageVol *wire, Pool **pool, Volume **ret, Error *err);
/* Nobody else may change the volume of this name until it is released. */
int volume_claim(Pool *pool, const char *name, Error *err);
void volume_release(Pool *pool, const char *name);
bool volume_is_changing(const Pool *pool, const char *name);               /* who has claimed it is at work */
int call_reply_volume(Call *call, const Pool *pool, const VolumeDef *def); /* returns 0 */

typedef enum VolumeUse {
        USE_ANY,
        USE_ALONE, /* a guest that shares the disk expects others to write to it */
} VolumeUse;

/* No running guest has it as a disk, or stands on it: it would lose what it stands on (STO-25). act: "deleted". */
int volume_check_unused(const Pool *pool, const VolumeDef *def, VolumeUse use, const char *act, Error *err);
