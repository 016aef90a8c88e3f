#include "test.h"

#include "base/str.h"
#include "model/cpu.h"

static CpuDef *parse(Arena *arena, const char *xml)
{
        AUTO(Error) err = { 0 };
        CpuDef *cpu = NULL;

        if (cpu_def_parse(xml, strlen(xml), arena, &cpu, &err) < 0)
                fail_msg("%s", err.text);
        return cpu;
}

static CpuFeatures set_of(Arena *arena, const char *xml)
{
        CpuFeatures set;

        CHECK_INT(cpu_features_of(parse(arena, xml), &set, NULL), 0);
        return set;
}

#define HOST                                                                                                         \
        "<cpu><arch>x86_64</arch><model>Nehalem</model><vendor>Intel</vendor><microcode version='7'/>"               \
        "<feature name='vmx'/><feature name='aes'/></cpu>"

/* DOM-37 */
TEST(a_wanted_cpu_is_compared_with_the_host)
{
        static const struct {
                const char *xml;
                CpuComparison result;
        } cases[] = {
                { HOST, CPU_IDENTICAL },
                { "<cpu><model>Nehalem</model></cpu>", CPU_SUPERSET },
                { "<cpu match='strict'><model>Nehalem</model></cpu>", CPU_INCOMPATIBLE },
                { "<cpu><model>Conroe</model></cpu>", CPU_SUPERSET },
                { "<cpu><model>Haswell</model></cpu>", CPU_INCOMPATIBLE },
                { "<cpu><model>Nehalem</model><feature policy='require' name='avx'/></cpu>", CPU_INCOMPATIBLE },
                { "<cpu><model>Nehalem</model><feature policy='force' name='avx'/></cpu>", CPU_SUPERSET },
                { "<cpu><model>Nehalem</model><feature policy='optional' name='avx'/></cpu>", CPU_SUPERSET },
                { "<cpu><model>Nehalem</model><feature policy='forbid' name='aes'/></cpu>", CPU_INCOMPATIBLE },
                { "<cpu><model>Nehalem</model><vendor>AMD</vendor></cpu>", CPU_INCOMPATIBLE },
                /* as stock hosts tell of themselves */
                { "<cpu><model>Nehalem</model><feature name='osxsave'/><feature name='hypervisor'/></cpu>",
                  CPU_SUPERSET },
                { "<cpu><model>Nehalem</model><feature policy='force' name='osxsave'/></cpu>", CPU_SUPERSET },
                { "<cpu><model>Nehalem</model><feature policy='require' name='pclmuldq'/></cpu>", CPU_INCOMPATIBLE },
        };
        AUTO(Arena) *arena = arena_new();
        CpuFeatures host = set_of(arena, HOST);

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                CpuComparison result = 77;

                CHECK_INT(cpu_compare(&host, "Intel", parse(arena, cases[i].xml), &result, NULL), 0);
                CHECK_INT(result, cases[i].result);
        }
}

TEST(a_guest_has_what_its_definition_names)
{
        static const struct {
                const char *xml;
                bool sse2, avx; /* Nehalem has the first only */
        } cases[] = {
                { "<cpu mode='custom'><model>Nehalem</model></cpu>", true, false },
                { "<cpu mode='custom'><model>Nehalem</model><feature name='avx'/></cpu>", true, true },
                { "<cpu mode='custom'><model>Nehalem</model><feature policy='optional' name='avx'/></cpu>", true,
                  true },
                { "<cpu mode='custom'><model>Nehalem</model><feature policy='disable' name='sse2'/></cpu>", false,
                  false },
                { "<cpu mode='custom'><model>Abacus</model><feature policy='require' name='avx'/></cpu>", false,
                  true },
                { "<cpu mode='host-passthrough'/>", true, true },
                { "<cpu mode='host-model'><feature policy='forbid' name='avx'/></cpu>", true, false },
                { "<cpu mode='maximum'><feature policy='disable' name='abacus'/></cpu>", true, true },
                { "<cpu><topology sockets='1' cores='2' threads='1'/></cpu>", false, false },
        };
        AUTO(Arena) *arena = arena_new();

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                CpuFeatures set;

                cpu_features_of_guest(parse(arena, cases[i].xml), &set);
                CHECK_INT(cpu_has(&set, (unsigned)cpu_feature_find("sse2")), cases[i].sse2);
                CHECK_INT(cpu_has(&set, (unsigned)cpu_feature_find("avx")), cases[i].avx);
        }
        CHECK_INT(cpu_feature_find("abacus"), -1);
}

