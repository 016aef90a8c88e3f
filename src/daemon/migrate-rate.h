#pragma once
/*
 * daemon/migrate-rate.h - how much of a guest's memory does the way to the other host take?
 *
 * Pure arithmetic on the figures that QEMU is asked for all the time. What is promised about a pause is counted with the rate
 * that lasts; QEMU itself counts with that of its last 100 ms.
 */
#include <stdbool.h>
#include <stdint.h>

typedef struct RateSample {
        uint64_t at_ms;
        uint64_t sent;      /* bytes on the line so far */
        uint64_t zero;      /* bytes of memory so far that were all zero, and took next to nothing */
        uint64_t left;      /* bytes that are to be sent still */
        uint64_t now_per_s; /* QEMU's own figure, bytes */
} RateSample;

enum { RATE_SPANS = 2 };

typedef struct LineRate {
        RateSample last;
        bool begun;
        double bytes[RATE_SPANS], ms[RATE_SPANS]; /* of about the last second, and of the last four */
        double peak;                              /* QEMU's figure at its highest, which fades */
} LineRate;

/* There are new figures. Times in which there was nothing to send say nothing. */
void line_rate_take(LineRate *rate, const RateSample *sample);
/* Bytes a second that the way takes for longer than a moment, the lower where it varies. 0: not known yet. */
uint64_t line_rate_lasting(const LineRate *rate);
/*
 * The bound that QEMU is to be given so that a pause of ms is kept: its own figure for the rate varies, and it stops the guest
 * when it happens to be high. Never more than ms, at least 1.
 */
uint64_t line_rate_bound_ms(const LineRate *rate, uint64_t ms);
