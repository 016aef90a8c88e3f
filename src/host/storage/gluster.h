#pragma once
/*
 * host/storage/gluster.h - for tests: where the volume of a pool is, mounted already
 */
#include "host/storage/backend.h"

void gluster_set_dir(const char *dir); /* stays the caller's */
