/*
 * model/warnings.c - what a definition holds that no row knows
 */
#include "model/warnings.h"

#include "base/str.h"

#include <stdarg.h>

enum { WARNINGS_MAX = 100 };

bool warnings_are_full(const Warnings *warnings)
{
        return !warnings || warnings->list.len >= WARNINGS_MAX;
}

void warnings_add(Warnings *warnings, const char *fmt, ...)
{
        va_list ap;

        if (!warnings)
                return;
        if (warnings_are_full(warnings)) {
                warnings->dropped++;
                return;
        }
        va_start(ap, fmt);
        vec_push(&warnings->list, str_vformat(fmt, ap));
        va_end(ap);
}

void warnings_done(Warnings *warnings)
{
        for (size_t i = 0; i < warnings->list.len; i++)
                free(warnings->list.items[i]);
        vec_done(&warnings->list);
        warnings->dropped = 0;
}
