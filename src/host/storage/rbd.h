#pragma once
/*
 * host/storage/rbd.h - what the tools of Ceph say
 */
#include "host/storage/backend.h"

/* `rbd ls --long --format json` and `ceph df --format json`. What makes no sense is left out; what is no JSON fails. */
int rbd_parse_images(const char *pool_name, const char *text, size_t n, StorageFound *found, void *arg, Error *err);
int rbd_parse_figures(const char *pool_name, const char *text, size_t n, StorageFigures *ret, Error *err);
