#pragma once
/*
 * host/storage/known.h - files of a directory that are as they were told last
 *
 * A refresh of a large pool looks at those only that changed. A file is the same
 * while inode, size, room and the time of its last change are; one that changed
 * just before it was looked at may change again within the same tick of the
 * clock, and is looked at again. Where times come from a server and may be late,
 * everything is.
 */
#include "base/auto.h"

#include <stdbool.h>
#include <sys/stat.h>

typedef struct StorageKnown StorageKnown;

StorageKnown *storage_known_new(void);
StorageKnown *storage_known_free(StorageKnown *known); /* returns NULL */
/* Begin to go through the directory; false: its times cannot be relied on, and nothing is known. */
bool storage_known_begin(StorageKnown *known, const char *dir);
/* Whether the file is as it was. */
bool storage_known_same(StorageKnown *known, const char *name, const struct stat *st);
/* It was as `st` says before it was looked at, and has been told. */
void storage_known_note(StorageKnown *known, const char *name, const struct stat *st);
void storage_known_end(StorageKnown *known); /* files that were not seen since the beginning are gone */

DEFINE_AUTO(StorageKnown, storage_known_free)
