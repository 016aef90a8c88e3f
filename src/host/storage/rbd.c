/*
 * host/storage/rbd.c - pools of a Ceph cluster, by its own tools
 *
 * They speak JSON. Images have no device here: guests reach them over the
 * network, and they are made empty.
 */
#include "host/storage/rbd.h"

#include "base/str.h"

#include <json-c/json.h>

enum { DEPTH = 8, PORT_LEAST = 1 };

/* Owned; NULL: it is no JSON. */
static struct json_object *parse_json(const char *text, size_t n)
{
        struct json_tokener *tokener = json_tokener_new_ex(DEPTH);
        struct json_object *ret = json_tokener_parse_ex(tokener, text, (int)MIN(n, (size_t)INT32_MAX));

        if (json_tokener_get_error(tokener) != json_tokener_success) {
                json_object_put(ret);
                ret = NULL;
        }
        json_tokener_free(tokener);
        return ret;
}

static void auto_json(struct json_object **object)
{
        json_object_put(*object);
}
#define AUTO_JSON __attribute__((cleanup(auto_json))) struct json_object

/* A member that is a number and not negative; 0 when there is none. */
static uint64_t number_of(struct json_object *object, const char *name)
{
        struct json_object *member;
        int64_t n;

        if (!json_object_object_get_ex(object, name, &member) || !json_object_is_type(member, json_type_int))
                return 0;
        n = json_object_get_int64(member);
        return n < 0 ? 0 : (uint64_t)n;
}

static const char *text_of(struct json_object *object, const char *name)
{
        struct json_object *member;

        return json_object_object_get_ex(object, name, &member) && json_object_is_type(member, json_type_string)
                       ? json_object_get_string(member)
                       : NULL;
}

int rbd_parse_images(const char *pool_name, const char *text, size_t n, StorageFound *found, void *arg, Error *err)
{
        AUTO_JSON *list = parse_json(text, n);

        if (!list || !json_object_is_type(list, json_type_array))
                return err_set(err, ERR_INTERNAL, "rbd does not list the images of pool '%s'", pool_name);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                struct json_object *image = json_object_array_get_idx(list, i);
                const char *name = json_object_is_type(image, json_type_object) ? text_of(image, "image") : NULL;
                AUTOFREE char *path = NULL;
                AUTO(VolumeDef) *def = NULL;

                /* snapshots are listed too */
                if (!name || !*name || strchr(name, '/') || str_eq(name, ".") || str_eq(name, "..") ||
                    !str_is_utf8(name, strlen(name)) || text_of(image, "snapshot"))
                        continue;
                path = str_format("%s/%s", pool_name, name);
                def = storage_new_volume(path, name, NULL);
                def->type = VOLUME_TYPE_NETWORK;
                def->target.format = "raw";
                def->capacity_bytes = def->allocation_bytes = number_of(image, "size");
                found(arg, def);
        }
        return 0;
}

int rbd_parse_figures(const char *pool_name, const char *text, size_t n, StorageFigures *ret, Error *err)
{
        AUTO_JSON *said = parse_json(text, n);
        struct json_object *stats, *pools;

        if (!said || !json_object_is_type(said, json_type_object) ||
            !json_object_object_get_ex(said, "stats", &stats) || !json_object_is_type(stats, json_type_object) ||
            !json_object_object_get_ex(said, "pools", &pools) || !json_object_is_type(pools, json_type_array))
                return err_set(err, ERR_INTERNAL, "ceph does not tell the size of pool '%s'", pool_name);
        *ret = (StorageFigures){ .capacity = number_of(stats, "total_bytes"),
                                 .available = number_of(stats, "total_avail_bytes") };
        for (size_t i = 0; i < json_object_array_length(pools); i++) {
                struct json_object *pool = json_object_array_get_idx(pools, i), *its;

                if (json_object_is_type(pool, json_type_object) && str_eq(text_of(pool, "name"), pool_name) &&
                    json_object_object_get_ex(pool, "stats", &its) && json_object_is_type(its, json_type_object))
                        ret->allocation = number_of(its, "bytes_used");
        }
        return 0;
}

/* --- the tools --- */

