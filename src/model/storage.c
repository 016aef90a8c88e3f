/*
 * model/storage.c - the definitions of storage pools and volumes
 */
#include "model/storage.h"

#include "base/str.h"
#include "model/def.h"
#include "model/hooks.h"

/* --- pools --- */

int pool_def_parse(const char *xml, size_t len, unsigned flags, PoolDef **ret, Warnings *warnings, Error *err)
{
        void *def;

        if (def_parse(&pool_def_info, "storage pool definition", xml, len, flags, &def, warnings, err) < 0)
                return -1;
        *ret = def;
        return 0;
}

void pool_def_format(const PoolDef *def, unsigned flags, Buf *ret)
{
        fields_format(&pool_def_info, def, "pool", NULL, 0, flags, ret);
}

PoolDef *pool_def_copy(const PoolDef *def)
{
        return def_copy(&pool_def_info, def);
}

PoolDef *pool_def_ref(const PoolDef *def)
{
        return def_ref(def);
}

PoolDef *pool_def_unref(PoolDef *def)
{
        return def_unref(def);
}

bool pool_type_is_directory(PoolType type)
{
        return type == POOL_TYPE_DIR || type == POOL_TYPE_FS || type == POOL_TYPE_NETFS || type == POOL_TYPE_VSTORAGE;
}

bool pool_type_mounts(PoolType type)
{
        return pool_type_is_directory(type) && type != POOL_TYPE_DIR;
}

const char *pool_def_device(const PoolDef *def)
{
        return def->source->n_devices ? def->source->devices[0]->path : NULL;
}

static const char *first_host(const PoolDef *def)
{
        return def->source->n_hosts ? def->source->hosts[0]->name : NULL;
}

static const char *adapter_name(const PoolDef *def)
{
        const PoolAdapterDef *adapter = def->source->adapter;

        return adapter ? adapter->name ?: adapter->wwpn : NULL;
}

static const char *after_dots(const char *at)
{
        while (at[0] == '/' && at[1] == '.' && (at[2] == '/' || !at[2]))
                at += 2;
        return at;
}

/* "/a/./b" is "/a/b", whatever there is on the disk; where "/a/../b" and links lead only the disk knows. */
static bool same_path(const char *a, const char *b)
{
        while (a && b) {
                a = after_dots(a);
                b = after_dots(b);
                if (*a != *b || !*a)
                        return *a == *b;
                a++;
                b++;
        }
        return false;
}

bool pool_def_same_source(const PoolDef *a, const PoolDef *b)
{
        const PoolSourceDef *one = a->source, *two = b->source;

        if (pool_type_is_directory(a->type) && pool_type_is_directory(b->type) &&
            same_path(a->target_path, b->target_path))
                return true;
        if (a->type != b->type || a->type == POOL_TYPE_DIR)
                return false;
        if (a->type == POOL_TYPE_MPATH)
                return true; /* there is one device mapper */
        return str_eq(first_host(a), first_host(b)) && str_eq(pool_def_device(a), pool_def_device(b)) &&
               str_eq(one->dir, two->dir) && str_eq(one->name, two->name) &&
               str_eq(adapter_name(a), adapter_name(b)) && str_eq(one->initiator_iqn, two->initiator_iqn);
}

/* What a kind of pool cannot do without. */
typedef struct Needs {
        bool target, device, host, dir, name, adapter, initiator;
        const char *format;  /* when none is given */
        const char *formats; /* those there are, each between blanks; NULL: no such element */
} Needs;

#define FS_FORMATS " auto ext2 ext3 ext4 ufs iso9660 udf gfs gfs2 vfat hfs+ xfs ocfs2 vmfs "

static const Needs needs_of[] = {
        [POOL_TYPE_DIR] = { .target = true },
        [POOL_TYPE_FS] = { .target = true, .device = true, .format = "auto", .formats = FS_FORMATS },
        [POOL_TYPE_NETFS] = { .target = true,
                              .host = true,
                              .dir = true,
                              .format = "auto",
                              .formats = " auto nfs glusterfs cifs " },
        [POOL_TYPE_LOGICAL] = { .name = true, .format = "lvm2", .formats = " unknown lvm2 " },
        [POOL_TYPE_DISK] = { .device = true,
                             .target = true,
                             .format = "unknown",
                             .formats = " unknown dos dvh gpt mac bsd pc98 sun lvm2 " },
        [POOL_TYPE_ISCSI] = { .target = true, .device = true, .host = true },
        [POOL_TYPE_ISCSI_DIRECT] = { .device = true, .host = true, .initiator = true },
        [POOL_TYPE_SCSI] = { .target = true, .adapter = true },
        [POOL_TYPE_MPATH] = { .target = false },
        [POOL_TYPE_RBD] = { .name = true },
        [POOL_TYPE_GLUSTER] = { .name = true, .host = true },
        [POOL_TYPE_ZFS] = { .name = true },
        [POOL_TYPE_VSTORAGE] = { .name = true, .target = true },
};

