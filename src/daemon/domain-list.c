/*
 * daemon/domain-list.c - all guests of a driver, by name, UUID and id
 */
#include "daemon/domain-list.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/registry.h"
#include "wire/constants.h"

struct DomainList {
        Registry *all;
        Map *by_id;
        int last_id;
};

DomainList *domain_list_new(void)
{
        DomainList *list = mem_new(DomainList);

        list->all = registry_new();
        list->by_id = map_new();
        return list;
}

DomainList *domain_list_free(DomainList *list)
{
        if (!list)
                return NULL;
        for (size_t i = 0; i < registry_len(list->all); i++)
                domain_unref(registry_at(list->all, i));
        registry_free(list->all);
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
                         .jobs = job_slot_new(loop) };
        registry_add(list->all, name, uuid, dom);
        return dom;
}

void domain_list_remove(DomainList *list, Domain *dom)
{
        domain_list_deactivate(list, dom);
        registry_remove(list->all, &dom->uuid);
        dom->listed = false;
        domain_unref(dom);
}

void domain_list_rename(DomainList *list, Domain *dom, const char *name)
{
        str_replace(&dom->name, name);
        registry_rename(list->all, &dom->uuid, name);
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
        return registry_find_name(list->all, name);
}

Domain *domain_list_find_uuid(const DomainList *list, const Uuid *uuid)
{
        return registry_find_uuid(list->all, uuid);
}

Domain *domain_list_find_id(const DomainList *list, int id)
{
        return map_find(list->by_id, &id, sizeof(id));
}

size_t domain_list_len(const DomainList *list)
{
        return registry_len(list->all);
}

Domain *domain_list_at(const DomainList *list, size_t i)
{
        return registry_at(list->all, i);
}
