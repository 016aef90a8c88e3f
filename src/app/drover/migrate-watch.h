#pragma once
/*
 * app/drover/migrate-watch.h - look after a migration while its call waits
 *
 * Polls the job, draws it, suspends the guest or starts post-copy when it takes
 * too long, and aborts it at ^C. All of that are calls of their own on the
 * connection to the source; none of them makes the migration's own call wait.
 */
#include "app/drover/common.h"

typedef enum WatchAction {
        WATCH_NOTHING,
        WATCH_SUSPEND,
        WATCH_POSTCOPY,
} WatchAction;

typedef struct WatchOptions {
        bool verbose;        /* "Migration: [ 57 %]" also where there is no terminal */
        uint64_t timeout_ms; /* 0: none */
        WatchAction at_timeout;
        bool postcopy_after_first; /* go over to post-copy when memory has been sent once */
        uint64_t max_pause_ms;     /* 0: none; else the guest stands still no longer, and the migration does end */
        bool may_postcopy;
} WatchOptions;

typedef struct MigrateWatch MigrateWatch;

MigrateWatch *migrate_watch_new(Session *s, const WireDomain *dom, const WatchOptions *options, Error *err);
/* Draws the end of a successful one; returns NULL. */
MigrateWatch *migrate_watch_free(MigrateWatch *watch, bool success);

/* The line that the bar is drawn as, for a terminal this wide. */
typedef struct MigrateFigures {
        uint64_t total, processed, remaining; /* bytes */
        uint64_t bytes_per_s, dirty_bytes_per_s;
        uint64_t pause_ms; /* expected, or measured once it is known */
        uint64_t iteration;
} MigrateFigures;
void migrate_bar_format(const MigrateFigures *figures, unsigned columns, Buf *to);
