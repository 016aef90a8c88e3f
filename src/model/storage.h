#pragma once
/*
 * model/storage.h - the definitions of storage pools and volumes
 *
 * Like a guest's: immutable once shared, in an arena of their own, counted.
 */
#include "model/domain-def.h"

/* The caller gets the one reference. Warnings are added to; NULL: thrown away. */
int pool_def_parse(const char *xml, size_t len, unsigned flags, PoolDef **ret, Warnings *warnings, Error *err);
void pool_def_format(const PoolDef *def, unsigned flags, Buf *ret); /* XML ending with a newline */
PoolDef *pool_def_copy(const PoolDef *def);                         /* mutable until it is shared */
PoolDef *pool_def_ref(const PoolDef *def);
PoolDef *pool_def_unref(PoolDef *def); /* returns NULL */
/* Name of its source for error messages and comparison: device, directory or name; may be NULL. */
const char *pool_def_device(const PoolDef *def);
/* Whether both would hold the same volumes: two pools on one thing are refused. */
bool pool_def_same_source(const PoolDef *a, const PoolDef *b);
/* Its volumes are files in target_path. */
bool pool_type_is_directory(PoolType type);
/* ... and something is mounted there for it. */
bool pool_type_mounts(PoolType type);

/* Where to look for sources: one <source>, from a client. Each of these is a list with an owner like a definition. */
int pool_sources_parse(const char *xml, size_t len, PoolSourcesDef **ret, Error *err);
void pool_sources_format(const PoolSourcesDef *def, Buf *ret);
PoolSourcesDef *pool_sources_new(void);
PoolSourcesDef *pool_sources_unref(PoolSourcesDef *def); /* returns NULL */
/* One more, empty; it stays the list's. */
PoolSourceDef *pool_sources_add(PoolSourcesDef *def);
/* To a source of the list, another device; or, for a server, a host. */
void pool_source_add_device(PoolSourcesDef *def, PoolSourceDef *source, const char *path);
void pool_source_add_host(PoolSourcesDef *def, PoolSourceDef *source, const char *name, unsigned port);

int volume_def_parse(const char *xml, size_t len, unsigned flags, VolumeDef **ret, Warnings *warnings, Error *err);
void volume_def_format(const VolumeDef *def, Buf *ret);
VolumeDef *volume_def_new(void); /* empty, to be filled in */
VolumeDef *volume_def_copy(const VolumeDef *def);
VolumeDef *volume_def_ref(const VolumeDef *def);
VolumeDef *volume_def_unref(VolumeDef *def); /* returns NULL */

DEFINE_AUTO(PoolDef, pool_def_unref)
DEFINE_AUTO(PoolSourcesDef, pool_sources_unref)
DEFINE_AUTO(VolumeDef, volume_def_unref)
