/*
 * daemon/storage-capabilities.c - which pools can be had, as clients ask for it
 */
#include "daemon/handle-storage.h"
#include "daemon/handlers.h"
#include "model/storage.h"

static void put_volume_options(Buf *ret)
{
        static const char *const formats[] = { "raw",  "qcow2",     "qcow",  "qed",   "vmdk", "vdi", "vpc",
                                               "vhdx", "parallels", "bochs", "cloop", "dmg",  "iso", "dir" };

        buf_put_text(ret, "    <volOptions>\n"
                          "      <defaultFormat type='raw'/>\n"
                          "      <enum name='targetFormatType'>\n");
        for (size_t i = 0; i < ARRAY_LEN(formats); i++)
                buf_format(ret, "        <value>%s</value>\n", formats[i]);
        buf_put_text(ret, "      </enum>\n"
                          "    </volOptions>\n");
}

int handle_connect_get_storage_pool_capabilities(Call *call, const WireConnectGetStoragePoolCapabilitiesArgs *args,
                                                 Error *err)
{
        AUTO(Buf) xml = { 0 };

        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        buf_put_text(&xml, "<storagepoolCapabilities>\n");
        for (PoolType type = POOL_TYPE_DIR; pool_type_text(type); type++) {
                buf_format(&xml, "  <pool type='%s' supported='yes'>\n", pool_type_text(type));
                if (pool_type_is_directory(type))
                        put_volume_options(&xml);
                buf_put_text(&xml, "  </pool>\n");
        }
        buf_put_text(&xml, "</storagepoolCapabilities>\n");
        call_reply(call, &(WireConnectGetStoragePoolCapabilitiesRet){ .capabilities = buf_text(&xml) });
        return 0;
}
