#pragma once
/*
 * daemon/domain-list.h - all guests of a driver, by name, UUID and id
 */
#include "base/err.h"
#include "daemon/domain.h"

DomainList *domain_list_new(void);
DomainList *domain_list_free(DomainList *list); /* gives up its references; returns NULL */

/* A new guest without definitions, shut off, in the list. The list holds a reference, the result is borrowed. */
Domain *domain_list_add(DomainList *list, Driver *driver, Loop *loop, const char *name, const Uuid *uuid);
void domain_list_remove(DomainList *list, Domain *dom); /* drops the list's reference */
/* Under another name from now on. The caller checked that it is free. */
void domain_list_rename(DomainList *list, Domain *dom, const char *name);
/* Give it the next id. */
void domain_list_activate(DomainList *list, Domain *dom);
/* Give it this id, as before a restart; ids given later are higher. */
void domain_list_activate_as(DomainList *list, Domain *dom, int id);
void domain_list_deactivate(DomainList *list, Domain *dom);

/* Borrowed, or NULL. */
Domain *domain_list_find_name(const DomainList *list, const char *name);
Domain *domain_list_find_uuid(const DomainList *list, const Uuid *uuid);
Domain *domain_list_find_id(const DomainList *list, int id);

size_t domain_list_len(const DomainList *list);
Domain *domain_list_at(const DomainList *list, size_t i); /* in no order worth relying on */

/* VIR_CONNECT_LIST_DOMAINS_*: each pair of bits is no filter when none or both are set. */
bool domain_passes_filter(const Domain *dom, uint32_t flags);

DEFINE_AUTO(DomainList, domain_list_free)
