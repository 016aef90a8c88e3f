#pragma once
/*
 * daemon/def-store.h - definitions of one kind under the configuration directory
 *
 * DIR/NAME.xml holds a definition, DIR/autostart/NAME.xml is a link to it when
 * it starts with the host. They are the truth: what an administrator writes
 * there by hand counts at the next start of droverd.
 */
#include "daemon/file-task.h"

typedef struct DefStore DefStore;

typedef void StoreDone(void *arg, const Error *failure);

/* Definitions in dir, changed through the queue, which stays the caller's and outlives the store. */
DefStore *def_store_new(FileQueue *files, const char *dir);
DefStore *def_store_free(DefStore *store); /* returns NULL */

/*
 * At the start; blocks. load(arg, name, xml, autostart) is called for each definition that is there, by name. A file
 * that cannot be read, or that load() refuses, is named in the log and left alone; load() compares the name with the one
 * inside by def_store_check_file().
 */
int def_store_load(DefStore *store,
                   int (*load)(void *arg, const char *name, const char *xml, bool autostart, Error *err), void *arg,
                   Error *err);
/* 0 when a file of that name may define an object of that name. */
int def_store_check_file(const char *file_name, const char *defined_name, Error *err);
/* A name is also a file's name: nothing in it may lead elsewhere. kind is what the object is, for the error. */
int def_store_check_name(const char *kind, const char *name, Error *err);

/* Each is durable when done() comes. The text is taken. */
void def_store_save(DefStore *store, const char *name, Buf *xml, StoreDone *done, void *arg);
/* Its mark, then `others` (ends with NULL; may be NULL), and the definition last: until then all can be tried again. */
void def_store_remove(DefStore *store, const char *name, const char *const *others, StoreDone *done, void *arg);
void def_store_autostart(DefStore *store, const char *name, bool autostart, StoreDone *done, void *arg);
/* The new file first, then its mark, then the old ones go. When it fails, the old name is as it was. */
void def_store_rename(DefStore *store, const char *old_name, const char *name, Buf *xml, bool autostart,
                      StoreDone *done, void *arg);
/* Whether two definitions are of one object. */
typedef bool DefSame(const char *xml, const char *other);
/* Before the load; blocks. Finish the renamings in the middle of which a daemon was killed. */
void def_store_settle_renames(DefStore *store, DefSame *same);

DEFINE_AUTO(DefStore, def_store_free)
