#pragma once
/*
 * daemon/agent-vcpus.h - how many processors the guest uses, by its agent
 *
 * For the calls that count virtual CPUs with VIR_DOMAIN_VCPU_GUEST; each as a handler.
 */
#include "daemon/call.h"

int agent_vcpus_set(Call *call, const WireDomain *dom, unsigned count, Error *err);
/* For domain_get_vcpus_flags. */
int agent_vcpus_count(Call *call, const WireDomain *dom, Error *err);
