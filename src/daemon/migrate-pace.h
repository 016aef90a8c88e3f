#pragma once
/*
 * daemon/migrate-pace.h - what each pass over the memory means for when the guest stops
 */
#include "daemon/migrate-converge.h"
#include "daemon/migrate-rate.h"
#include "daemon/migrate.h"

typedef struct Pace {
        Converge converge;
        uint64_t began_ms;      /* loop time at which the memory began to move */
        unsigned watch_s;       /* for which the guest's writes are watched; 0: they are not */
        uint64_t watched_at_ms; /* loop time at which that is over */
        bool blind;             /* they cannot be */
        QmpCall *watching;      /* owned */
        LineRate rate;
        uint64_t told_ms; /* the bound that QEMU has */
        bool stopping;    /* it has one that stops the guest at once */
        bool slowed;      /* by how much the guest is to be slowed was told */
        bool warned;      /* that it is much */
} Pace;

void pace_init(Pace *pace, const Migration *m);
void pace_done(Pace *pace);
/* There are new figures in the migration: a pass may have ended. Tells QEMU what follows from that. */
void pace_look(Pace *pace, Migration *m, QmpClient *qmp);
/* When they are worth another look. */
uint64_t pace_next_look_ms(const Pace *pace, const Migration *m);
/* What QEMU is told so that a pause of ms is kept: less than ms where its rate varies and somebody set ms as the longest. */
uint64_t pace_bound_ms(const Pace *pace, const Migration *m, uint64_t ms);
