#pragma once
/*
 * img/nbd.h - an ImageFile that an NBD server holds
 *
 * libnbd is loaded when the first one is opened: nothing that works on files
 * pays for it at start. image_file_open() comes here by itself for names of
 * the kinds nbd:host:port, nbd:unix:path, nbd://, nbds://, nbd+unix:// and
 * nbds+unix://.
 */
#include "img/file.h"

bool nbd_is_name(const char *name);
/* Connects, which may wait for the server. flags: FILE_WRITE. */
ImageFile *nbd_file_open(const char *name, unsigned flags, Error *err);
/* A URI of its parts, each of them escaped. host NULL: a unix socket at path. export NULL: "". Owned. */
char *nbd_uri(const char *host, const char *port, const char *path, const char *export_name);