TEST(unknown_models_and_features_are_named)
{
        static const char *const cases[][2] = {
                { "<cpu><model>Abacus</model></cpu>", "there is no CPU model 'Abacus'" },
                { "<cpu><model>Nehalem</model><feature name='warp'/></cpu>", "there is no CPU feature 'warp'" },
                { "<cpu mode='host-passthrough'/>", "the CPU definition names no <model>" },
        };
        AUTO(Arena) *arena = arena_new();
        CpuFeatures host = set_of(arena, HOST);

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Error) err = { 0 };
                CpuComparison result;

                CHECK_INT(cpu_compare(&host, "Intel", parse(arena, cases[i][0]), &result, &err), -1);
                CHECK_STR(err.text, cases[i][1]);
        }
}

/* What is common runs on each of them. */
TEST(a_baseline_runs_on_all)
{
        AUTO(Arena) *arena = arena_new();
        CpuDef *cpus[] = {
                parse(arena, "<cpu><model>Haswell</model><vendor>Intel</vendor><feature name='vmx'/></cpu>"),
                parse(arena, HOST), parse(arena, "<cpu><model>SandyBridge</model><vendor>Intel</vendor></cpu>")
        };
        AUTO(Buf) text = { 0 };
        CpuDef *common;

        CHECK_INT(cpu_baseline(cpus, ARRAY_LEN(cpus), false, false, arena, &common, NULL), 0);
        cpu_def_format(common, 0, &text);
        CHECK_STR(buf_text(&text), "<cpu mode='custom' match='exact'>\n  <model fallback='forbid'>Nehalem</model>\n"
                                   "  <vendor>Intel</vendor>\n  <feature policy='require' name='aes'/>\n</cpu>\n");
        for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
                CpuComparison result;
                CpuFeatures host;

                CHECK_INT(cpu_features_of(cpus[i], &host, NULL), 0);
                CHECK_INT(cpu_compare(&host, "Intel", common, &result, NULL), 0);
                CHECK(result != CPU_INCOMPATIBLE);
        }
}

TEST(vendors_do_not_mix)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        CpuDef *cpus[] = { parse(arena, "<cpu><model>Haswell</model></cpu>"),
                           parse(arena, "<cpu><model>EPYC</model></cpu>") };
        CpuDef *common;

        CHECK_INT(cpu_baseline(cpus, 2, false, false, arena, &common, &err), -1);
        CHECK_STR(err.text, "the CPUs are of different vendors: Intel and AMD");
}

/* A set described and read again is the same set. */
TEST(every_model_survives_its_description)
{
        for (size_t i = 0; i < N_CPU_MODELS; i++) {
                AUTO(Arena) *arena = arena_new();
                CpuDef *cpu = cpu_describe(&cpu_models[i].features, cpu_models[i].vendor, true, arena);
                CpuFeatures again;

                CHECK(cpu);
                CHECK_INT(cpu_features_of(cpu, &again, NULL), 0);
                CHECK_MEM(&again, &cpu_models[i].features, sizeof(again));
        }
}

TEST(linux_words_become_features)
{
        AUTO(Arena) *arena = arena_new();
        CpuFeatures some,
                same = set_of(arena, "<cpu><model>486</model><feature name='sse4.1'/><feature name='tsc-deadline'/>"
                                     "<feature name='pclmuldq'/></cpu>");
        CpuFeatures base = set_of(arena, "<cpu><model>486</model></cpu>");

        cpu_features_of_kernel("sse4_1 tsc_deadline_timer pclmulqdq constant_tsc nonsense", &some);
        for (size_t i = 0; i < ARRAY_LEN(some.words); i++)
                CHECK_INT(some.words[i], same.words[i] & ~base.words[i]);
}

