/*
 * model/network-port.c - the description of one interface's place on a network
 */
#include "model/network-port.h"

#include "model/def.h"

int network_port_def_parse(const char *xml, size_t len, unsigned flags, NetworkPortDef **ret, Warnings *warnings,
                           Error *err)
{
        void *def;

        if (def_parse(&network_port_def_info, "network port definition", xml, len, flags, &def, warnings, err) < 0)
                return -1;
        *ret = def;
        return 0;
}

void network_port_def_format(const NetworkPortDef *def, Buf *ret)
{
        fields_format(&network_port_def_info, def, "networkport", NULL, 0, 0, ret);
}

NetworkPortDef *network_port_def_new(void)
{
        return def_new(&network_port_def_info);
}

NetworkPortDef *network_port_def_copy(const NetworkPortDef *def)
{
        return def_copy(&network_port_def_info, def);
}

NetworkPortDef *network_port_def_unref(NetworkPortDef *def)
{
        return def_unref(def);
}
