/*
 * tests/fuzz/fuzz-event-filter.c - a client's regular expression from any bytes
 *
 * What is taken must compile and compare in no time, in no memory to speak of: the fuzzer's own limits say when not.
 */
#include "base/err.h"
#include "base/str.h"
#include "daemon/event-filter.h"
#include "fuzz.h"

#include <regex.h>

enum { LONGEST = 256 }; /* as event.c has it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const names[] = { "BLOCK_JOB_COMPLETED",
                                             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" };
        AUTOFREE char *pattern = str_dup_n((const char *)data, size < LONGEST ? size : LONGEST);
        AUTO(Error) err = { 0 };
        regex_t regex;

        if (event_filter_check(pattern, &err) < 0) {
                if (err.code != ERR_INVALID_ARG)
                        abort();
                return 0;
        }
        if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB | REG_ICASE) != 0)
                return 0;
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                (void)regexec(&regex, names[i], 0, NULL, 0);
        regfree(&regex);
        return 0;
}
