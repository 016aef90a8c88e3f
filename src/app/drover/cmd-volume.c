/*
 * app/drover/cmd-volume.c - volumes of storage pools
 */
#include "app/drover/commands.h"
#include "app/drover/os-variant.h"
#include "app/drover/progress.h"
#include "app/drover/storage.h"
#include "app/drover/xml.h"

#include "base/str.h"

#include <stdio.h>
#include <strings.h>

#define ARG_VOL      "VOL          volume: name, key or path\n"
#define ARG_POOL_OPT "[--pool POOL]  storage pool that it is in\n"

/* --- making --- */

static int create(Session *s, const WireStoragePool *pool, const char *xml, uint32_t flags, WireStorageVol *ret,
                  Error *err)
{
        WireStorageVolCreateXmlRet made;

        if (session_call(s, WIRE_PROC_STORAGE_VOL_CREATE_XML, &(WireStorageVolCreateXmlArgs){ *pool, xml, flags },
                         &made, err) < 0)
                return -1;
        *ret = made.vol;
        return 0;
}

static uint32_t prealloc_flag(const Args *args)
{
        return arg_has(args, "prealloc-metadata") ? VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA : 0;
}

static uint32_t validate_flag(const Args *args)
{
        return arg_has(args, "validate") ? VIR_STORAGE_VOL_CREATE_VALIDATE : 0;
}

static int vol_create(Session *s, const Args *args, Error *err)
{
        const char *file = arg_text(args, "file");
        AUTOFREE char *xml = read_text_file(file, err);
        WireStoragePool pool;
        WireStorageVol vol;

        if (!xml || find_pool_arg(s, args, &pool, err) < 0)
                return -1;
        if (create(s, &pool, xml, prealloc_flag(args) | validate_flag(args), &vol, err) < 0)
                return fail(err, "Failed to create vol from %s", file);
        out_done(s->out, "Vol %s created from %s", vol.name, file);
        return 0;
}

/* The path of the image below: a volume's by name, key or path. */
static int put_backing(Session *s, const Args *args, const WireStoragePool *pool, Buf *xml, Error *err)
{
        const char *text = arg_text(args, "backing-vol"), *format = arg_text(args, "backing-vol-format");
        WireStorageVolLookupByNameRet found;
        WireStorageVolGetPathRet path;

        if (!text)
                return 0;
        if (session_call(s, WIRE_PROC_STORAGE_VOL_LOOKUP_BY_NAME, &(WireStorageVolLookupByNameArgs){ *pool, text },
                         &found, NULL) < 0 &&
            session_call(s, WIRE_PROC_STORAGE_VOL_LOOKUP_BY_KEY, &(WireStorageVolLookupByKeyArgs){ text }, &found,
                         NULL) < 0 &&
            session_call(s, WIRE_PROC_STORAGE_VOL_LOOKUP_BY_PATH, &(WireStorageVolLookupByPathArgs){ text }, &found,
                         err) < 0)
                return fail(err, "failed to get vol '%s'", text);
        if (session_call(s, WIRE_PROC_STORAGE_VOL_GET_PATH, &(WireStorageVolGetPathArgs){ found.vol }, &path, err) <
            0)
                return -1;
        buf_put_text(xml, "  <backingStore>\n");
        put_element(xml, 2, "path", path.name);
        put_attribute(xml, 2, "format", "type", format);
        buf_put_text(xml, "  </backingStore>\n");
        return 0;
}

/* STO-39: a disk has to hold the system, its programs and its swap. */
static int check_os_fits(const Args *args, uint64_t capacity, Error *err)
{
        const char *name = arg_text(args, "os-variant");
        OsDisk disk = { 0 };
        const char *unit;
        double size;

        if (!name)
                return 0;
        if (os_variant_disk(OS_VARIANTS, name, &disk, err) < 0)
                return -1;
        size = pretty_size(capacity < disk.minimum ? disk.minimum : disk.recommended, &unit);
        if (capacity < disk.minimum)
                return err_set(err, ERR_INVALID_ARG, "%s needs a disk of %.2f %s at least", name, size, unit);
        if (capacity < disk.recommended)
                fprintf(stderr, "warning: %s should have a disk of %.2f %s\n", name, size, unit);
        return 0;
}

