/*
 * tests/fuzz/fuzz-uri.c - connection URIs from any bytes
 *
 * A destination URI comes from clients. What was understood also goes through
 * the making of argument lists.
 */
#include "base/str.h"
#include "fuzz.h"
#include "wire/transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTOFREE char *text = str_dup_n((const char *)data, size);
        AUTO(Error) err = { 0 };
        AUTO(Uri) *uri = uri_parse(text, &err);

        if (!uri != err_is_set(&err))
                abort();
        if (uri && (uri->transport == URI_SSH || uri->transport == URI_EXT))
                str_list_free(transport_argv(uri, true, false));
        else if (uri)
                str_list_free(transport_sockets(uri, false, "/run/user/0"));
        return 0;
}
