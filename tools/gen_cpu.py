"""facts/model/cpu-models.toml -> model/cpu-models.[ch]: CPU models by name, and features as bits."""
import gen

WORDS = 4


def bits(indexes):
    words = [0] * WORDS
    for i in indexes:
        words[i // 64] |= 1 << i % 64
    return "{ { " + ", ".join(f"0x{w:x}" for w in words) + " } }"


def generate(facts):
    data = gen.load(facts / "model" / "cpu-models.toml")
    models = data["model"]
    names = sorted(set(data["others"]).union(*(m["features"].split() for m in models)))
    assert len(names) <= 64 * WORDS, "more features than bits"
    place = {name: i for i, name in enumerate(names)}
    header = ["#pragma once", "/* generated from facts/model/cpu-models.toml by tools/gen_cpu.py */",
              "#include <stddef.h>", "#include <stdint.h>", "",
              "typedef struct CpuFeatures {", f"        uint64_t words[{WORDS}];", "} CpuFeatures;", "",
              "typedef struct CpuModel {", "        const char *name, *vendor;", "        CpuFeatures features;",
              "} CpuModel;", "", "typedef struct CpuKernelWord {", "        const char *word; /* of Linux */",
              "        unsigned feature;", "} CpuKernelWord;", "",
              f"enum {{ N_CPU_FEATURES = {len(names)}, N_CPU_MODELS = {len(models)}, N_CPU_KERNEL_WORDS = {len(data['kernel'])} }};",
              "", "extern const char *const cpu_feature_names[N_CPU_FEATURES];",
              "extern const CpuModel cpu_models[N_CPU_MODELS];",
              "extern const CpuKernelWord cpu_kernel_words[N_CPU_KERNEL_WORDS];", ""]
    source = ["/* generated from facts/model/cpu-models.toml by tools/gen_cpu.py */", '#include "model/cpu-models.h"', "",
              "const char *const cpu_feature_names[N_CPU_FEATURES] = {"]
    source += [f'        "{name}",' for name in names]
    source += ["};", "", "const CpuModel cpu_models[N_CPU_MODELS] = {"]
    for m in models:
        source.append(f'        {{ "{m["name"]}", "{m["vendor"]}", {bits(place[f] for f in m["features"].split())} }}, '
                      f"/* {gen.origin(m)} */")
    source += ["};", "", "const CpuKernelWord cpu_kernel_words[N_CPU_KERNEL_WORDS] = {"]
    source += [f'        {{ "{word}", {place[feature]} }},' for word, feature in data["kernel"].items()]
    source += ["};", ""]
    return {"cpu-models.h": "\n".join(header), "cpu-models.c": "\n".join(source)}
