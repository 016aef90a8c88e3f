/*
 * daemon/domain-list.c - all guests of a driver, by name, UUID and id
 *
 * Three indices over one vector. Each guest knows its place in the vector, so
 * removing one moves only the last.
 */
#include "daemon/domain-list.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "wire/constants.h"

struct DomainList {
        VEC(Domain *) all;
        Map *by_name, *by_uuid, *by_id;
        int last_id;
};

DomainList *domain_list_new(void)
{
        DomainList *list = mem_new(DomainList);

        list->by_name = map_new();
        list->by_uuid = map_new();
        list->by_id = map_new();
        return list;
}

DomainList *domain_list_free(DomainList *list)
{
        if (!list)
                return NULL;
        for (size_t i = 0; i < list->all.len; i++)
                domain_unref(list->all.items[i]);
        vec_done(&list->all);
        map_free(list->by_name);
        map_free(list->by_uuid);
        map_free(list->by_id);
        free(list);
        return NULL;
}

Domain *domain_list_add(DomainList *list, Driver *driver, Loop *loop, const char *name, const Uuid *uuid)
{
        Domain *dom = mem_new(Domain);

        *dom = (Domain){ .refs = 1,
                         .driver = driver,
                         .uuid = *uuid,
                         .name = str_dup(name),
                         .id = -1,
                         .state = VIR_DOMAIN_SHUTOFF,
                         .reason = VIR_DOMAIN_SHUTOFF_UNKNOWN,
                         .listed = true,
                         .place = list->all.len,
                         .jobs = job_slot_new(loop) };
        vec_push(&list->all, dom);
        map_put_text(list->by_name, name, dom);
        map_put(list->by_uuid, uuid->bytes, sizeof(uuid->bytes), dom);
        return dom;
}

void domain_list_remove(DomainList *list, Domain *dom)
{
        Domain *last = list->all.items[--list->all.len];

        list->all.items[dom->place] = last;
        last->place = dom->place;
        domain_list_deactivate(list, dom);
        map_remove_text(list->by_name, dom->name);
        map_remove(list->by_uuid, dom->uuid.bytes, sizeof(dom->uuid.bytes));
        dom->listed = false;
        domain_unref(dom);
}

void domain_list_rename(DomainList *list, Domain *dom, const char *name)
{
        map_remove_text(list->by_name, dom->name);
        str_replace(&dom->name, name);
        map_put_text(list->by_name, dom->name, dom);
}

void domain_list_activate_as(DomainList *list, Domain *dom, int id)
{
        dom->id = id;
        map_put(list->by_id, &id, sizeof(id), dom);
        list->last_id = MAX(list->last_id, id);
}

void domain_list_activate(DomainList *list, Domain *dom)
{
        domain_list_activate_as(list, dom, list->last_id + 1);
}

void domain_list_deactivate(DomainList *list, Domain *dom)
{
        if (dom->id >= 0)
                map_remove(list->by_id, &dom->id, sizeof(dom->id));
        dom->id = -1;
}

Domain *domain_list_find_name(const DomainList *list, const char *name)
{
        return map_find_text(list->by_name, name);
}

Domain *domain_list_find_uuid(const DomainList *list, const Uuid *uuid)
{
        return map_find(list->by_uuid, uuid->bytes, sizeof(uuid->bytes));
}

Domain *domain_list_find_id(const DomainList *list, int id)
{
        return map_find(list->by_id, &id, sizeof(id));
}

size_t domain_list_len(const DomainList *list)
{
        return list->all.len;
}

Domain *domain_list_at(const DomainList *list, size_t i)
{
        return list->all.items[i];
}
