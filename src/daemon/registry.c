/*
 * daemon/registry.c - objects of one kind, by name and UUID
 *
 * Two indices over one vector. Each entry knows its place in the vector, so
 * removing one moves only the last.
 */
#include "daemon/registry.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

typedef struct Entry {
        char *name;
        Uuid uuid;
        size_t place;
        void *object;
} Entry;

struct Registry {
        VEC(Entry *) all;
        Map *by_name, *by_uuid;
};

Registry *registry_new(void)
{
        Registry *registry = mem_new(Registry);

        registry->by_name = map_new();
        registry->by_uuid = map_new();
        return registry;
}

static void entry_free(Entry *entry)
{
        free(entry->name);
        free(entry);
}

Registry *registry_free(Registry *registry)
{
        if (!registry)
                return NULL;
        for (size_t i = 0; i < registry->all.len; i++)
                entry_free(registry->all.items[i]);
        vec_done(&registry->all);
        map_free(registry->by_name);
        map_free(registry->by_uuid);
        free(registry);
        return NULL;
}

static Entry *find_entry(const Registry *registry, const Uuid *uuid)
{
        return map_find(registry->by_uuid, uuid->bytes, sizeof(uuid->bytes));
}

void registry_add(Registry *registry, const char *name, const Uuid *uuid, void *object)
{
        Entry *entry = mem_new(Entry);

        *entry = (Entry){ .name = str_dup(name), .uuid = *uuid, .place = registry->all.len, .object = object };
        vec_push(&registry->all, entry);
        map_put_text(registry->by_name, name, entry);
        map_put(registry->by_uuid, uuid->bytes, sizeof(uuid->bytes), entry);
}

void registry_remove(Registry *registry, const Uuid *uuid)
{
        Entry *entry = find_entry(registry, uuid), *last;

        if (!entry)
                return;
        last = registry->all.items[--registry->all.len];
        registry->all.items[entry->place] = last;
        last->place = entry->place;
        map_remove_text(registry->by_name, entry->name);
        map_remove(registry->by_uuid, uuid->bytes, sizeof(uuid->bytes));
        entry_free(entry);
}

void registry_rename(Registry *registry, const Uuid *uuid, const char *name)
{
        Entry *entry = find_entry(registry, uuid);

        map_remove_text(registry->by_name, entry->name);
        str_replace(&entry->name, name);
        map_put_text(registry->by_name, name, entry);
}

void *registry_find_name(const Registry *registry, const char *name)
{
        Entry *entry = map_find_text(registry->by_name, name);

        return entry ? entry->object : NULL;
}

void *registry_find_uuid(const Registry *registry, const Uuid *uuid)
{
        Entry *entry = find_entry(registry, uuid);

        return entry ? entry->object : NULL;
}

size_t registry_len(const Registry *registry)
{
        return registry->all.len;
}

void *registry_at(const Registry *registry, size_t i)
{
        return registry->all.items[i]->object;
}
