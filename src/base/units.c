/*
 * base/units.c - sizes with a unit
 */
#include "base/units.h"

#include "base/str.h"

#include <strings.h>

/* The factor of a unit, or 0 for none. A bare letter and XiB count in 1024, XB in 1000. */
static uint64_t factor_of(const char *unit)
{
        static const char letters[] = "KMGTPE";
        uint64_t base, factor = 1;
        size_t power = 0;

        if (strcasecmp(unit, "b") == 0 || strcasecmp(unit, "byte") == 0 || strcasecmp(unit, "bytes") == 0)
                return 1;
        while (letters[power] && strncasecmp(unit, &letters[power], 1) != 0)
                power++;
        if (!letters[power])
                return 0;
        if (!unit[1] || strcasecmp(unit + 1, "iB") == 0)
                base = 1024;
        else if (strcasecmp(unit + 1, "B") == 0)
                base = 1000;
        else
                return 0;
        for (size_t i = 0; i <= power; i++)
                factor *= base;
        return factor;
}

int units_to_bytes(uint64_t value, const char *unit, uint64_t default_factor, uint64_t limit, uint64_t *ret,
                   Error *err)
{
        uint64_t factor = unit && *unit ? factor_of(unit) : default_factor;

        if (!factor)
                return err_set(err, ERR_INVALID_ARG, "unknown suffix '%s'", unit);
        if (value > limit / factor)
                return err_set(err, ERR_OVERFLOW, "value too large: %llu%s", (unsigned long long)value,
                               unit ? unit : "");
        *ret = value * factor;
        return 0;
}

uint64_t units_bytes_to_kib(uint64_t bytes)
{
        return bytes / 1024 + (bytes % 1024 ? 1 : 0);
}
