/*
 * tests/fuzz/fuzz-domain-xml.c - definitions, devices and CPUs from any bytes
 *
 * What was understood must survive being written and read again, completed or
 * not.
 */
#include "base/str.h"
#include "fuzz.h"
#include "model/complete.h"
#include "model/cpu.h"

static void check_round_trip(const DomainDef *def)
{
        AUTO(DomainDef) *again = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        domain_def_format(def, DEF_FORMAT_SECURE, &one);
        if (domain_def_parse(one.data, one.len, 0, &again, NULL, &err) < 0)
                abort();
        domain_def_format(again, DEF_FORMAT_SECURE, &two);
        if (!str_eq(buf_text(&one), buf_text(&two)))
                abort();
}

static void try_domain(const char *xml, size_t len)
{
        static const CompletionFacts facts = { .emulator = "/usr/bin/qemu" };
        AUTO(DomainDef) *def = NULL;
        AUTO(DomainDef) *copy = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Warnings) warnings = { 0 };

        if (domain_def_parse(xml, len, 0, &def, &warnings, &err) < 0) {
                if (!err_is_set(&err))
                        abort();
                return;
        }
        check_round_trip(def);
        copy = domain_def_copy(def);
        if (domain_def_complete(copy, &facts, &err) < 0)
                return;
        domain_def_assign_aliases(copy);
        check_round_trip(copy);
        if (domain_def_complete(copy, &facts, &err) < 0)
                abort();
}

static void try_device(const char *xml, size_t len)
{
        AUTO(DeviceDef) device = { 0 };
        AUTO(DomainDef) *def = domain_def_new();
        AUTO(Buf) text = { 0 };
        unsigned at;

        if (device_def_parse(xml, len, DEF_PARSE_INACTIVE, &device, NULL, NULL) < 0)
                return;
        device_def_format(device.kind, device.any, 0, 0, &text);
        domain_def_add_device(def, device.kind, device.any);
        if (domain_def_find_device(def, &device, &at, NULL) == 0)
                domain_def_remove_device(def, device.kind, at);
}

static void try_cpu(const char *xml, size_t len)
{
        AUTO(Arena) *arena = arena_new();
        CpuComparison result;
        CpuFeatures set;
        CpuDef *cpu, *common;

        if (cpu_def_parse(xml, len, arena, &cpu, NULL) < 0 || cpu_features_of(cpu, &set, NULL) < 0)
                return;
        if (cpu_compare(&set, cpu->vendor, cpu, &result, NULL) == 0 && result == CPU_SUPERSET && !cpu->n_features)
                abort();
        cpu_baseline(&cpu, 1, true, true, arena, &common, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        try_domain((const char *)data, size);
        try_device((const char *)data, size);
        try_cpu((const char *)data, size);
        return 0;
}
