#pragma once
/*
 * host/node-read.h - small files of /proc and /sys below a root directory
 */
#include "base/bitmap.h"
#include "base/buf.h"

int node_read(const char *root, const char *path, Buf *ret, Error *err); /* at most 4 MiB */
int node_read_number(const char *root, const char *path, uint64_t *ret, Error *err);
int node_read_list(const char *root, const char *path, Bitmap *ret, Error *err);
int node_write_number(const char *root, const char *path, uint64_t value, Error *err);
