#pragma once
/*
 * app/drover/cpulist.h - sets of host CPUs, as "0-3,^2,7" and as the wire's bitmaps
 */
#include "app/drover/session.h"

typedef struct CpuMap {
        uint8_t *bits; /* the first CPU is bit 0 of byte 0 */
        uint32_t n_bytes;
        uint32_t n_cpus;
} CpuMap;

/* How many CPUs the host has, as node_get_cpu_map tells (node_get_info where that is not there). */
int cpulist_host_cpus(Session *s, uint32_t *ret, Error *err);
/* "r" stands for all. The bits are the arena's. */
int cpulist_parse(Arena *arena, const char *text, uint32_t n_cpus, CpuMap *ret, Error *err);
/* "0-3,7"; owned. */
char *cpulist_format(const uint8_t *bits, uint32_t n_bytes, uint32_t n_cpus);
bool cpulist_has(const uint8_t *bits, uint32_t n_bytes, uint32_t cpu);
