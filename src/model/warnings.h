#pragma once
/*
 * model/warnings.h - what a definition holds that no row knows
 *
 * Nothing is dropped in silence: each entry is a sentence with line and path,
 * kept with the object and shown to whoever defines it. The list is capped, so
 * that a hostile definition cannot fill memory with its warnings.
 */
#include "base/auto.h"
#include "base/vec.h"

#include <stdbool.h>

typedef struct Warnings {
        VEC(char *) list;
        size_t dropped; /* came after the list was full */
} Warnings;

/* Whether another one would only be counted: then its sentence need not be made. NULL: nobody wants any. */
bool warnings_are_full(const Warnings *warnings);
void warnings_add(Warnings *warnings, const char *fmt, ...) PRINTF(2, 3); /* NULL: nobody wants to know */
void warnings_done(Warnings *warnings);

DEFINE_AUTO_VALUE(Warnings, warnings_done)
