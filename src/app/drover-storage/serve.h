#pragma once
/*
 * app/drover-storage/serve.h - keep an eye on a running pool
 */
#include "host/storage/backend.h"

/*
 * Until standard input ends. starts: start the pool first; else it must be started. busy: what looks like left behind by a
 * crash may be a volume that is being made, and stays.
 */
int serve(const PoolDef *pool, const StorageBackend *backend, bool starts, bool busy, Error *err);
