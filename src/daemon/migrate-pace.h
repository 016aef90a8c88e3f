#pragma once
/*
 * daemon/migrate-pace.h - what each pass over the memory means for when the guest stops
 */
#include "daemon/migrate-converge.h"
#include "daemon/migrate.h"

typedef struct Pace {
        Converge converge;
        uint64_t began_ms; /* loop time at which the memory began to move */
        unsigned watch_s;  /* for which the guest's writes are watched; 0: they are not */
        bool blind;        /* they cannot be */
        QmpCall *watching; /* owned */
} Pace;

void pace_init(Pace *pace, const Migration *m, uint64_t limit_ms);
void pace_done(Pace *pace);
/* There are new figures in the migration: a pass may have ended. Tells QEMU what follows from that. */
void pace_look(Pace *pace, const Migration *m, QmpClient *qmp);
