/*
 * model/complete-sysinfo.c - rules of what a guest is told about its hardware
 *
 * Names of entries become words of QEMU's options, so only those that there are may be given.
 */
#include "model/complete-internal.h"

#include "base/str.h"

static const char *const bios_names[] = { "vendor", "version", "date", "release", NULL };
static const char *const system_names[] = { "manufacturer", "product", "version", "serial",
                                            "uuid",         "sku",     "family",  NULL };
static const char *const board_names[] = {
        "manufacturer", "product", "version", "serial", "asset", "location", NULL
};
static const char *const chassis_names[] = { "manufacturer", "version", "serial", "asset", "sku", NULL };

static bool is_one_of(const char *name, const char *const *names)
{
        while (*names && !str_eq(*names, name))
                names++;
        return *names;
}

static int check_entries(SysinfoEntryDef *const *entries, uint32_t n, const char *block, const char *const *names,
                         Error *err)
{
        for (uint32_t i = 0; i < n; i++) {
                if (!entries[i]->name)
                        return err_set(err, ERR_XML, "<sysinfo>: an <entry> of <%s> has no 'name'", block);
                if (!is_one_of(entries[i]->name, names))
                        return err_set(err, ERR_XML, "<sysinfo>: <%s> has no entry '%s'", block, entries[i]->name);
        }
        return 0;
}

/* The guest is known by one UUID only. */
static int check_uuid(const DomainDef *def, const SysinfoDef *sysinfo, Error *err)
{
        for (uint32_t i = 0; i < sysinfo->n_system; i++) {
                const SysinfoEntryDef *entry = sysinfo->system[i];
                Uuid uuid;

                if (!str_eq(entry->name, "uuid"))
                        continue;
                if (uuid_parse(entry->value ?: "", &uuid) < 0)
                        return err_set(err, ERR_XML, "<sysinfo>: '%s' is no UUID", entry->value ?: "");
                if (!uuid_eq(&uuid, &def->uuid))
                        return err_set(err, ERR_XML, "<sysinfo>: the UUID '%s' is not the guest's <uuid>",
                                       entry->value);
        }
        return 0;
}

static int check_smbios(const DomainDef *def, const SysinfoDef *s, Error *err)
{
        if (check_entries(s->bios, s->n_bios, "bios", bios_names, err) < 0 ||
            check_entries(s->system, s->n_system, "system", system_names, err) < 0 ||
            check_entries(s->chassis, s->n_chassis, "chassis", chassis_names, err) < 0)
                return -1;
        for (uint32_t i = 0; i < s->n_baseboards; i++) {
                if (check_entries(s->baseboards[i]->entries, s->baseboards[i]->n_entries, "baseBoard", board_names,
                                  err) < 0)
                        return -1;
        }
        return check_uuid(def, s, err);
}

/* Names below opt/ are for users, but for those of the firmware and of QEMU. */
static int check_fwcfg(const SysinfoDef *s, Error *err)
{
        for (uint32_t i = 0; i < s->n_entries; i++) {
                const SysinfoEntryDef *entry = s->entries[i];

                if (!entry->name)
                        return err_set(err, ERR_XML, "<sysinfo type='fwcfg'>: an <entry> has no 'name'");
                if (!str_starts(entry->name, "opt/") || str_starts(entry->name, "opt/ovmf/") ||
                    str_starts(entry->name, "opt/org.qemu/"))
                        return err_set(
                                err, ERR_XML,
                                "<sysinfo type='fwcfg'>: '%s' is not a name for users; such a name begins with "
                                "'opt/', and not with 'opt/ovmf/' or 'opt/org.qemu/'",
                                entry->name);
                if (!entry->file == !entry->value)
                        return err_set(err, ERR_XML,
                                       "<sysinfo type='fwcfg'>: the entry '%s' needs either a value or a 'file'",
                                       entry->name);
        }
        return 0;
}

int complete_sysinfo(DomainDef *def, Error *err)
{
        for (uint32_t i = 0; i < def->n_sysinfos; i++) {
                const SysinfoDef *s = def->sysinfos[i];

                if ((s->type == SYSINFO_TYPE_FWCFG ? check_fwcfg(s, err) : check_smbios(def, s, err)) < 0)
                        return -1;
        }
        return 0;
}
