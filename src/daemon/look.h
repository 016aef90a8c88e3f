#pragma once
/*
 * daemon/look.h - calls that are answered with what a worker reads from the kernel
 *
 * A host with thousands of guests has as many taps and disks, each a few files
 * under /sys: reading them all is nothing for the loop.
 */
#include "daemon/call.h"

/*
 * read(state) runs on a worker: it sees state only. answer(call, state) then answers on the loop, or fails. state is
 * taken; done (which may be NULL) ends what it holds.
 */
int look_and(Call *call, void *state, void (*read)(void *state), int (*answer)(Call *call, void *state, Error *err),
             void (*done)(void *state));