static bool has_control(const char *text)
{
        while (*text && (unsigned char)*text >= ' ' && *text != 0x7f)
                text++;
        return *text;
}

static int check_needs(const PoolDef *def, const Needs *needs, const XmlNode *node, FieldsReader *reader)
{
        const PoolSourceDef *source = def->source;
        const char *type = pool_type_text(def->type);

        if (needs->device && !source->n_devices)
                return fields_refuse(node, reader, "a pool of type '%s' needs <source><device path='...'/>", type);
        if (needs->host && !source->n_hosts)
                return fields_refuse(node, reader, "a pool of type '%s' needs <source><host name='...'/>", type);
        if (needs->dir && !source->dir)
                return fields_refuse(node, reader, "a pool of type '%s' needs <source><dir path='...'/>", type);
        if (needs->adapter && !adapter_name(def))
                return fields_refuse(
                        node, reader,
                        "a pool of type '%s' needs <source><adapter name='...'/>, or one with wwnn and wwpn", type);
        if (needs->initiator && !source->initiator_iqn)
                return fields_refuse(node, reader, "a pool of type '%s' needs <source><initiator><iqn name='...'/>",
                                     type);
        if (needs->target && !def->target_path)
                return fields_refuse(node, reader, "a pool of type '%s' needs <target><path>", type);
        if (def->target_path && def->target_path[0] != '/')
                return fields_refuse(node, reader, "target/path '%s' is not an absolute path", def->target_path);
        if (def->target_path && has_control(def->target_path))
                return fields_refuse(node, reader, "target/path holds a line break or another control character");
        return 0;
}

static int check_mode(const StoragePermissionsDef *permissions, const XmlNode *node, FieldsReader *reader)
{
        const char *mode = permissions ? permissions->mode : NULL;

        if (mode && (strlen(mode) > 5 || !*mode || strspn(mode, "01234567") != strlen(mode)))
                return fields_refuse(node, reader, "permissions/mode '%s' is not an octal number", mode);
        return 0;
}

/* "/images//" as "/images": one directory, one spelling. XML text cannot end in a blank, so "/images /" is it too. */
static const char *clean_path(const char *path, Arena *arena)
{
        char *clean, *to;

        if (!path || path[0] != '/')
                return path;
        clean = to = arena_dup(arena, path);
        for (const char *at = path; *at; at++) {
                if (*at != '/' || (at[1] != '/' && at[1]))
                        *to++ = *at;
        }
        while (to > clean && (to[-1] == ' ' || to[-1] == '/'))
                to--;
        if (to == clean)
                *to++ = '/';
        *to = '\0';
        return clean;
}

/* Words of the source stand where programs of the host take options too. */
static int check_word(const char *what, const char *text, const XmlNode *node, FieldsReader *reader)
{
        return text && text[0] == '-' ? fields_refuse(node, reader, "%s '%s' cannot begin with a dash", what, text)
                                      : 0;
}

int pool_source_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        const PoolSourceDef *source = at;
        const char *version = source->protocol_version;

        for (uint32_t i = 0; i < source->n_hosts; i++) {
                if (check_word("host name", source->hosts[i]->name, node, reader) < 0)
                        return -1;
        }
        for (uint32_t i = 0; i < source->n_devices; i++) {
                if (check_word("device path", source->devices[i]->path, node, reader) < 0)
                        return -1;
        }
        if (version && (!*version || strspn(version, "0123456789.") != strlen(version)))
                return fields_refuse(node, reader, "protocol version '%s' is no number", version);
        return check_word("source name", source->name, node, reader) < 0
                       ? -1
                       : check_word("source directory", source->dir, node, reader);
}

int pool_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        PoolDef *def = at;
        const Needs *needs = &needs_of[def->type];

        if (!def->source)
                def->source = fields_new(reader->arena, &pool_source_def_info);
        def->name = def->name ?: def->source->name;
        if (!def->name || !*def->name)
                return fields_refuse(node, reader, "'name' is missing");
        if (needs->name && !def->source->name) {
                def->source->name = def->name;
                if (check_word("name", def->name, node, reader) < 0)
                        return -1;
        }
        if (!needs->formats) {
                def->source->format = NULL;
        } else {
                AUTOFREE char *word = NULL;

                def->source->format = def->source->format ?: needs->format;
                word = str_format(" %s ", def->source->format);
                if (strchr(def->source->format, ' ') || !strstr(needs->formats, word))
                        return fields_refuse(node, reader, "unknown pool format type %s; known are%s",
                                             def->source->format, needs->formats);
        }
        if (def->type == POOL_TYPE_LOGICAL && !def->target_path)
                def->target_path = arena_format(reader->arena, "/dev/%s", def->source->name);
        if (def->type == POOL_TYPE_ZFS)
                def->target_path = arena_format(reader->arena, "/dev/zvol/%s", def->source->name);
        if (def->type == POOL_TYPE_MPATH)
                def->target_path = "/dev/mapper";
        def->target_path = clean_path(def->target_path, reader->arena);
        return check_needs(def, needs, node, reader) < 0 ? -1 : check_mode(def->permissions, node, reader);
}

