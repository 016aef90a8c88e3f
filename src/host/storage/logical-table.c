/*
 * host/storage/logical-table.c - what lvs says, as volumes
 */
#include "host/storage/logical.h"

#include "base/str.h"

enum Column {
        NAME,
        UUID,
        ATTRIBUTES,
        SIZE,
        ORIGIN,
        ORIGIN_SIZE,
        PERCENT,
        EXTENT_SIZE,
        SEGMENT_START,
        SEGMENT_SIZE,
        TAGS,
        DEVICES,
        N_COLUMNS,
};

/* Segments beyond these are not shown; nobody reads on that far. */
enum { MOST_SEGMENTS = 4096 };

typedef struct Reader {
        const PoolDef *pool;
        LogicalFound *found;
        void *arg;
        VolumeDef *def; /* the one whose segments are read; NULL: none */
        char *tags;
        VEC(VolumeSourceDeviceDef *) devices;
} Reader;

static void end_volume(Reader *reader)
{
        VolumeDef *def = reader->def;

        if (!def)
                return;
        def->source->devices = arena_new_array(def->head.arena, VolumeSourceDeviceDef *, reader->devices.len);
        for (size_t i = 0; i < reader->devices.len; i++)
                def->source->devices[def->source->n_devices++] = reader->devices.items[i];
        reader->devices.len = 0;
        reader->found(reader->arg, def, reader->tags ?: "");
        reader->def = volume_def_unref(def);
}

static uint64_t number(const char *text)
{
        uint64_t n;

        return str_to_u64(text, &n) < 0 ? 0 : n;
}

/* "/dev/sda(12)": 12 extents into the device. What stands on other volumes has no extents of its own. */
static void add_segment(Reader *reader, char *where, uint64_t extent_size, uint64_t segment_size)
{
        Arena *arena = reader->def->head.arena;
        char *open = strrchr(where, '('), *close = open ? strchr(open, ')') : NULL;
        VolumeSourceDeviceDef *device;
        VolumeExtentDef *extent;
        uint64_t first;

        if (where[0] != '/' || !close || reader->devices.len >= MOST_SEGMENTS)
                return;
        *open = *close = '\0';
        if (str_to_u64(open + 1, &first) < 0 || __builtin_mul_overflow(first, extent_size, &first) ||
            segment_size > UINT64_MAX - first)
                return;
        extent = arena_new_one(arena, VolumeExtentDef);
        extent->start = first;
        extent->end = first + segment_size;
        device = arena_new_one(arena, VolumeSourceDeviceDef);
        device->path = arena_dup(arena, where);
        device->extents = arena_new_one(arena, VolumeExtentDef *);
        ((const VolumeExtentDef **)device->extents)[0] = extent;
        device->n_extents = 1;
        vec_push(&reader->devices, device);
}

/* What a snapshot shows is as large as its origin, what it takes is what it was given. */
static void describe_size(VolumeDef *def, char *const *fields)
{
        const char *attributes = fields[ATTRIBUTES];
        uint64_t size = number(fields[SIZE]);
        double percent;

        def->capacity_bytes = def->allocation_bytes = size;
        if (attributes[0] == 's' || attributes[0] == 'S')
                def->capacity_bytes = number(fields[ORIGIN_SIZE]) ?: size;
        else if (attributes[0] == 'V' && str_to_double(fields[PERCENT], &percent) == 0 && percent >= 0 &&
                 percent < 100)
                def->allocation_bytes = (uint64_t)((double)size / 100 * percent);
        def->physical_bytes = def->allocation_bytes;
}

static void begin_volume(Reader *reader, char *const *fields)
{
        AUTOFREE char *path = str_format("%s/%s", reader->pool->target_path, fields[NAME]);
        VolumeDef *def = storage_new_volume(path, fields[NAME], *fields[UUID] ? fields[UUID] : NULL);
        Arena *arena = def->head.arena;

        def->type = VOLUME_TYPE_BLOCK;
        describe_size(def, fields);
        if (*fields[ORIGIN] && fields[ORIGIN][0] != '[') {
                def->backing = arena_new_one(arena, VolumeBackingDef);
                def->backing->path = arena_format(arena, "%s/%s", reader->pool->target_path, fields[ORIGIN]);
        }
        reader->def = def;
        str_replace(&reader->tags, fields[TAGS]);
}

static bool is_name(const char *text)
{
        for (const char *at = text; *at; at++) {
                if ((*at < 'a' || *at > 'z') && (*at < 'A' || *at > 'Z') && (*at < '0' || *at > '9') &&
                    !strchr("+_.-", *at))
                        return false;
        }
        return *text && !str_eq(text, ".") && !str_eq(text, "..");
}

/* An inactive volume has no device; a pool of thin volumes is no disk. */
static bool is_disk(char *const *fields)
{
        const char *attributes = fields[ATTRIBUTES];

        return is_name(fields[NAME]) && strlen(attributes) > 4 && attributes[4] == 'a' && attributes[0] != 't';
}

void logical_parse_volumes(const PoolDef *pool, char *text, LogicalFound *found, void *arg)
{
        Reader reader = { .pool = pool, .found = found, .arg = arg };
        char *fields[N_COLUMNS];
        size_t n;

        while ((n = storage_next_row(&text, '|', fields, N_COLUMNS))) {
                AUTO_STRLIST devices = NULL;

                if (n != N_COLUMNS || !is_disk(fields))
                        continue;
                if (!reader.def || !str_eq(reader.def->name, fields[NAME])) {
                        end_volume(&reader);
                        begin_volume(&reader, fields);
                }
                devices = str_split(fields[DEVICES], ",");
                for (char **where = devices; *where; where++)
                        add_segment(&reader, *where, number(fields[EXTENT_SIZE]), number(fields[SEGMENT_SIZE]));
        }
        end_volume(&reader);
        vec_done(&reader.devices);
        free(reader.tags);
}
