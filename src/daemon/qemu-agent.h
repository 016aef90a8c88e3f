#pragma once
/*
 * daemon/qemu-agent.h - the agent in a guest: connected while its channel is there
 */
#include "daemon/qemu-driver.h"
#include "qemu/agent.h"

/* Connect to the agent's channel, if the guest has one. Its run has begun, or was found again. */
void qemu_agent_start(QemuRun *run);
/* The run ends: calls that wait are failed. */
void qemu_agent_stop(QemuRun *run);
void qemu_agent_on_event(QemuRun *run, const QmpEvent *event);
/* The agent of a guest that runs; NULL with err when there is none that could answer. */
AgentClient *qemu_agent(const QemuRun *run, Error *err);
