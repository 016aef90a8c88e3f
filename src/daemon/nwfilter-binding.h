#pragma once
/*
 * daemon/nwfilter-binding.h - one binding, for the files that make and change them
 */
#include "daemon/nwfilter.h"

NwBinding *nw_binding_new(NwFilters *filters, NwBindingDef *def, bool by_user); /* takes def; not in the list yet */
void nw_binding_free(NwBinding *binding);
/* Can the filter be put into force, and what does it need for that? -1: no. */
int nw_binding_prepare(NwBinding *binding, Error *err);
/* Begin to listen for its address when one is needed, or end it. A client's may wait for its device. */
int nw_binding_listen(NwBinding *binding, Error *err);
/* Both again for what was in force before. */
void nw_binding_settle(NwBinding *binding);
/* The rules of a binding in the list, in place of those that it has. */
int nw_binding_put_change(NwBinding *binding, Buf *ret, Error *err);
/* Out of the list, and out of the table; the binding is freed. done may be NULL. */
void nw_binding_remove(NwBinding *binding, NwDone *done, void *arg);
NwBindingDef *nw_binding_def_of_guest(const Domain *dom, const InterfaceDef *nic);
