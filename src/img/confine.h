#pragma once
/*
 * img/confine.h - give up what reading images does not need
 *
 * Called before a byte from a stranger is read. Afterwards the process, and
 * what it starts as threads, cannot execute programs, use the network, trace
 * others or change owners; which files it can still reach is said by the
 * caller. There is no way back.
 */
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct Confinement {
        bool network;                /* sockets may be made and connected */
        bool serving;                /* connections are accepted on sockets that are there */
        bool more_later;             /* this is called again, and gives up more */
        const char *removable;       /* a directory out of which files may be removed; NULL: none */
        bool may_open;               /* files can be opened (else only what is open already is reached) */
        const char *const *writable; /* directories and files below which may be written; ends with NULL */
        uint64_t memory_bytes;       /* address space; 0: no limit */
        unsigned cpu_seconds;        /* 0: no limit */
} Confinement;

int image_confine(const Confinement *how, Error *err);
