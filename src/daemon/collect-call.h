#pragma once
/*
 * daemon/collect-call.h - figures for a call
 */
#include "daemon/call.h"
#include "daemon/collect.h"

/* A collection that lives as long as the call: call_kept(). */
Collection *collect_new_for_call(Call *call, unsigned what);
/* Collect for one running guest, and answer in done(call). As a handler. */
int collect_for_call(Call *call, const WireDomain *wire, unsigned what, void (*done)(void *call), Error *err);
