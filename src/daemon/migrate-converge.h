#pragma once
/*
 * daemon/migrate-converge.h - when may a live migration stop its guest?
 *
 * Pure arithmetic on the figures of each pass; whoever owns it asks QEMU and tells it.
 */
#include <stdbool.h>
#include <stdint.h>

enum { CONVERGE_LAST_STEP_MS = 300 }; /* CON-04: the bound is raised in steps up to here */

/* So many different bytes a guest wrote in so many seconds. */
typedef struct ConvergeWindow {
        unsigned seconds;
        uint64_t written;
} ConvergeWindow;

typedef struct Converge {
        uint64_t limit_ms;             /* the bound in force */
        bool stops;                    /* the guest may be stopped for longer than that, once it is said (MIG-05) */
        bool slows;                    /* QEMU slows it: how much that takes is worth knowing */
        uint64_t pass;                 /* the last that was looked at */
        uint64_t first_ms;             /* that the first pass took */
        uint64_t least, before;        /* bytes that were left after the best pass, and after the one before */
        uint64_t stalled;              /* passes since then */
        bool told;                     /* that it does not converge, or that the guest is stopped */
        ConvergeWindow windows[2];     /* of the first pass: the last but one, and the last */
        unsigned n_windows, watched_s; /* all that were seen, and how long they took */
        uint64_t fastest;              /* bytes a second, in one of them */
} Converge;

typedef struct ConvergeFigures {
        uint64_t pass;        /* 1 while all memory is sent for the first time */
        uint64_t left;        /* bytes */
        uint64_t bytes_per_s; /* that the way to the other host takes */
        uint64_t rest_per_s;  /* that it takes when the guest stands still; 0: the same */
        uint64_t elapsed_ms;
        uint64_t sent; /* bytes of memory so far; in the first pass only */
} ConvergeFigures;

typedef enum ConvergeVerdict {
        CONVERGE_GOES_ON,
        CONVERGE_RAISE,  /* limit_ms has grown */
        CONVERGE_STOP,   /* now, for at most converge_announced_ms() */
        CONVERGE_REPORT, /* it never ends like this: somebody should know (MIG-06) */
} ConvergeVerdict;

void converge_init(Converge *c, uint64_t limit_ms, bool stops);
/* fixed: somebody set the bound, so it is neither raised nor passed over. */
ConvergeVerdict converge_look(Converge *c, const ConvergeFigures *f, bool fixed);
/*
 * In the first pass, for which QEMU counts nothing that is written again: for how long the guest's writes are worth being
 * watched now, in whole seconds. 0: not at all, or no longer. Each window is twice as long as the one before: one shows how
 * much is written, two show whether it is the same again and again.
 */
unsigned converge_watch_s(const Converge *c, const ConvergeFigures *f, bool fixed);
/* That window is over. */
void converge_watched(Converge *c, ConvergeWindow window);
/*
 * Will the end of the first pass find so much written again that it comes too late? True: to stop now ends it sooner and
 * pauses it hardly longer. The figure's `left` is what is left then, at most. To be asked at each look.
 */
bool converge_is_in_vain(Converge *c, ConvergeFigures *f);
/* How long what is left takes with the guest standing still. */
uint64_t converge_pause_ms(const ConvergeFigures *f);
/* The same as it may be announced: with what is written until it does stand still, and what every hand-over takes. */
uint64_t converge_announced_ms(const ConvergeFigures *f);
/*
 * By how many percent the guest has to be slowed at least so that each pass leaves less than the one before: 1 to 99. 0: not at
 * all, or its writes were not watched long enough. *ret_pause_ms: how long it would stand still otherwise.
 */
unsigned converge_throttle(const Converge *c, const ConvergeFigures *f, uint64_t *ret_pause_ms);
