"""facts/agent/*.toml -> qemu/agent.h, qemu/agent.c: the guest agent's commands, typed as those of QMP."""
import gen_qmp


def generate(facts):
    gen_qmp.TYPE, gen_qmp.NAME = "Agent", "agent"
    structs, commands, _ = gen_qmp.load(facts / "agent")
    header = ["#pragma once", "/*", " * qemu/agent.h - the guest agent, typed; generated from facts/agent by tools/gen_agent.py", " *",
              " * Each command returns at once; done() runs on a later turn, exactly once, unless the call is freed",
              " * before (agent_call_free()). What it gets lives until it returns, and is the word of a guest.", " */",
              '#include "qemu/agent-client.h"', '#include "qemu/qmp-call.h"', ""]
    source = ["/* generated from facts/agent by tools/gen_agent.py */", '#include "qemu/agent.h"', ""]
    gen_qmp.wrappers(structs, commands, header, source)
    return {"agent.h": "\n".join(header), "agent.c": "\n".join(source)}