/* DOM-37: what stock clients rely on where a definition does not say. */
TEST(what_is_checked_at_a_start_follows_from_the_definition)
{
        static const struct {
                const char *xml;
                CpuCheck tcg, kvm;
        } cases[] = {
                { "<cpu mode='custom'><model>Haswell</model></cpu>", CPU_CHECK_NONE, CPU_CHECK_PARTIAL },
                { "<cpu mode='custom' check='none'><model>Haswell</model></cpu>", CPU_CHECK_NONE, CPU_CHECK_NONE },
                { "<cpu mode='custom' check='full'><model>Haswell</model></cpu>", CPU_CHECK_FULL, CPU_CHECK_FULL },
                { "<cpu mode='host-passthrough'/>", CPU_CHECK_NONE, CPU_CHECK_NONE },
                { "<cpu mode='maximum' check='partial'/>", CPU_CHECK_NONE, CPU_CHECK_NONE },
                { "<cpu mode='maximum' check='full'/>", CPU_CHECK_FULL, CPU_CHECK_FULL },
                { "<cpu mode='host-model' check='partial'/>", CPU_CHECK_PARTIAL, CPU_CHECK_PARTIAL },
                { "<cpu mode='maximum'/>", CPU_CHECK_NONE, CPU_CHECK_NONE },
                { "<cpu mode='host-model'/>", CPU_CHECK_PARTIAL, CPU_CHECK_PARTIAL },
        };

        CHECK_INT(cpu_check_of(NULL, true), CPU_CHECK_NONE);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Arena) *arena = arena_new();
                const CpuDef *cpu = parse(arena, cases[i].xml);

                CHECK_INT(cpu_check_of(cpu, false), cases[i].tcg);
                CHECK_INT(cpu_check_of(cpu, true), cases[i].kvm);
        }
}

TEST(only_what_a_definition_demands_can_be_lacking)
{
        static const struct {
                const char *xml, *lacking;
        } cases[] = {
                { "<cpu mode='custom'><model>Haswell</model></cpu>", "hle, lahf-lm, pclmulqdq" },
                { "<cpu mode='custom'><model>Haswell</model><feature name='hle' policy='optional'/></cpu>",
                  "lahf-lm, pclmulqdq" },
                { "<cpu mode='custom'><model>Haswell</model><feature name='lahf_lm' policy='force'/></cpu>",
                  "hle, pclmulqdq" },
                { "<cpu mode='custom' check='full'><model>Haswell</model><feature name='lahf_lm' policy='force'/></cpu>",
                  "hle, lahf-lm, pclmulqdq" },
                { "<cpu mode='custom'><model>Haswell</model><feature name='vmx-ept' policy='require'/></cpu>",
                  "hle, lahf-lm, vmx-ept, pclmulqdq" },
                { "<cpu mode='custom'><model>Westmere</model><feature name='pclmuldq' policy='optional'/></cpu>",
                  "hle, lahf-lm" },
                { "<cpu mode='host-model'/>", "" },
                { "<cpu mode='host-model'><feature name='pclmuldq' policy='require'/></cpu>", "pclmulqdq" },
                { "<cpu mode='host-model'><feature name='hle' policy='require'/></cpu>", "hle" },
                { "<cpu><topology sockets='1' cores='1' threads='1'/></cpu>", "" },
        };
        char hle[] = "hle", lahf[] = "lahf-lm", ept[] = "vmx-ept", clmul[] = "pclmulqdq";
        char *withheld[] = { hle, lahf, ept, clmul };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Arena) *arena = arena_new();
                AUTO(Buf) lacking = { 0 };

                cpu_list_lacking(parse(arena, cases[i].xml), withheld, ARRAY_LEN(withheld), &lacking);
                CHECK_STR(buf_text(&lacking), cases[i].lacking);
        }
}
