#pragma once
/*
 * app/drover/storage.h - what the commands of pools and volumes share
 */
#include "app/drover/common.h"
#include "base/buf.h"

#define ARG_POOL   "POOL  storage pool: name or UUID\n"
#define POOL_KINDS "dir,fs,netfs,logical,disk,iscsi,iscsi-direct,scsi,mpath,rbd,gluster,zfs,vstorage"
#define ARGS_BUILD                                                                                                   \
        "[--build]         build it first\n"                                                                         \
        "[--overwrite]     build over what is there\n"                                                               \
        "[--no-overwrite]  build only where nothing is\n"

/* The pool that the option names, by UUID or name. */
int find_pool(Session *s, const char *text, WireStoragePool *ret, Error *err);
int find_pool_arg(Session *s, const Args *args, WireStoragePool *ret, Error *err);
/* The volume of a command's VOL, in the pool of its --pool by name, else by key or path. */
int find_volume(Session *s, const Args *args, const char *option, const char *pool_option, WireStorageVol *ret,
                Error *err);
/* "11.77 GiB"; in the arena. */
const char *size_text(Session *s, uint64_t bytes);
const char *volume_type_text(int type);
/* <name>text</name> with an indent, when there is text. */
void put_element(Buf *xml, unsigned depth, const char *name, const char *text);
/* <name attribute='value'/> with an indent, when there is a value. */
void put_attribute(Buf *xml, unsigned depth, const char *name, const char *attribute, const char *value);
/* One that confirms with a sentence: call the procedure on the pool. */
int pool_act(Session *s, const Args *args, uint32_t proc, uint32_t flags, const char *done, const char *failed,
             Error *err);

/* --- cmd-pool.c: of pools that are defined or started --- */

int pool_create_flags(const Args *args, uint32_t *ret, Error *err);
int pool_define_text(Session *s, const char *xml, uint32_t flags, WireStoragePool *ret, Error *err);
int pool_create_text(Session *s, const char *xml, uint32_t flags, WireStoragePool *ret, Error *err);
