/*
 * tests/fuzz/fuzz-network-xml.c - definitions of networks and of ports, and updates of networks, from any bytes
 *
 * What was understood must survive being written and read again, and what an
 * update made must be a definition like any other.
 */
#include "base/str.h"
#include "fuzz.h"
#include "model/network-port.h"
#include "model/network.h"

static void check_round_trip(const NetworkDef *def)
{
        AUTO(NetworkDef) *again = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        network_def_format(def, 0, &one);
        if (network_def_parse(one.data, one.len, 0, &again, NULL, &err) < 0)
                abort();
        network_def_format(again, 0, &two);
        if (!str_eq(buf_text(&one), buf_text(&two)))
                abort();
}

static void try_definition(const char *xml, size_t len)
{
        AUTO(NetworkDef) *def = NULL;
        AUTO(NetworkDef) *copy = NULL;
        AUTO(Error) err = { 0 };

        if (network_def_parse(xml, len, 0, &def, NULL, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                return;
        }
        check_round_trip(def);
        copy = network_def_copy(def);
        network_def_complete(copy);
        check_round_trip(copy);
}

static void try_update(const char *xml)
{
        static const char base[] = "<network><name>n</name><ip address='10.0.0.1' prefix='8'><dhcp>"
                                   "<host mac='52:54:00:00:00:01' ip='10.0.0.9'/></dhcp></ip></network>";

        for (unsigned section = 0; section <= 13; section++) {
                AUTO(NetworkDef) *def = NULL;

                if (network_def_parse(base, strlen(base), 0, &def, NULL, NULL) < 0)
                        abort();
                for (unsigned command = 1; command <= 4; command++) {
                        AUTO(NetworkDef) *changed = network_def_copy(def);

                        if (network_def_update(changed, command, section, -1, xml, NULL) == 0)
                                check_round_trip(changed);
                }
        }
}

static void try_port(const char *xml, size_t len)
{
        AUTO(NetworkPortDef) *def = NULL;
        AUTO(NetworkPortDef) *again = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        if (network_port_def_parse(xml, len, 0, &def, NULL, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                return;
        }
        network_port_def_format(def, &one);
        if (network_port_def_parse(one.data, one.len, 0, &again, NULL, &err) < 0)
                abort();
        network_port_def_format(again, &two);
        if (!str_eq(buf_text(&one), buf_text(&two)))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTOFREE char *text = str_dup_n((const char *)data, size);

        try_definition((const char *)data, size);
        try_update(text);
        try_port((const char *)data, size);
        return 0;
}
