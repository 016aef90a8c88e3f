#pragma once
/*
 * daemon/def-load.h - reading the definitions that there may be thousands of
 *
 * Before clients are let in, each definition is known: by its file, or by the index when its file is what it was when the
 * index was written. Those that were not read are read by workers while clients are served already; whoever needs a
 * definition waits until all are there.
 */
#include "base/uuid.h"
#include "daemon/def-store.h"

typedef struct DefLoad DefLoad;

typedef struct DefReader {
        /*
         * On any thread, several at once; NULL with err on failure. *ret_uuid is the one that the text holds, null when it
         * holds none. The result defines an object of the file's name, or is refused here.
         */
        void *(*parse)(void *arg, const char *name, const char *xml, Uuid *ret_uuid, Error *err);
        void (*drop)(void *def); /* on any thread */

        /* The others on the loop's thread. The object of a file that was read; takes def, also when it fails. */
        int (*add)(void *arg, const char *name, void *def, bool autostart, Error *err);
        /* The object of one that was not; its definition follows by define(). */
        int (*announce)(void *arg, const char *name, const Uuid *uuid, bool autostart, Error *err);
        void (*define)(void *arg, const Uuid *uuid, void *def); /* takes def */
        /* The file changed meanwhile and does not define that object any more. */
        void (*withdraw)(void *arg, const Uuid *uuid);
        /* Its definition is needed before clients are let in. */
        bool (*is_urgent)(void *arg, const char *name);

        int64_t (*wall_ns)(void); /* what file systems take their times from; NULL: the host's clock */
} DefReader;

/*
 * At the start; blocks. Each definition is added or announced, by name. A file that cannot be read or is no definition is
 * named in the log and left alone. index_path: where the index is; facts: one line of everything beside the files that
 * decides what parse() says. NULL with err on failure. store and reader outlive the load.
 */
DefLoad *def_load_new(DefStore *store, const DefReader *reader, void *arg, const char *index_path, const char *facts,
                      Error *err);
/* Clients are let in: bring the index up to date, then read the rest. done() comes on a later turn. */
void def_load_go_on(DefLoad *load, WorkerPool *pool, Loop *loop, void (*done)(void *arg), void *arg);
/* All definitions are there, and nobody waits for them any more: whoever comes now passes no one. */
bool def_load_is_complete(const DefLoad *load);
/*
 * Before that: fn(arg) when they are there, a few each turn, in the order asked for; done() comes after the last. hurry: a
 * client waits, so they are read at once and with more than one processor.
 */
void def_load_wait(DefLoad *load, bool hurry, void (*fn)(void *arg), void *arg);
/* The daemon ends: nothing more is begun. */
void def_load_stop(DefLoad *load);
/* With no worker at it. Those that still wait get their turn; they see that the daemon ends. Returns NULL. */
DefLoad *def_load_free(DefLoad *load);

DEFINE_AUTO(DefLoad, def_load_free)
