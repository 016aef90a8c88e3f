/*
 * app/drover/storage.c - what the commands of pools and volumes share
 */
#include "app/drover/storage.h"

#include "app/drover/xml.h"
#include "base/str.h"

int find_pool(Session *s, const char *text, WireStoragePool *ret, Error *err)
{
        WireStoragePoolLookupByUuidArgs by_uuid;
        WireStoragePoolLookupByNameRet found;

        if (uuid_parse(text, &by_uuid.uuid) == 0 &&
            session_call(s, WIRE_PROC_STORAGE_POOL_LOOKUP_BY_UUID, &by_uuid, &found, NULL) == 0) {
                *ret = found.pool;
                return 0;
        }
        if (session_call(s, WIRE_PROC_STORAGE_POOL_LOOKUP_BY_NAME, &(WireStoragePoolLookupByNameArgs){ text }, &found,
                         err) < 0)
                return fail(err, "failed to get pool '%s'", text);
        *ret = found.pool;
        return 0;
}

int find_pool_arg(Session *s, const Args *args, WireStoragePool *ret, Error *err)
{
        return find_pool(s, arg_text(args, "pool"), ret, err);
}

int find_volume(Session *s, const Args *args, const char *option, const char *pool_option, WireStorageVol *ret,
                Error *err)
{
        const char *text = arg_text(args, option), *pool = pool_option ? arg_text(args, pool_option) : NULL;
        WireStorageVolLookupByNameArgs by_name = { .name = text };
        WireStorageVolLookupByNameRet found;

        if (pool && find_pool(s, pool, &by_name.pool, err) < 0)
                return -1;
        if ((!pool || session_call(s, WIRE_PROC_STORAGE_VOL_LOOKUP_BY_NAME, &by_name, &found, NULL) < 0) &&
            session_call(s, WIRE_PROC_STORAGE_VOL_LOOKUP_BY_KEY, &(WireStorageVolLookupByKeyArgs){ text }, &found,
                         NULL) < 0 &&
            session_call(s, WIRE_PROC_STORAGE_VOL_LOOKUP_BY_PATH, &(WireStorageVolLookupByPathArgs){ text }, &found,
                         err) < 0)
                return fail(err,
                            pool ? "failed to get vol '%s'" : "failed to get vol '%s', specifying --pool might help",
                            text);
        *ret = found.vol;
        if (pool && !str_eq(ret->pool, by_name.pool.name))
                return err_set(err, ERR_NO_STORAGE_VOL, "Requested volume '%s' is not in pool '%s'", text,
                               by_name.pool.name);
        return 0;
}

const char *size_text(Session *s, uint64_t bytes)
{
        const char *unit;
        double value = pretty_size(bytes, &unit);

        if (output_is_json(s->out))
                return arena_format(session_arena(s), "%llu", (unsigned long long)bytes);
        return arena_format(session_arena(s), "%.2f %s", value, unit);
}

const char *volume_type_text(int type)
{
        static const char *const words[] = { "file", "block", "dir", "network", "netdir", "ploop" };

        return WORD_OF(words, type);
}

void put_element(Buf *xml, unsigned depth, const char *name, const char *text)
{
        if (!text)
                return;
        buf_format(xml, "%*s<%s>", (int)depth * 2, "", name);
        xml_escape(text, xml);
        buf_format(xml, "</%s>\n", name);
}

void put_attribute(Buf *xml, unsigned depth, const char *name, const char *attribute, const char *value)
{
        if (!value)
                return;
        buf_format(xml, "%*s<%s %s='", (int)depth * 2, "", name, attribute);
        xml_escape(value, xml);
        buf_put_text(xml, "'/>\n");
}

int pool_act(Session *s, const Args *args, uint32_t proc, uint32_t flags, const char *done, const char *failed,
             Error *err)
{
        /* the calls with and without flags begin alike */
        WireStoragePoolCreateArgs call = { .flags = flags };

        if (find_pool_arg(s, args, &call.pool, err) < 0)
                return -1;
        if (session_call(s, proc, &call, NULL, err) < 0)
                return fail(err, "Failed to %s pool %s", failed, call.pool.name);
        out_done(s->out, "Pool %s %s", call.pool.name, done);
        return 0;
}
