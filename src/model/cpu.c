/*
 * model/cpu.c - what CPUs can do, compared and brought together
 */
#include "model/cpu.h"

#include "base/str.h"

#include <string.h>

int cpu_def_parse(const char *xml, size_t len, Arena *arena, CpuDef **ret, Error *err)
{
        AUTO(XmlDoc) doc = { 0 };
        FieldsReader reader = { .arena = arena, .err = err };
        CpuDef *cpu;

        if (xml_parse(xml, len, "CPU definition", &doc, err) < 0)
                return -1;
        if (!str_eq(doc.root->name, "cpu"))
                return err_set(err, ERR_XML, "(CPU definition) the root element is <%s>, not <cpu>", doc.root->qname);
        cpu = fields_new(arena, &cpu_def_info);
        if (fields_parse(&cpu_def_info, doc.root, cpu, &reader) < 0)
                return -1;
        *ret = cpu;
        return 0;
}

void cpu_def_format(const CpuDef *cpu, unsigned depth, Buf *ret)
{
        fields_format(&cpu_def_info, cpu, "cpu", NULL, depth, 0, ret);
}

bool cpu_has(const CpuFeatures *set, unsigned feature)
{
        return set->words[feature / 64] >> feature % 64 & 1;
}

static void set_feature(CpuFeatures *set, unsigned feature, bool has)
{
        uint64_t bit = UINT64_C(1) << feature % 64;

        if (has)
                set->words[feature / 64] |= bit;
        else
                set->words[feature / 64] &= ~bit;
}

int cpu_feature_find(const char *name)
{
        for (unsigned i = 0; i < N_CPU_FEATURES; i++) {
                if (strcmp(cpu_feature_names[i], name) == 0)
                        return (int)i;
        }
        return -1;
}

/* As clients spell a feature, and as QEMU does. */
static bool is_spelled_alike(const char *a, const char *b)
{
        if (str_eq(a, "pclmuldq") && str_eq(b, "pclmulqdq"))
                return true;
        while (*a && (*a == '_' ? '-' : *a) == (*b == '_' ? '-' : *b)) {
                a++;
                b++;
        }
        return !*a && !*b;
}

CpuCheck cpu_check_of(const CpuDef *cpu, bool kvm)
{
        if (!cpu || cpu->check == CPU_CHECK_NONE || cpu->check == CPU_CHECK_FULL)
                return cpu ? cpu->check : CPU_CHECK_NONE;
        if (cpu->mode == CPU_MODE_HOST_PASSTHROUGH || cpu->mode == CPU_MODE_MAXIMUM)
                return CPU_CHECK_NONE;
        if (cpu->check == CPU_CHECK_PARTIAL)
                return CPU_CHECK_PARTIAL;
        return kvm || cpu->mode == CPU_MODE_HOST_MODEL ? CPU_CHECK_PARTIAL : CPU_CHECK_NONE;
}

/* By name, or as a part of its model; what only QEMU's own models know (vmx-*) nobody can have asked for. */
static bool demands(const CpuDef *cpu, const char *name)
{
        for (uint32_t i = 0; i < cpu->n_features; i++) {
                CpuPolicy policy = cpu->features[i]->policy;

                if (is_spelled_alike(cpu->features[i]->name, name))
                        return policy == CPU_POLICY_REQUIRE || policy == CPU_POLICY_UNSET ||
                               (policy == CPU_POLICY_FORCE && cpu->check == CPU_CHECK_FULL);
        }
        if (!cpu->model || cpu->mode != CPU_MODE_CUSTOM)
                return false;
        for (unsigned i = 0; i < N_CPU_FEATURES; i++) {
                if (is_spelled_alike(cpu_feature_names[i], name))
                        return true;
        }
        return false;
}

void cpu_list_lacking(const CpuDef *cpu, char *const *withheld, size_t n, Buf *ret)
{
        for (size_t i = 0; i < n; i++) {
                if (demands(cpu, withheld[i]))
                        buf_format(ret, "%s%s", ret->len ? ", " : "", withheld[i]);
        }
}

static const CpuModel *find_model(const char *name)
{
        for (size_t i = 0; i < N_CPU_MODELS; i++) {
                if (str_eq(cpu_models[i].name, name))
                        return &cpu_models[i];
        }
        return NULL;
}

const char *cpu_model_vendor(const char *name)
{
        const char *version = strrchr(name, '-');
        AUTOFREE char *plain = version && version[1] == 'v' && version[2] >= '0' && version[2] <= '9'
                                       ? str_dup_n(name, (size_t)(version - name))
                                       : str_dup(name);
        const CpuModel *model = find_model(plain);

        return model ? model->vendor : "unknown";
}