static int vol_create_as(Session *s, const Args *args, Error *err)
{
        const char *name = arg_text(args, "name"), *format = arg_text(args, "format");
        uint64_t capacity, allocation;
        AUTO(Buf) xml = { 0 };
        WireStoragePool pool;
        WireStorageVol vol;
        int given;

        if (arg_size(args, "capacity", 1, &capacity, err) < 0 ||
            (given = arg_size(args, "allocation", 1, &allocation, err)) < 0 ||
            check_os_fits(args, capacity, err) < 0 || find_pool_arg(s, args, &pool, err) < 0)
                return -1;
        buf_put_text(&xml, "<volume>\n");
        put_element(&xml, 1, "name", name);
        buf_format(&xml, "  <capacity>%llu</capacity>\n", (unsigned long long)capacity);
        if (given)
                buf_format(&xml, "  <allocation>%llu</allocation>\n", (unsigned long long)allocation);
        if (format) {
                buf_put_text(&xml, "  <target>\n");
                put_attribute(&xml, 2, "format", "type", format);
                buf_put_text(&xml, "  </target>\n");
        }
        if (put_backing(s, args, &pool, &xml, err) < 0)
                return -1;
        buf_put_text(&xml, "</volume>\n");
        if (arg_has(args, "print-xml")) {
                out_value(s->out, "xml", buf_text(&xml));
                return 0;
        }
        if (create(s, &pool, buf_text(&xml), prealloc_flag(args), &vol, err) < 0)
                return fail(err, "Failed to create vol %s", name);
        out_done(s->out, "Vol %s created", name);
        return 0;
}

static uint32_t copy_flags(const Args *args)
{
        return prealloc_flag(args) | (arg_has(args, "reflink") ? VIR_STORAGE_VOL_CREATE_REFLINK : 0);
}

/* Make a volume from another one. name: of the new one; NULL: how far it is cannot be asked. */
static int copy(Session *s, const Args *args, const WireStorageVolCreateXmlFromArgs *call, const char *name,
                WireStorageVolCreateXmlFromRet *ret, Error *err)
{
        Progress *progress = progress_start_copy(s, call->pool.name, name,
                                                 name && arg_has(args, "progress") ? "Copy" : NULL);
        int result = session_call(s, WIRE_PROC_STORAGE_VOL_CREATE_XML_FROM, call, ret, err);

        progress_end(progress, result == 0);
        return result;
}

static char *name_in(const char *xml)
{
        AUTO(Xml) *doc = xml_read(xml, NULL);

        return doc && xml_find_one(doc, NULL, "/volume/name") ? xml_text(doc, NULL, "/volume/name") : NULL;
}

static int vol_create_from(Session *s, const Args *args, Error *err)
{
        WireStorageVolCreateXmlFromArgs call = { .flags = copy_flags(args) | validate_flag(args) };
        AUTOFREE char *xml = read_text_file(arg_text(args, "file"), err);
        AUTOFREE char *name = xml ? name_in(xml) : NULL;
        WireStorageVolCreateXmlFromRet made;

        call.xml = xml;
        if (!xml || find_pool_arg(s, args, &call.pool, err) < 0 ||
            find_volume(s, args, "vol", arg_has(args, "inputpool") ? "inputpool" : NULL, &call.clonevol, err) < 0)
                return -1;
        if (copy(s, args, &call, name, &made, err) < 0)
                return fail(err, "Failed to create vol from %s", arg_text(args, "file"));
        out_done(s->out, "Vol %s created from input vol %s", made.vol.name, call.clonevol.name);
        return 0;
}

static const char *volume_xml(Session *s, const WireStorageVol *vol, Error *err)
{
        WireStorageVolGetXmlDescRet ret;

        return session_call(s, WIRE_PROC_STORAGE_VOL_GET_XML_DESC, &(WireStorageVolGetXmlDescArgs){ *vol, 0 }, &ret,
                            err) < 0
                       ? NULL
                       : ret.xml;
}

/* The same definition with another name. */
static char *renamed(const char *xml, const char *name, Error *err)
{
        AUTO(Xml) *doc = xml_read(xml, err);
        XmlNode *node = doc ? xml_find_one(doc, NULL, "/volume/name") : NULL;
        AUTOFREE char *old = node ? xml_text(doc, NULL, "/volume/name") : NULL;
        AUTO(Buf) escaped = { 0 };
        const char *at, *end;

        if (!old) {
                err_set(err, ERR_INTERNAL, "the volume's definition has no name");
                return NULL;
        }
        at = strstr(xml, "<name>");
        end = at ? strstr(at, "</name>") : NULL;
        if (!end) {
                err_set(err, ERR_INTERNAL, "the volume's definition has no name");
                return NULL;
        }
        xml_escape(name, &escaped);
        return str_format("%.*s<name>%s%s", (int)(at - xml), xml, buf_text(&escaped), end);
}

