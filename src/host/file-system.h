#pragma once
/*
 * host/file-system.h - what is known about file systems without touching them
 */
#include "base/buf.h"

#include <stdbool.h>

/*
 * Is the path on a file system that other hosts see too (NFS, CIFS, GFS2, OCFS2, Ceph, GlusterFS, AFS, Lustre)? Read
 * from the mount table, so that a server that hangs holds up nobody. A path under no such mount is local.
 */
bool file_system_is_shared(const char *path);
/* The same with the mount table's text given; for tests. */
bool file_system_is_shared_in(const char *mountinfo, const char *path);

/*
 * Does looking at the file of this path never wait for a disk, a server or another process? From the mount table, too; the
 * path must go through no links. True of the common file systems of local disks, and of devices.
 */
bool file_system_is_prompt(const char *path);
/* The same with the mount table's text given; for tests. */
bool file_system_is_prompt_in(const char *mountinfo, const char *path);

/* Does this host export the path itself (NFS: MIG-20)? From /var/lib/nfs/etab and /etc/exports. */
bool file_system_is_exported(const char *path);
/* The same with the text of such a file given; for tests. */
bool file_system_is_exported_in(const char *exports, const char *path);

/*
 * Puts the directories that this host exports with async, a line for each (STO-32): it tells clients that their data is
 * written when it is not, and guests' images lose it when the host falls.
 */
void file_system_find_async(Buf *ret);
/* The same with the text of such a file given; for tests. */
void file_system_find_async_in(const char *exports, Buf *ret);