static bool is_subset(const CpuFeatures *set, const CpuFeatures *of)
{
        for (size_t i = 0; i < ARRAY_LEN(set->words); i++) {
                if (set->words[i] & ~of->words[i])
                        return false;
        }
        return true;
}

static unsigned count(const CpuFeatures *set)
{
        unsigned n = 0;

        for (size_t i = 0; i < ARRAY_LEN(set->words); i++)
                n += (unsigned)__builtin_popcountll(set->words[i]);
        return n;
}

static int feature_of(const CpuFeatureDef *feature, Error *err)
{
        int n = cpu_feature_find(feature->name);

        if (n < 0)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "there is no CPU feature '%s'", feature->name);
        return n;
}

/* Stock hosts tell of them, though no guest is given them, or every guest is. */
static bool is_ignored(const CpuFeatureDef *feature)
{
        static const char *const names[] = { "cmt",       "cvt16", "hypervisor", "mbm_local",
                                             "mbm_total", "ospke", "osxsave",    "pconfig" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                if (str_eq(names[i], feature->name))
                        return true;
        }
        return false;
}

int cpu_features_of(const CpuDef *cpu, CpuFeatures *ret, Error *err)
{
        const CpuModel *model = cpu->model ? find_model(cpu->model) : NULL;
        CpuFeatures set = { { 0 } };

        if (!cpu->model)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the CPU definition names no <model>");
        if (!model)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "there is no CPU model '%s'", cpu->model);
        set = model->features;
        for (uint32_t i = 0; i < cpu->n_features; i++) {
                CpuPolicy policy = cpu->features[i]->policy;
                int n;

                if (is_ignored(cpu->features[i]))
                        continue;
                n = feature_of(cpu->features[i], err);
                if (n < 0)
                        return -1;
                if (policy != CPU_POLICY_OPTIONAL)
                        set_feature(&set, (unsigned)n, policy != CPU_POLICY_DISABLE && policy != CPU_POLICY_FORBID);
        }
        *ret = set;
        return 0;
}

void cpu_features_of_guest(const CpuDef *cpu, CpuFeatures *ret)
{
        if (cpu->mode == CPU_MODE_HOST_PASSTHROUGH || cpu->mode == CPU_MODE_HOST_MODEL ||
            cpu->mode == CPU_MODE_MAXIMUM)
                memset(ret, 0xff, sizeof(*ret));
        else if (cpu_features_of(cpu, ret, NULL) < 0)
                *ret = (CpuFeatures){ { 0 } };
        for (uint32_t i = 0; i < cpu->n_features; i++) {
                CpuPolicy policy = cpu->features[i]->policy;
                int n = cpu_feature_find(cpu->features[i]->name);

                if (n >= 0)
                        set_feature(ret, (unsigned)n, policy != CPU_POLICY_DISABLE && policy != CPU_POLICY_FORBID);
        }
}

/* Linux's word for a feature: mostly the same. */
static int kernel_feature(const char *word)
{
        for (size_t i = 0; i < N_CPU_KERNEL_WORDS; i++) {
                if (strcmp(cpu_kernel_words[i].word, word) == 0)
                        return (int)cpu_kernel_words[i].feature;
        }
        return cpu_feature_find(word);
}

void cpu_features_of_kernel(const char *flags, CpuFeatures *ret)
{
        AUTO_STRLIST words = str_split(flags, " \t\n");

        *ret = (CpuFeatures){ { 0 } };
        for (size_t i = 0; words[i]; i++) {
                int n = kernel_feature(words[i]);

                if (n >= 0)
                        set_feature(ret, (unsigned)n, true);
        }
}

const char *cpu_vendor_word(const char *vendor_id)
{
        if (str_eq(vendor_id, "GenuineIntel"))
                return "Intel";
        if (str_eq(vendor_id, "AuthenticAMD"))
                return "AMD";
        return str_eq(vendor_id, "HygonGenuine") ? "Hygon" : NULL;
}

/* The model that says most about the set. */
static const CpuModel *largest_inside(const CpuFeatures *set, const char *vendor)
{
        const CpuModel *best = NULL;

        for (size_t i = 0; i < N_CPU_MODELS; i++) {
                const CpuModel *model = &cpu_models[i];

                if ((vendor && !str_eq(model->vendor, vendor)) || !is_subset(&model->features, set))
                        continue;
                if (!best || count(&model->features) > count(&best->features))
                        best = model;
        }
        return best;
}

static void add_features(CpuDef *cpu, const CpuFeatures *set, bool for_guest, Arena *arena)
{
        cpu->features = arena_new_array(arena, CpuFeatureDef *, count(set));
        for (unsigned i = 0; i < N_CPU_FEATURES; i++) {
                CpuFeatureDef *feature;

                if (!cpu_has(set, i))
                        continue;
                feature = cpu->features[cpu->n_features++] = fields_new(arena, &cpu_feature_def_info);
                feature->name = cpu_feature_names[i];
                feature->policy = for_guest ? CPU_POLICY_REQUIRE : CPU_POLICY_UNSET;
        }
}

