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
Progress *progress_end(Progress *progress, bool success); /* returns NULL */
