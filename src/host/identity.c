/*
 * host/identity.c - who this machine is
 */
#include "host/identity.h"

#include "base/str.h"
#include "host/node-read.h"
#include "model/xml.h"

#include <string.h>
#include <unistd.h>

#define DMI "/sys/class/dmi/id/"

typedef struct SysinfoEntry {
        const char *block, *name, *file;
} SysinfoEntry;

/* Entries of one block stand together. */
static const SysinfoEntry entries[] = {
        { "bios", "vendor", "bios_vendor" },
        { "bios", "version", "bios_version" },
        { "bios", "date", "bios_date" },
        { "bios", "release", "bios_release" },
        { "system", "manufacturer", "sys_vendor" },
        { "system", "product", "product_name" },
        { "system", "version", "product_version" },
        { "system", "serial", "product_serial" },
        { "system", "uuid", "product_uuid" },
        { "system", "sku", "product_sku" },
        { "system", "family", "product_family" },
        { "baseBoard", "manufacturer", "board_vendor" },
        { "baseBoard", "product", "board_name" },
        { "baseBoard", "version", "board_version" },
        { "baseBoard", "serial", "board_serial" },
        { "baseBoard", "asset", "board_asset_tag" },
        { "chassis", "manufacturer", "chassis_vendor" },
        { "chassis", "version", "chassis_version" },
        { "chassis", "serial", "chassis_serial" },
        { "chassis", "asset", "chassis_asset_tag" },
};

static void trim_end(Buf *text)
{
        while (text->len > 0 && strchr(" \t\n", text->data[text->len - 1]))
                text->data[--text->len] = '\0';
}

/* Boards that nobody set up carry all zeros, all ones, or one digit over and over. */
static bool is_of_use(const Uuid *uuid)
{
        for (size_t i = 1; i < sizeof(uuid->bytes); i++) {
                if (uuid->bytes[i] != uuid->bytes[0])
                        return true;
        }
        return false;
}

static bool read_uuid(const char *root, const char *path, Uuid *ret)
{
        AUTO(Buf) text = { 0 };

        if (node_read(root, path, &text, NULL) < 0)
                return false;
        trim_end(&text);
        return uuid_parse(buf_text(&text), ret) == 0 && is_of_use(ret);
}

int host_find_uuid(const char *root, const char *configured, bool prefer_machine_id, Uuid *ret, Error *err)
{
        static const char firmware[] = DMI "product_uuid", machine_id[] = "/etc/machine-id";

        if (configured && *configured) {
                if (uuid_parse(configured, ret) < 0 || !is_of_use(ret))
                        return err_set(err, ERR_CONF_SYNTAX, "host_uuid: '%s' is not a UUID of use", configured);
                return 0;
        }
        if (read_uuid(root, prefer_machine_id ? machine_id : firmware, ret) ||
            read_uuid(root, prefer_machine_id ? firmware : machine_id, ret))
                return 0;
        return err_set(err, ERR_INTERNAL, "neither the firmware nor /etc/machine-id gives this host a UUID");
}

int host_sysinfo_format(const char *root, Buf *ret, Error *err)
{
        const char *open_block = NULL;
        AUTO(Buf) xml = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
                AUTOFREE char *path = str_format(DMI "%s", entries[i].file);
                AUTO(Buf) text = { 0 };

                if (node_read(root, path, &text, NULL) < 0)
                        continue;
                trim_end(&text);
                if (!text.len || !str_is_utf8(text.data, text.len))
                        continue;
                if (open_block && !str_eq(open_block, entries[i].block))
                        buf_format(&xml, "  </%s>\n", open_block);
                if (!open_block || !str_eq(open_block, entries[i].block))
                        buf_format(&xml, "  <%s>\n", entries[i].block);
                open_block = entries[i].block;
                buf_format(&xml, "    <entry name='%s'>", entries[i].name);
                xml_put_escaped(&xml, buf_text(&text));
                buf_put_text(&xml, "</entry>\n");
        }
        if (!open_block)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "the firmware of this host gives no SMBIOS information (there is nothing in " DMI ")");
        buf_format(ret, "<sysinfo type='smbios'>\n%s  </%s>\n</sysinfo>\n", buf_text(&xml), open_block);
        return 0;
}
