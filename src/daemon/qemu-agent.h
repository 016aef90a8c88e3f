#pragma once
/*
 * daemon/qemu-agent.h - the agent in a guest: connected while its channel is there
 */
#include "daemon/call.h"
#include "daemon/qemu-driver.h"
#include "qemu/agent.h"

/* Connect to the agent's channel, if the guest has one. Its run has begun, or was found again. */
void qemu_agent_start(QemuRun *run);
/* The run ends: calls that wait are failed. */
void qemu_agent_stop(QemuRun *run);
void qemu_agent_on_event(QemuRun *run, const QmpEvent *event);
/* The agent of a guest that runs; NULL with err when there is none that could answer. */
AgentClient *qemu_agent(const QemuRun *run, Error *err);
/* How long it is waited for from now on: VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_*, or seconds. Outlives the connection. */
void qemu_agent_set_timeout(QemuRun *run, int seconds);

/* The agent that a call is about; NULL with err. */
AgentClient *qemu_agent_of(const Call *call, const Domain *dom, Error *err);
/* Check flags, find the guest, and run() with its slot held for an agent's command. As a handler. */
int qemu_agent_ask(Call *call, const WireDomain *wire, uint32_t flags, uint32_t known, CallRun *run, Error *err);
