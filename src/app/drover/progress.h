#pragma once
/*
 * app/drover/progress.h - look after a job while a call waits for it
 *
 * As virsh does: --verbose shows "Migration: [ 57 %]" on standard error, at most twice a second, and ^C ends the job, so
 * that the guest runs on as before; the call then tells that it was ended.
 */
#include "app/drover/common.h"

typedef struct Progress Progress;

/* A job of a guest; label NULL: say nothing. */
Progress *progress_start(Session *s, const WireDomain *dom, const char *label);
/* The copy that is to be the volume of this name in this pool, both the caller's; nobody can end it. label NULL: NULL. */
Progress *progress_start_copy(Session *s, const char *pool, const char *name, const char *label);
Progress *progress_end(Progress *progress, bool success); /* returns NULL */
