#pragma once
/*
 * daemon/tune-reply.h - the answer that getters of typed parameters share
 */
#include "daemon/call.h"
#include "daemon/params.h"

/* As many as there is room for, and how many there are. For procedures whose reply is params and nparams. */
int tune_reply(Call *call, const Params *params, int room, Error *err);
