#pragma once
/*
 * host/identity.h - who this machine is: its UUID and what its firmware says
 *
 * Read from /sys and /etc below a root directory, "" for this machine.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

#include <stdbool.h>

/*
 * The UUID of the host: what was configured (NULL: nothing was), else the firmware's - or the machine id, when that is
 * preferred or the firmware has none of use. Fails when the configured text is no UUID, or nothing is found.
 */
int host_find_uuid(const char *root, const char *configured, bool prefer_machine_id, Uuid *ret, Error *err);

/* What the firmware says about BIOS, system, board and chassis, as a <sysinfo type='smbios'>; fails without firmware. */
int host_sysinfo_format(const char *root, Buf *ret, Error *err);