CpuDef *cpu_describe(const CpuFeatures *set, const char *vendor, bool for_guest, Arena *arena)
{
        const CpuModel *model = largest_inside(set, vendor);
        CpuFeatures rest = *set;
        CpuDef *cpu;

        if (!model)
                return NULL;
        for (size_t i = 0; i < ARRAY_LEN(rest.words); i++)
                rest.words[i] &= ~model->features.words[i];
        cpu = fields_new(arena, &cpu_def_info);
        cpu->model = model->name;
        cpu->vendor = arena_dup(arena, vendor);
        if (for_guest) {
                cpu->mode = CPU_MODE_CUSTOM;
                cpu->match = CPU_MATCH_EXACT;
                cpu->model_fallback = CPU_FALLBACK_FORBID;
        }
        add_features(cpu, &rest, for_guest, arena);
        return cpu;
}

/* What must not be on the host. */
static int check_forbidden(const CpuFeatures *host, const CpuDef *wanted, bool *ret, Error *err)
{
        *ret = false;
        for (uint32_t i = 0; i < wanted->n_features; i++) {
                int n;

                if (is_ignored(wanted->features[i]))
                        continue;
                n = feature_of(wanted->features[i], err);
                if (n < 0)
                        return -1;
                *ret = *ret || (wanted->features[i]->policy == CPU_POLICY_FORBID && cpu_has(host, (unsigned)n));
        }
        return 0;
}

int cpu_compare(const CpuFeatures *host, const char *vendor, const CpuDef *wanted, CpuComparison *ret, Error *err)
{
        CpuFeatures set;
        bool forbidden;

        /* Features that a guest gets whether the host has them or not need no host. */
        if (cpu_features_of(wanted, &set, err) < 0 || check_forbidden(host, wanted, &forbidden, err) < 0)
                return -1;
        for (uint32_t i = 0; i < wanted->n_features; i++) {
                int n = cpu_feature_find(wanted->features[i]->name);

                if (wanted->features[i]->policy == CPU_POLICY_FORCE && n >= 0)
                        set_feature(&set, (unsigned)n, false);
        }
        if (forbidden || (wanted->vendor && vendor && !str_eq(wanted->vendor, vendor)) || !is_subset(&set, host))
                *ret = CPU_INCOMPATIBLE;
        else if (is_subset(host, &set))
                *ret = CPU_IDENTICAL;
        else
                *ret = wanted->match == CPU_MATCH_STRICT ? CPU_INCOMPATIBLE : CPU_SUPERSET;
        return 0;
}

/* The vendor they share; NULL: none is named. */
static int common_vendor(CpuDef *const *cpus, size_t n, const char **ret, Error *err)
{
        *ret = NULL;
        for (size_t i = 0; i < n; i++) {
                const CpuModel *model = cpus[i]->model ? find_model(cpus[i]->model) : NULL;
                const char *vendor = cpus[i]->vendor ? cpus[i]->vendor : model ? model->vendor : NULL;

                if (*ret && vendor && !str_eq(*ret, vendor))
                        return err_set(err, ERR_OPERATION_FAILED, "the CPUs are of different vendors: %s and %s",
                                       *ret, vendor);
                *ret = *ret ?: vendor;
        }
        return 0;
}

int cpu_baseline(CpuDef *const *cpus, size_t n, bool expand, bool migratable, Arena *arena, CpuDef **ret, Error *err)
{
        CpuFeatures common, one;
        const char *vendor;
        CpuDef *cpu;

        if (!n)
                return err_set(err, ERR_INVALID_ARG, "no CPUs were given");
        if (common_vendor(cpus, n, &vendor, err) < 0)
                return -1;
        memset(&common, 0xff, sizeof(common));
        for (size_t i = 0; i < n; i++) {
                if (cpu_features_of(cpus[i], &one, err) < 0)
                        return -1;
                for (size_t w = 0; w < ARRAY_LEN(common.words); w++)
                        common.words[w] &= one.words[w];
        }
        if (migratable)
                set_feature(&common, (unsigned)cpu_feature_find("invtsc"), false); /* its clock belongs to one host */
        cpu = cpu_describe(&common, vendor, true, arena);
        if (!cpu)
                return err_set(err, ERR_OPERATION_FAILED, "no CPU model is common to all of them");
        if (expand) {
                cpu->n_features = 0;
                add_features(cpu, &common, true, arena);
        }
        *ret = cpu;
        return 0;
}