static char *monitors_of(const PoolSourceDef *source)
{
        AUTO(Buf) list = { 0 };

        for (uint32_t i = 0; i < source->n_hosts; i++) {
                const PoolHostDef *host = source->hosts[i];

                buf_format(&list, strchr(host->name, ':') ? "%s[%s]" : "%s%s", i ? "," : "", host->name);
                if (host->port >= PORT_LEAST)
                        buf_format(&list, ":%u", host->port);
        }
        return list.len ? buf_take(&list) : NULL;
}

/* A tool with how to reach the cluster, and what it shall do. */
static int run(const PoolDef *pool, const char *tool, const char *const *words, Buf *out, Error *err)
{
        AUTOFREE char *monitors = monitors_of(pool->source);
        const PoolAuthDef *auth = pool->source->auth;
        const char *argv[24] = { tool };
        size_t n = 1;

        if (auth) {
                if (auth->type != POOL_AUTH_TYPE_CEPH)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED, "a Ceph cluster takes <auth type='ceph'> only");
                if (!storage_password(err))
                        return -1;
                argv[n++] = "--id";
                argv[n++] = auth->username;
                argv[n++] = "--keyfile";
                argv[n++] = STORAGE_KEY_FILE;
        }
        if (monitors) {
                argv[n++] = "-m";
                argv[n++] = monitors;
        }
        while (*words)
                argv[n++] = *words++;
        argv[n] = NULL;
        return storage_run(argv, out, err);
}

#define RUN(pool, tool, out, err, ...) run((pool), (tool), (const char *const[]){ __VA_ARGS__, NULL }, (out), (err))

static int scan(const PoolDef *pool, StorageFound *found, void *arg, Error *err)
{
        const char *name = pool->source->name;
        AUTO(Buf) said = { 0 };

        if (RUN(pool, "rbd", &said, err, "ls", "--long", "--format", "json", "--pool", name) < 0)
                return -1;
        return rbd_parse_images(name, buf_text(&said), said.len, found, arg, err);
}

static int start(const PoolDef *pool, Error *err)
{
        return RUN(pool, "rbd", NULL, err, "ls", "--format", "json", "--pool", pool->source->name);
}

static int figures(const PoolDef *pool, StorageFigures *ret, Error *err)
{
        AUTO(Buf) said = { 0 };

        if (RUN(pool, "ceph", &said, err, "df", "--format", "json") < 0)
                return -1;
        return rbd_parse_figures(pool->source->name, buf_text(&said), said.len, ret, err);
}

/* In MiB, which the tool takes a number without a unit for. */
static char *size_text(uint64_t bytes)
{
        return str_format("%llu", (unsigned long long)(bytes / (1 << 20) + (bytes % (1 << 20) != 0)));
}

static int create_image(const PoolDef *pool, const VolumeDef *wanted, StorageRoom *room UNUSED, Error *err)
{
        AUTOFREE char *size = size_text(wanted->capacity_bytes);

        return RUN(pool, "rbd", NULL, err, "create", "--size", size, "--pool", pool->source->name, "--image",
                   wanted->name);
}

static int remove_image(const PoolDef *pool, const char *name, Error *err)
{
        return RUN(pool, "rbd", NULL, err, "rm", "--no-progress", "--pool", pool->source->name, "--image", name);
}

static int remove_snapshots(const PoolDef *pool, const char *name, Error *err)
{
        return RUN(pool, "rbd", NULL, err, "snap", "purge", "--no-progress", "--pool", pool->source->name, "--image",
                   name);
}

static int resize_image(const PoolDef *pool, const VolumeDef *volume, uint64_t bytes, Error *err)
{
        AUTOFREE char *size = size_text(bytes);

        return RUN(pool, "rbd", NULL, err, "resize", "--no-progress", "--size", size, "--pool", pool->source->name,
                   "--image", volume->name, bytes < volume->capacity_bytes ? "--allow-shrink" : NULL);
}

const StorageBackend storage_rbd = {
        .start = start,
        .scan = scan,
        .figures = figures,
        .create = create_image,
        .remove_room = remove_image,
        .remove = remove_image,
        .remove_snapshots = remove_snapshots,
        .resize = resize_image,
};
