/*
 * daemon/network-define.c - from XML to a network in a driver's registry
 */
#include "daemon/network-define.h"

#include "base/log.h"
#include "base/str.h"
#include "daemon/driver.h"
#include "daemon/registry.h"

NetworkDef *network_define_parse(Driver *driver, const char *xml, bool validate, Error *err)
{
        unsigned flags = DEF_PARSE_INACTIVE | (validate ? DEF_PARSE_VALIDATE : 0);
        AUTO(Warnings) warnings = { 0 };
        AUTO(NetworkDef) *def = NULL;

        if (network_def_parse(xml, strlen(xml), flags, &def, &warnings, err) < 0 ||
            driver->ops->networks->complete(driver, def, err) < 0)
                return NULL;
        for (size_t i = 0; i < warnings.list.len; i++)
                log_warning("network '%s': %s", def->name, warnings.list.items[i]);
        return TAKE(def);
}

static int check_bridge(Driver *driver, const Network *self, const NetworkDef *def, Error *err)
{
        for (size_t i = 0; def->bridge && network_has_own_bridge(def) && i < registry_len(driver->networks); i++) {
                const Network *other = registry_at(driver->networks, i);
                const NetworkDef *theirs = network_def(other);

                if (other != self && theirs && str_eq(theirs->bridge, def->bridge))
                        return err_set(err, ERR_INTERNAL, "bridge name '%s' already in use by network '%s'.",
                                       def->bridge, other->name);
        }
        return 0;
}

int network_define_find(Driver *driver, const NetworkDef *def, Network **ret, Error *err)
{
        Network *by_name = network_find(driver, def->name);
        Network *by_uuid = registry_find_uuid(driver->networks, &def->uuid);
        char text[UUID_TEXT_LEN + 1];

        if (by_uuid && by_uuid != by_name)
                return err_set(err, ERR_OPERATION_FAILED, "network '%s' is already defined with uuid %s",
                               by_uuid->name, uuid_format(&def->uuid, text));
        if (by_name && !by_uuid)
                return err_set(err, ERR_OPERATION_FAILED, "network '%s' already exists with uuid %s", def->name,
                               uuid_format(&by_name->uuid, text));
        if (check_bridge(driver, by_name, def, err) < 0)
                return -1;
        *ret = by_name;
        return 0;
}
