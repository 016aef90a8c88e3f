#pragma once
/*
 * host/host-cpu.h - this machine's processor in the words of guest definitions (DOM-37)
 */
#include "model/cpu.h"

typedef struct HostCpu {
        CpuFeatures features;
        const char *vendor;  /* "Intel"; NULL: not one that definitions name */
        const CpuDef *model; /* as hosts are described; NULL: no model fits */
} HostCpu;

/* root: "" for this machine. What it points to is in arena. */
int host_cpu(const char *root, Arena *arena, HostCpu *ret, Error *err);
