/*
 * host/host-cpu.c - this machine's processor in the words of guest definitions
 */
#include "host/host-cpu.h"

#include "host/node.h"

int host_cpu(const char *root, Arena *arena, HostCpu *ret, Error *err)
{
        NodeCpuModel kernel = { 0 };

        if (node_cpu_model(root, arena, &kernel, err) < 0)
                return -1;
        cpu_features_of_kernel(kernel.flags ?: "", &ret->features);
        ret->vendor = cpu_vendor_word(kernel.vendor);
        ret->model = cpu_describe(&ret->features, ret->vendor, false, arena);
        return 0;
}
