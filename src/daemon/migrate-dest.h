#pragma once
/*
 * daemon/migrate-dest.h - a guest that is made ready to move in
 */
#include "daemon/migrate.h"

/* A prepare on its way: the call that waits, and the guest that is made ready. */
struct Preparing {
        Call *call;
        Migration *migration;
        Domain *dom;    /* referenced */
        DomainDef *def; /* until QEMU is started with it */
        StartOptions options;
        Fd tunnel; /* the memory comes through it from the client's stream; -1: QEMU listens by itself */
};

/* def (may be NULL) is taken; the migration (NULL: only the definition moves) is given up with it when it fails. */
Preparing *preparing_new(Call *call, Domain *dom, Migration *m, DomainDef *def);
/* From the guest's slot to a QEMU that waits. It answers the call, or fails it, and is gone then. */
void preparing_start(Preparing *p);
/* With the cookie and the address to send to. It is gone then. */
void preparing_answer(Preparing *p);
/* Its call is answered behind the undo: whoever hears that it failed finds nothing of it here. It is gone then. */
void preparing_fail(Preparing *p, const Error *failure);
void preparing_free(Preparing *p);
