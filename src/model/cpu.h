#pragma once
/*
 * model/cpu.h - what CPUs can do, compared and brought together (DOM-37)
 *
 * A CPU description is a model by name and features added to or taken from it.
 * Here it becomes a set of features, and a set becomes a description again: the
 * largest model that fits inside, and the rest by name.
 */
#include "model/cpu-models.h"
#include "model/domain-def.h"

typedef enum CpuComparison {
        CPU_INCOMPATIBLE = 0,
        CPU_IDENTICAL = 1,
        CPU_SUPERSET = 2, /* the host can do more */
} CpuComparison;

/* A <cpu> alone, as clients send it; what only hosts have (<counter>, <pages>...) is skipped. */
int cpu_def_parse(const char *xml, size_t len, Arena *arena, CpuDef **ret, Error *err);
void cpu_def_format(const CpuDef *cpu, unsigned depth, Buf *ret);

bool cpu_has(const CpuFeatures *set, unsigned feature);
/* What the described CPU has; the error names an unknown model or feature. */
int cpu_features_of(const CpuDef *cpu, CpuFeatures *ret, Error *err);
/* What a guest with this CPU has, where it can be had at all. */
void cpu_features_of_guest(const CpuDef *cpu, CpuFeatures *ret);
int cpu_feature_find(const char *name); /* -1: it is none */
/* What is checked when such a guest starts, also where its definition does not say. */
CpuCheck cpu_check_of(const CpuDef *cpu, bool kvm);
/* Of the features that its accelerator keeps from a guest, in QEMU's spelling, those that this CPU demands: "avx2, sha-ni". */
void cpu_list_lacking(const CpuDef *cpu, char *const *withheld, size_t n, Buf *ret);
/* From Linux's words, separated by blanks; unknown words are not features. */
void cpu_features_of_kernel(const char *flags, CpuFeatures *ret);
/* Whose CPU a model is, with or without QEMU's version of it (-v2): "Intel", or "unknown" as clients know it. */
const char *cpu_model_vendor(const char *name);
const char *cpu_vendor_word(const char *vendor_id); /* "GenuineIntel" -> "Intel"; NULL: unknown */
/* NULL when no model of the vendor (NULL: of any) fits. for_guest: with mode, match and policies. */
CpuDef *cpu_describe(const CpuFeatures *set, const char *vendor, bool for_guest, Arena *arena);

int cpu_compare(const CpuFeatures *host, const char *vendor, const CpuDef *wanted, CpuComparison *ret, Error *err);
/*
 * A guest CPU that runs on all of them. expand: every feature by name, not only those beyond the model. migratable:
 * without features that keep a guest where it is.
 */
int cpu_baseline(CpuDef *const *cpus, size_t n, bool expand, bool migratable, Arena *arena, CpuDef **ret, Error *err);
