"""facts/wire/*.toml -> gen/daemon/: a prototype for each procedure that somebody implements, and the table that calls it."""
import gen
from gen_wire_facts import Wire

NOTE = "/* generated from facts/wire by tools/gen_dispatch.py */"


def handled(wire):
    return [row for row in wire.procs if row["runs"] != "none"]


def handlers(wire):
    out = ["#pragma once", NOTE, '#include "base/err.h"', '#include "wire/structs.h"', "", "typedef struct Call Call;", ""]
    for row in handled(wire):
        args = f"const {row['args_struct'].c_name} *args, " if row["args_struct"] else ""
        out += [f"int handle_{row['name']}(Call *call, {args}Error *err); /* {row['runs']}: {gen.origin(row)} */"]
    return out + [""]


def header(_):
    return ["#pragma once", NOTE, '#include "base/err.h"', '#include "wire/proc.h"', "", "typedef struct Call Call;", "",
            "typedef struct Dispatch {", "        const WireProc *proc;",
            "        int (*run)(Call *call, const void *args, Error *err); /* NULL: nobody implements it yet */", "} Dispatch;", "",
            "/* NULL: no such procedure. */",
            "const Dispatch *dispatch_find(uint32_t program, int32_t number);", ""]


def source(wire):
    out = [NOTE, '#include "daemon/dispatch.h"', '#include "daemon/handlers.h"', ""]
    for row in handled(wire):
        args = ", args" if row["args_struct"] else ""
        unused = "" if args else " __attribute__((unused))"
        out += [f"static int run_{row['name']}(Call *call, const void *args{unused}, Error *err)", "{",
                f"        return handle_{row['name']}(call{args}, err);", "}", ""]
    out += ["static const Dispatch dispatches[N_WIRE_PROCS] = {"]
    for i, row in enumerate(wire.procs):
        run = f"run_{row['name']}" if row["runs"] != "none" else "NULL"
        out += [f"        {{ &wire_procs[{i}], {run} }}, /* {row['name']} */"]
    return out + ["};", "", "const Dispatch *dispatch_find(uint32_t program, int32_t number)", "{",
                  "        const WireProc *proc = wire_proc_find(program, number);", "",
                  "        return proc ? &dispatches[wire_proc_index(proc)] : NULL;", "}", ""]


def generate(facts):
    wire = Wire(facts)
    files = {"handlers.h": handlers, "dispatch.h": header, "dispatch.c": source}
    return {name: "\n".join(make(wire)) for name, make in files.items()}