static int vol_clone(Session *s, const Args *args, Error *err)
{
        const char *name = arg_text(args, "newname"), *old_xml;
        WireStorageVolCreateXmlFromArgs call = { .flags = copy_flags(args) };
        WireStorageVolCreateXmlFromRet made;
        AUTOFREE char *xml = NULL;

        if (find_volume(s, args, "vol", "pool", &call.clonevol, err) < 0 ||
            find_pool(s, call.clonevol.pool, &call.pool, err) < 0 ||
            !(old_xml = volume_xml(s, &call.clonevol, err)) || !(xml = renamed(old_xml, name, err)))
                return -1;
        call.xml = xml;
        if (arg_has(args, "print-xml")) {
                out_value(s->out, "xml", xml);
                return 0;
        }
        if (copy(s, args, &call, name, &made, err) < 0)
                return fail(err, "Failed to clone vol from %s", call.clonevol.name);
        out_done(s->out, "Vol %s cloned from %s", made.vol.name, call.clonevol.name);
        return 0;
}

/* --- changing --- */

static int vol_delete(Session *s, const Args *args, Error *err)
{
        WireStorageVolDeleteArgs call = { 0 };

        if (arg_has(args, "delete-snapshots"))
                call.flags = VIR_STORAGE_VOL_DELETE_WITH_SNAPSHOTS;
        if (find_volume(s, args, "vol", "pool", &call.vol, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_STORAGE_VOL_DELETE, &call, NULL, err) < 0)
                return fail(err, "Failed to delete vol %s", arg_text(args, "vol"));
        out_done(s->out, "Vol %s deleted", arg_text(args, "vol"));
        return 0;
}

static int vol_wipe(Session *s, const Args *args, Error *err)
{
        static const char *const algorithms[] = { "zero",     "nnsa",      "dod",        "bsi",    "gutmann",
                                                  "schneier", "pfitzner7", "pfitzner33", "random", "trim" };
        const char *algorithm = arg_text(args, "algorithm") ?: "zero";
        WireStorageVolWipePatternArgs call = { 0 };

        while (call.algorithm < ARRAY_LEN(algorithms) && !str_eq(algorithms[call.algorithm], algorithm))
                call.algorithm++;
        if (call.algorithm == ARRAY_LEN(algorithms))
                return err_set(err, ERR_INVALID_ARG, "Unsupported algorithm '%s'", algorithm);
        if (find_volume(s, args, "vol", "pool", &call.vol, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_STORAGE_VOL_WIPE_PATTERN, &call, NULL, err) < 0)
                return fail(err, "Failed to wipe vol %s", arg_text(args, "vol"));
        out_done(s->out, "Vol %s wiped", arg_text(args, "vol"));
        return 0;
}

static int vol_resize(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag switches[] = { { "allocate", VIR_STORAGE_VOL_RESIZE_ALLOCATE },
                                               { "delta", VIR_STORAGE_VOL_RESIZE_DELTA },
                                               { "shrink", VIR_STORAGE_VOL_RESIZE_SHRINK },
                                               { 0 } };
        WireStorageVolResizeArgs call = { .flags = switch_flags(args, switches) };
        const char *text = arg_text(args, "capacity");
        bool delta = arg_has(args, "delta");

        if (arg_size(args, "capacity", 1, &call.capacity, err) < 0 ||
            find_volume(s, args, "vol", "pool", &call.vol, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_STORAGE_VOL_RESIZE, &call, NULL, err) < 0)
                return fail(err,
                            delta ? "Failed to change size of volume '%s' by %s"
                                  : "Failed to change size of volume '%s' to %s",
                            call.vol.name, text);
        out_done(s->out,
                 delta ? "Size of volume '%s' successfully changed by %s"
                       : "Size of volume '%s' successfully changed to %s",
                 call.vol.name, text);
        return 0;
}

/* --- showing --- */

static int compare_volumes(const void *a, const void *b)
{
        return strcasecmp(((const WireStorageVol *)a)->name, ((const WireStorageVol *)b)->name);
}

static int add_row(Session *s, const WireStorageVol *vol, bool details, Table *table, Error *err)
{
        WireStorageVolGetPathRet path;
        WireStorageVolGetInfoRet info;

        if (session_call(s, WIRE_PROC_STORAGE_VOL_GET_PATH, &(WireStorageVolGetPathArgs){ *vol }, &path, err) < 0 ||
            (details &&
             session_call(s, WIRE_PROC_STORAGE_VOL_GET_INFO, &(WireStorageVolGetInfoArgs){ *vol }, &info, err) < 0))
                return -1;
        if (details)
                table_add(table, CELLS(vol->name, path.name, volume_type_text(info.type), size_text(s, info.capacity),
                                       size_text(s, info.allocation)));
        else
                table_add(table, CELLS(vol->name, path.name));
        return 0;
}

