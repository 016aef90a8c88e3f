#pragma once
/*
 * app/drover/os-variant.h - how much disk a system wants, as the database of libosinfo says
 */
#include "base/err.h"

#include <stdint.h>

#define OS_VARIANTS "/usr/share/osinfo/os"

typedef struct OsDisk {
        uint64_t minimum, recommended; /* bytes; 0: it does not say */
} OsDisk;

/*
 * By the short name that virt-install --osinfo takes too ("debian11"). dir: of the database, a folder of files for each
 * vendor. Blocks while it reads them. An error: no such system, or no database.
 */
int os_variant_disk(const char *dir, const char *name, OsDisk *ret, Error *err);
