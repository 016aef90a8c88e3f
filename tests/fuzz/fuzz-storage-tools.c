/*
 * tests/fuzz/fuzz-storage-tools.c - what lvs, parted, rbd and ceph say, from any bytes
 *
 * A volume has a name that is one, and a partition that is to be made lies in a
 * free part of the disk.
 */
#include "base/str.h"
#include "fuzz.h"
#include "host/storage/disk-table.h"
#include "host/storage/logical.h"
#include "host/storage/rbd.h"

static void check_volume(void *arg, const VolumeDef *def)
{
        (void)arg;
        if (!def->name || !*def->name || strchr(def->name, '/') || !def->key)
                abort();
}

static void check_logical(void *arg, VolumeDef *def, const char *tags)
{
        check_volume(arg, def);
        if (!tags)
                abort();
}

static bool lies_in_room(const DiskTable *table, const DiskPart *part)
{
        for (size_t i = 0; i < table->room.len; i++) {
                if (part->start >= table->room.items[i].start && part->end <= table->room.items[i].end)
                        return true;
        }
        return false;
}

static void try_table(const char *text)
{
        AUTOFREE char *copy = str_dup(text);
        AUTO(DiskTable) table = { 0 };
        AUTO(Error) err = { 0 };
        DiskPart part = { 0 };
        bool logical;

        if (disk_table_parse(copy, &table, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                return;
        }
        for (uint64_t bytes = 1; bytes && bytes < UINT64_MAX / 64; bytes *= 64) {
                if (disk_table_find_room(&table, bytes, false, &part, &logical, NULL) == 0 &&
                    (part.end - part.start < bytes || part.end > table.size || !lies_in_room(&table, &part)))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char xml[] = "<pool type='logical'><name>vg</name></pool>";
        AUTOFREE char *text = str_dup_n((const char *)data, size), *copy = str_dup(text);
        AUTO(PoolDef) *pool = NULL;
        StorageFigures figures;

        if (pool_def_parse(xml, sizeof(xml) - 1, 0, &pool, NULL, NULL) < 0)
                abort();
        logical_parse_volumes(pool, copy, check_logical, NULL);
        try_table(text);
        rbd_parse_images("p", text, strlen(text), check_volume, NULL, NULL);
        rbd_parse_figures("p", text, strlen(text), &figures, NULL);
        return 0;
}
