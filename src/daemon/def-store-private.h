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
/* The names of all files that may hold a definition, in order. The directories are made where they are missing. */
int def_store_list(const DefStore *store, char ***ret, Error *err);
/* Name the file of this definition, and why it is none, in the log. */
void def_store_leave_out(const DefStore *store, const char *name, const Error *why);
