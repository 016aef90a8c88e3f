#pragma once
/*
 * base/file.h - whole files: bounded reads, durable writes
 *
 * These block; the loop thread uses them at start-up only, on drover's own
 * directories. Later writes go through a worker.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"

#include <sys/stat.h>
#include <sys/types.h>

/* Read a whole file of at most limit bytes; a larger one is an error, not cut. */
int file_read(const char *path, size_t limit, Buf *ret, Error *err);
/*
 * The same of a regular file, or a link to one; anything else is an error, and a FIFO nobody writes to is not waited for.
 * ret_stat (may be NULL): what the file was just before it was read.
 */
int file_read_regular(const char *path, size_t limit, Buf *ret, struct stat *ret_stat, Error *err);
/*
 * Replace path by a file with these bytes: written beside it, synced, renamed over it, the directory
 * synced. After a crash the old or the new content is there, never a mixture. An error says that the old one is there, and
 * nothing beside it; so does one of the two below. A directory that cannot be synced is a warning in the log.
 */
int file_write_durable(const char *path, const void *data, size_t n, mode_t mode, Error *err);
/* The same without the two syncs, for what the next boot throws away. */
int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode, Error *err);
/* A symbolic link to target, durably, in place of what was at path. */
int file_link_durable(const char *path, const char *target, Error *err);
/* Remove durably; a file that is not there is fine. */
int file_remove_durable(const char *path, Error *err);
/* Make durable what was renamed to path, or removed there. */
int file_sync_directory(const char *path, Error *err);
/* What stands before "/NAME" in the path of a file in this directory: the directory, but nothing for the root. */
static inline const char *dir_stem(const char *dir)
{
        return dir[0] == '/' && !dir[1] ? "" : dir;
}
/* mkdir -p; directories made get this mode. */
int dir_make(const char *path, mode_t mode, Error *err);
/* With the files in it, not with directories; one that is not there is fine. */
int dir_remove(const char *path, Error *err);
/* Names in a directory that end so, without the ending and with any value. One that cannot be read has none. The caller's. */
Map *dir_names(const char *path, const char *ending);
