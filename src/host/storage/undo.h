#pragma once
/*
 * host/storage/undo.h - what an upload overwrites, until all of it came
 *
 * Before a part of a file is written, what stands there is put into
 * `.drover-undo-NAME` beside it, and is on the disk: an upload that fails, is
 * given up or dies at any point is undone from there, now or when the pool is
 * started or taken up. Holes cost nothing, so a new volume is uploaded to as fast
 * as without. Blocking, and for drover-storage only.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Undo Undo;

bool undo_is_file(const char *name); /* what undo_begin() makes */
/* Of the file at path, open as fd, which stays the caller's, to be written from this offset on. */
Undo *undo_begin(const char *path, int fd, uint64_t from, Error *err);
/* Before everything up to `until` is written. What has no room is an error, and the file is as it was so far. */
int undo_keep(Undo *undo, uint64_t until, Error *err);
/* The file is whole and on the disk: there is no way back. */
int undo_forget(Undo *undo, Error *err);
/* What was kept stays, for undo_give_back(). Returns NULL. */
Undo *undo_free(Undo *undo);

/* The file becomes what it was. Nothing kept is fine. Waits for an upload that is just dying. */
int undo_give_back(const char *path, Error *err);
/* The same for all files of a directory, and what is kept of files that are gone goes. */
int undo_all(const char *dir, Error *err);
/* What was kept, from the beginning of `kept`, into the file. What was cut off by a crash was not overwritten yet. */
int undo_apply(int kept, int file, const char *name, Error *err);

DEFINE_AUTO(Undo, undo_free)
