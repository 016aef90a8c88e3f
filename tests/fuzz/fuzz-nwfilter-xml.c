/*
 * tests/fuzz/fuzz-nwfilter-xml.c - definitions of network filters and of bindings, from any bytes
 *
 * What was understood must survive being written and read again.
 */
#include "base/str.h"
#include "fuzz.h"
#include "model/nwfilter.h"

static void try_filter(const char *xml, size_t len)
{
        AUTO(NwFilter) *filter = NULL;
        AUTO(NwFilter) *again = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        if (nw_filter_parse(xml, len, 0, &filter, NULL, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                return;
        }
        nw_filter_format(filter, &one);
        if (nw_filter_parse(one.data, one.len, 0, &again, NULL, &err) < 0)
                abort();
        nw_filter_format(again, &two);
        if (!str_eq(buf_text(&one), buf_text(&two)))
                abort();
}

static void try_binding(const char *xml, size_t len)
{
        AUTO(NwBindingDef) *def = NULL;
        AUTO(NwBindingDef) *again = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        if (nw_binding_parse(xml, len, 0, &def, NULL, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                return;
        }
        nw_binding_format(def, &one);
        if (nw_binding_parse(one.data, one.len, 0, &again, NULL, &err) < 0)
                abort();
        nw_binding_format(again, &two);
        if (!str_eq(buf_text(&one), buf_text(&two)))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        try_filter((const char *)data, size);
        try_binding((const char *)data, size);
        return 0;
}
