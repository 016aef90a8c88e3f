#pragma once
/*
 * app/drover/progress.h - say how far a job is while a call waits for it
 *
 * As virsh's --verbose: "Migration: [ 57 %]" on standard error, at most twice a second.
 */
#include "app/drover/common.h"

typedef struct Progress Progress;

/* label NULL: say nothing, and NULL comes back. */
Progress *progress_start(Session *s, const WireDomain *dom, const char *label);
/* Of the copy that is to be the volume of this name in this pool; both are the caller's. */
Progress *progress_start_copy(Session *s, const char *pool, const char *name, const char *label);
Progress *progress_end(Progress *progress, bool success); /* returns NULL */
