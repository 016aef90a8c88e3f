/*
 * tests/fuzz/fuzz-config.c - droverd.conf from any bytes
 */
#include "base/str.h"
#include "daemon/config.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTOFREE char *text = str_dup_n((const char *)data, size);
        AUTO(Error) err = { 0 };
        AUTO(Config) *config = config_parse("droverd.conf", text, NULL, NULL, &err);

        if (!config != err_is_set(&err))
                abort();
        return 0;
}
