/*
 * daemon/define.c - from XML to a definition in a driver's list
 */
#include "daemon/define.h"

#include "base/log.h"
#include "base/str.h"
#include "daemon/advice.h"
#include "daemon/daemon.h"
#include "daemon/def-store.h"

static DomainDef *parse(Driver *driver, const char *xml, unsigned flags, Uuid *ret_uuid, Error *err)
{
        AUTO(Warnings) warnings = { 0 };
        AUTO(DomainDef) *def = NULL;

        if (domain_def_parse(xml, strlen(xml), flags, &def, &warnings, err) < 0 ||
            def_store_check_name("guest", def->name, err) < 0)
                return NULL;
        *ret_uuid = def->uuid;
        if (driver->ops->complete(driver, def, err) < 0)
                return NULL;
        advise_on_cpus(&driver->shape, def, &warnings);
        advise_on_disks("", def, &warnings);
        for (size_t i = 0; i < warnings.list.len; i++)
                log_warning("guest '%s': %s", def->name, warnings.list.items[i]);
        domain_def_keep_warnings(def, &warnings);
        return domain_def_copy(
                def); /* packed again: completing takes a block for a few bytes, and there may be thousands */
}

DomainDef *define_parse(Driver *driver, const char *xml, bool validate, bool inactive, Error *err)
{
        unsigned flags = (validate ? DEF_PARSE_VALIDATE : 0) | (inactive ? DEF_PARSE_INACTIVE : 0);
        Uuid uuid;

        return parse(driver, xml, flags, &uuid, err);
}

DomainDef *define_parse_stored(Driver *driver, const char *xml, Uuid *ret_uuid, Error *err)
{
        return parse(driver, xml, DEF_PARSE_INACTIVE, ret_uuid, err);
}

int define_find_named(Driver *driver, const char *name, const Uuid *uuid, Domain **ret, Error *err)
{
        Domain *by_name = domain_list_find_name(driver->domains, name);
        Domain *by_uuid = domain_list_find_uuid(driver->domains, uuid);
        char text[UUID_TEXT_LEN + 1];

        if (by_uuid && by_uuid != by_name)
                return err_set(err, ERR_OPERATION_FAILED, "domain '%s' is already defined with uuid %s",
                               by_uuid->name, uuid_format(uuid, text));
        if (by_name && !by_uuid)
                return err_set(err, ERR_OPERATION_FAILED, "domain '%s' already exists with uuid %s", name,
                               uuid_format(&by_name->uuid, text));
        *ret = by_name;
        return 0;
}

int define_find(Driver *driver, const DomainDef *def, Domain **ret, Error *err)
{
        return define_find_named(driver, def->name, &def->uuid, ret, err);
}

Domain *define_add(Driver *driver, const DomainDef *def)
{
        return domain_list_add(driver->domains, driver, driver->daemon->loop, def->name, &def->uuid);
}
