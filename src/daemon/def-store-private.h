#pragma once
/*
 * daemon/def-store-private.h - what the files of the definition store share
 */
#include "daemon/def-store.h"

enum { LARGEST_DEFINITION = 10 * 1024 * 1024 };

struct DefStore {
        FileQueue *files;
        char *dir, *autostart_dir;
};

/* The caller's. */
char *def_store_file_of(const char *dir, const char *name);