static int vol_list(Session *s, const Args *args, Error *err)
{
        WireStoragePoolListAllVolumesArgs call = { .need_results = 1 };
        bool details = arg_has(args, "details");
        WireStoragePoolListAllVolumesRet found;
        AUTO(Table) *table = details ? table_new(TITLES("Name", "Path", "Type", "Capacity#", "Allocation#"))
                                     : table_new(TITLES("Name", "Path"));

        if (find_pool_arg(s, args, &call.pool, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_STORAGE_POOL_LIST_ALL_VOLUMES, &call, &found, err) < 0)
                return fail(err, "Failed to list volumes");
        qsort(found.vols, found.n_vols, sizeof(*found.vols), compare_volumes);
        for (uint32_t i = 0; i < found.n_vols; i++) {
                AUTO(Error) why = { 0 };

                if (add_row(s, &found.vols[i], details, table, &why) < 0 && why.code != ERR_NO_STORAGE_VOL)
                        return err_move(err, &why);
        }
        out_table(s->out, table);
        return 0;
}

enum { COLUMN = 16 };

static void print_size(Session *s, const Args *args, const char *label, uint64_t bytes)
{
        if (output_is_json(s->out))
                out_number(s->out, COLUMN, label, bytes, NULL);
        else if (arg_has(args, "bytes"))
                out_number(s->out, COLUMN, label, bytes, "bytes");
        else
                out_field(s->out, COLUMN, label, "%s", size_text(s, bytes));
}

static int vol_info(Session *s, const Args *args, Error *err)
{
        WireStorageVolGetInfoFlagsArgs call = { .flags = arg_has(args, "physical") ? VIR_STORAGE_VOL_GET_PHYSICAL
                                                                                   : 0 };
        WireStorageVolGetInfoRet info;

        if (find_volume(s, args, "vol", "pool", &call.vol, err) < 0 ||
            (call.flags ? session_call(s, WIRE_PROC_STORAGE_VOL_GET_INFO_FLAGS, &call, &info, err)
                        : session_call(s, WIRE_PROC_STORAGE_VOL_GET_INFO, &(WireStorageVolGetInfoArgs){ call.vol },
                                       &info, err)) < 0)
                return -1;
        out_field(s->out, COLUMN, "Name", "%s", call.vol.name);
        out_field(s->out, COLUMN, "Type", "%s", volume_type_text(info.type));
        print_size(s, args, "Capacity", info.capacity);
        print_size(s, args, call.flags ? "Physical" : "Allocation", info.allocation);
        return 0;
}

static int vol_dumpxml(Session *s, const Args *args, Error *err)
{
        WireStorageVol vol;
        const char *xml;

        if (find_volume(s, args, "vol", "pool", &vol, err) < 0 || !(xml = volume_xml(s, &vol, err)))
                return -1;
        return print_xml(s, args, xml, err);
}

static int vol_name(Session *s, const Args *args, Error *err)
{
        WireStorageVol vol;

        if (find_volume(s, args, "vol", NULL, &vol, err) < 0)
                return -1;
        out_value(s->out, "name", vol.name);
        return 0;
}

static int vol_key(Session *s, const Args *args, Error *err)
{
        WireStorageVol vol;

        if (find_volume(s, args, "vol", "pool", &vol, err) < 0)
                return -1;
        out_value(s->out, "key", vol.key);
        return 0;
}

static int vol_path(Session *s, const Args *args, Error *err)
{
        WireStorageVolGetPathArgs call;
        WireStorageVolGetPathRet path;

        if (find_volume(s, args, "vol", "pool", &call.vol, err) < 0 ||
            session_call(s, WIRE_PROC_STORAGE_VOL_GET_PATH, &call, &path, err) < 0)
                return -1;
        out_value(s->out, "path", path.name);
        return 0;
}

static int vol_pool(Session *s, const Args *args, Error *err)
{
        WireStorageVol vol;
        WireStoragePool pool;
        char uuid[UUID_TEXT_LEN + 1];

        if (find_volume(s, args, "vol", NULL, &vol, err) < 0 || find_pool(s, vol.pool, &pool, err) < 0)
                return -1;
        if (arg_has(args, "uuid"))
                out_value(s->out, "uuid", uuid_format(&pool.uuid, uuid));
        else
                out_value(s->out, "pool", pool.name);
        return 0;
}

#define ARGS_COPY                                                                                                    \
        "[--prealloc-metadata]  make the image's tables at once\n"                                                   \
        "[--reflink]            share the blocks, or fail\n"                                                         \
        "[--progress]           say how far it is\n"
