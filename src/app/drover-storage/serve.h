#pragma once
/*
 * app/drover-storage/serve.h - keep an eye on a running pool
 */
#include "host/storage/backend.h"

/* Until standard input ends. starts: start the pool first; else it must be started. */
int serve(const PoolDef *pool, const StorageBackend *backend, bool starts, Error *err);
