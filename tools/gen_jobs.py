"""facts/jobs.toml -> daemon/job-types.[ch]: the jobs a guest can be busy with, and what each allows."""
import gen


def constant(name):
    return "JOB_" + name.upper().replace("-", "_")


def generate(facts):
    rows = gen.load(facts / "jobs.toml")["job"]
    header = ["#pragma once", "/* generated from facts/jobs.toml by tools/gen_jobs.py */", "#include <stdbool.h>", "",
              "typedef enum JobType {", "        JOB_NONE,"]
    header += [f"        {constant(r['name'])}, /* {gen.origin(r)} */" for r in rows]
    header += ["        N_JOB_TYPES,", "} JobType;", "", "typedef struct JobTypeInfo {", "        const char *name;",
               "        const char *title;   /* \"the guest is busy with\" this */", "        bool is_long;",
               "        unsigned allows;     /* bits 1 << JobType */", "} JobTypeInfo;", "",
               "extern const JobTypeInfo job_types[N_JOB_TYPES];", ""]
    source = ["/* generated from facts/jobs.toml by tools/gen_jobs.py */", '#include "daemon/job-types.h"', "",
              "const JobTypeInfo job_types[N_JOB_TYPES] = {", "        [JOB_NONE] = { \"none\", \"nothing\", false, ~0U },"]
    for r in rows:
        allows = " | ".join(f"1U << {constant(a)}" for a in r["allows"])
        source.append(f"        [{constant(r['name'])}] = {{ \"{r['name']}\", \"{r['title']}\", "
                      f"{'true' if r['long'] else 'false'}, {allows} }},")
    source += ["};", ""]
    return {"job-types.h": "\n".join(header), "job-types.c": "\n".join(source)}