#define ARG_VALIDATE "[--validate]           refuse what the definition says and nobody knows"
#define ARGS_XML     "[--xpath=EXPR]  only what this XPath expression finds\n[--wrap]        inside <nodes>\n"

const Command volume_commands[] = {
        { .name = "vol-clone",
          .group = GROUP_STORAGE,
          .args = ARG_VOL "NEWNAME      the copy's name\n" ARG_POOL_OPT ARGS_COPY
                          "[--print-xml]  show the definition, do nothing",
          .summary = "copy a volume within its pool",
          .run = vol_clone },
        { .name = "vol-create",
          .group = GROUP_STORAGE,
          .args = ARG_POOL "FILE                   the volume's definition, XML\n"
                           "[--prealloc-metadata]  make the image's tables at once\n" ARG_VALIDATE,
          .summary = "make a volume from a file",
          .run = vol_create },
        { .name = "vol-create-as",
          .group = GROUP_STORAGE,
          .args = ARG_POOL
          "NAME                         the volume's name\n"
          "CAPACITY                     bytes the guest sees, or 10G\n"
          "[--allocation BYTES]         bytes taken at once\n"
          "[--format FORMAT]            raw, qcow2 or another one\n"
          "[--backing-vol VOL]          volume below it\n"
          "[--backing-vol-format FORMAT]  its format\n"
          "[--prealloc-metadata]        make the image's tables at once\n"
          "[--os-variant NAME]          refuse less than this system needs (debian11), warn of less than "
          "it should have\n"
          "[--print-xml]                show the definition, do nothing",
          .summary = "make a volume from words",
          .run = vol_create_as },
        { .name = "vol-create-from",
          .group = GROUP_STORAGE,
          .args = ARG_POOL "FILE                   the new volume's definition, XML\n"
                           "VOL                    the one to copy\n"
                           "[--inputpool POOL]     the pool that it is in\n" ARG_VALIDATE "\n" ARGS_COPY,
          .summary = "make a volume with the content of another",
          .run = vol_create_from },
        { .name = "vol-delete",
          .group = GROUP_STORAGE,
          .args = ARG_VOL ARG_POOL_OPT "[--delete-snapshots]  with the snapshots that the storage keeps of it",
          .summary = "remove a volume",
          .run = vol_delete },
        { .name = "vol-dumpxml",
          .group = GROUP_STORAGE,
          .args = ARG_VOL ARG_POOL_OPT ARGS_XML,
          .summary = "print a volume as XML",
          .run = vol_dumpxml },
        { .name = "vol-info",
          .group = GROUP_STORAGE,
          .args = ARG_VOL ARG_POOL_OPT "[--bytes]     exact numbers\n[--physical]  the length of the file",
          .summary = "show a volume's type and sizes",
          .run = vol_info },
        { .name = "vol-key",
          .group = GROUP_STORAGE,
          .args = ARG_VOL ARG_POOL_OPT,
          .summary = "print a volume's key",
          .run = vol_key },
        { .name = "vol-list",
          .group = GROUP_STORAGE,
          .args = ARG_POOL "[--details]  with types and sizes",
          .summary = "list a storage pool's volumes",
          .run = vol_list },
        { .name = "vol-name",
          .group = GROUP_STORAGE,
          .args = ARG_VOL,
          .summary = "print a volume's name",
          .run = vol_name },
        { .name = "vol-path",
          .group = GROUP_STORAGE,
          .args = ARG_VOL ARG_POOL_OPT,
          .summary = "print a volume's path",
          .run = vol_path },
        { .name = "vol-pool",
          .group = GROUP_STORAGE,
          .args = ARG_VOL "[--uuid]     its UUID instead of its name",
          .summary = "print the storage pool that a volume is in",
          .run = vol_pool },
        { .name = "vol-resize",
          .group = GROUP_STORAGE,
          .args = ARG_VOL "CAPACITY     bytes the guest sees, or 10G\n" ARG_POOL_OPT
                          "[--allocate]  take the room at once\n"
                          "[--delta]     by that much\n"
                          "[--shrink]    it may become smaller; what is behind the new end is lost",
          .summary = "change a volume's size",
          .run = vol_resize },
        { .name = "vol-wipe",
          .group = GROUP_STORAGE,
          .args = ARG_VOL ARG_POOL_OPT
          "[--algorithm ALGORITHM{zero,nnsa,dod,bsi,gutmann,schneier,pfitzner7,pfitzner33,random,trim}]  how",
          .summary = "overwrite all that a volume holds",
          .run = vol_wipe },
        { 0 },
};