/* --- sources --- */

int pool_sources_parse(const char *xml, size_t len, PoolSourcesDef **ret, Error *err)
{
        AUTO(PoolSourcesDef) *def = NULL;
        AUTO(Buf) list = { 0 };
        const char *from = xml, *end = xml + len;
        void *parsed;

        /* a client sends a document; it becomes a part of one here */
        if (len > 5 && str_starts(xml, "<?xml") && (from = strstr(xml, "?>")))
                from += strlen("?>");
        from = from ?: xml;
        buf_put_text(&list, "<sources>");
        buf_put(&list, from, (size_t)(end - from));
        buf_put_text(&list, "</sources>");
        if (def_parse(&pool_sources_def_info, "storage pool source", list.data, list.len, 0, &parsed, NULL, err) < 0)
                return -1;
        def = parsed;
        if (def->n_sources != 1)
                return err_set(err, ERR_XML, "one <source> is expected, %u are there", def->n_sources);
        *ret = TAKE(def);
        return 0;
}

void pool_sources_format(const PoolSourcesDef *def, Buf *ret)
{
        fields_format(&pool_sources_def_info, def, "sources", NULL, 0, 0, ret);
}

PoolSourcesDef *pool_sources_new(void)
{
        return def_new(&pool_sources_def_info);
}

PoolSourcesDef *pool_sources_unref(PoolSourcesDef *def)
{
        return def_unref(def);
}

/* Room grows with the powers of two: what is left behind in the arena is less than what is used. */
static void *add_one(Arena *arena, void *list, uint32_t *n, const StructInfo *info)
{
        void ***items = list;
        void *one = fields_new(arena, info);

        if ((*n & (*n - 1)) == 0) {
                void **more = arena_new_array(arena, void *, *n ? 2 * (size_t)*n : 1);

                if (*n)
                        memcpy(more, *items, *n * sizeof(*more));
                *items = more;
        }
        (*items)[(*n)++] = one;
        return one;
}

PoolSourceDef *pool_sources_add(PoolSourcesDef *def)
{
        return add_one(def->head.arena, &def->sources, &def->n_sources, &pool_source_def_info);
}

void pool_source_add_device(PoolSourcesDef *def, PoolSourceDef *source, const char *path)
{
        PoolDeviceDef *device = add_one(def->head.arena, &source->devices, &source->n_devices, &pool_device_def_info);

        device->path = arena_dup(def->head.arena, path);
}

void pool_source_add_host(PoolSourcesDef *def, PoolSourceDef *source, const char *name, unsigned port)
{
        PoolHostDef *host = add_one(def->head.arena, &source->hosts, &source->n_hosts, &pool_host_def_info);

        host->name = arena_dup(def->head.arena, name);
        host->port = port;
}

/* --- volumes --- */

int volume_def_parse(const char *xml, size_t len, unsigned flags, VolumeDef **ret, Warnings *warnings, Error *err)
{
        void *def;

        if (def_parse(&volume_def_info, "storage volume definition", xml, len, flags, &def, warnings, err) < 0)
                return -1;
        *ret = def;
        return 0;
}

void volume_def_format(const VolumeDef *def, Buf *ret)
{
        fields_format(&volume_def_info, def, "volume", NULL, 0, 0, ret);
}

VolumeDef *volume_def_new(void)
{
        return def_new(&volume_def_info);
}

VolumeDef *volume_def_copy(const VolumeDef *def)
{
        return def_copy(&volume_def_info, def);
}

VolumeDef *volume_def_ref(const VolumeDef *def)
{
        return def_ref(def);
}

VolumeDef *volume_def_unref(VolumeDef *def)
{
        return def_unref(def);
}

int volume_def_parsed(void *at, const XmlNode *node, FieldsReader *reader)
{
        VolumeDef *def = at;

        if (!def->source)
                def->source = fields_new(reader->arena, &volume_source_def_info);
        if (!def->name || !*def->name || str_eq(def->name, ".") || str_eq(def->name, ".."))
                return fields_refuse(node, reader, "'name' is missing");
        if (strchr(def->name, '/'))
                return fields_refuse(node, reader, "volume name '%s' cannot contain '/'", def->name);
        if (has_control(def->name))
                return fields_refuse(node, reader,
                                     "a volume's name cannot contain a line break or another control character");
        if (def->target.compat && !str_eq(def->target.compat, "0.10") && !str_eq(def->target.compat, "1.1"))
                return fields_refuse(node, reader, "target/compat '%s' is not '0.10' or '1.1'", def->target.compat);
        if (check_mode(def->target.permissions, node, reader) < 0)
                return -1;
        return 0;
}
