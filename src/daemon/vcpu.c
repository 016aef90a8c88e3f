/*
 * daemon/vcpu.c - the virtual CPUs of a definition, its I/O threads, and where they may run
 */
#include "daemon/vcpu.h"

#include "base/str.h"

unsigned vcpus_plugged(const DomainDef *def)
{
        unsigned n = 0;

        if (!def->n_vcpus)
                return def->vcpu_current ? def->vcpu_current : def->vcpus_max;
        for (uint32_t i = 0; i < def->n_vcpus; i++)
                n += def->vcpus[i]->enabled == SWITCH_ON;
        return n;
}

bool vcpu_is_plugged(const DomainDef *def, unsigned id)
{
        for (uint32_t i = 0; i < def->n_vcpus; i++) {
                if (def->vcpus[i]->id == id)
                        return def->vcpus[i]->enabled == SWITCH_ON;
        }
        return !def->n_vcpus && id < vcpus_plugged(def);
}

VcpuDef *vcpu_find(const DomainDef *def, unsigned id)
{
        for (uint32_t i = 0; i < def->n_vcpus; i++) {
                if (def->vcpus[i]->id == id)
                        return def->vcpus[i];
        }
        return NULL;
}

void vcpus_list(DomainDef *def)
{
        Arena *arena = domain_def_arena(def);
        VcpuDef **all = arena_new_array(arena, VcpuDef *, def->vcpus_max);

        for (uint32_t id = 0; id < def->vcpus_max; id++) {
                all[id] = vcpu_find(def, id);
                if (all[id])
                        continue;
                all[id] = fields_new(arena, &vcpu_def_info);
                *all[id] = (VcpuDef){ .id = id,
                                      .enabled = vcpu_is_plugged(def, id) ? SWITCH_ON : SWITCH_OFF,
                                      .hotpluggable = id ? SWITCH_ON : SWITCH_OFF };
        }
        def->vcpus = all;
        def->n_vcpus = def->vcpus_max;
}

void vcpu_set_plugged(DomainDef *def, unsigned id, bool plugged)
{
        VcpuDef *vcpu = vcpu_find(def, id);

        if (!vcpu)
                return;
        vcpu->enabled = plugged ? SWITCH_ON : SWITCH_OFF;
        def->vcpu_current = vcpus_plugged(def) == def->vcpus_max ? 0 : vcpus_plugged(def);
}

static void parse_pin(const char *cpuset, const DomainDef *def, const Bitmap *host, Bitmap *ret)
{
        if (!cpuset)
                cpuset = def->vcpu_cpuset;
        if (!cpuset || bitmap_parse(cpuset, ret, NULL) < 0)
                *ret = *host;
}

void vcpu_pin(const DomainDef *def, unsigned id, const Bitmap *host, Bitmap *ret)
{
        const char *cpuset = NULL;

        for (uint32_t i = 0; def->cputune && i < def->cputune->n_vcpupins; i++) {
                if (def->cputune->vcpupins[i]->vcpu == id)
                        cpuset = def->cputune->vcpupins[i]->cpuset;
        }
        parse_pin(cpuset, def, host, ret);
}

void emulator_pin(const DomainDef *def, const Bitmap *host, Bitmap *ret)
{
        parse_pin(def->cputune ? def->cputune->emulatorpin : NULL, def, host, ret);
}

void iothread_pin(const DomainDef *def, unsigned id, const Bitmap *host, Bitmap *ret)
{
        const char *cpuset = NULL;

        for (uint32_t i = 0; def->cputune && i < def->cputune->n_iothreadpins; i++) {
                if (def->cputune->iothreadpins[i]->iothread == id)
                        cpuset = def->cputune->iothreadpins[i]->cpuset;
        }
        parse_pin(cpuset, def, host, ret);
}

static bool is_listed(const DomainDef *def, unsigned id)
{
        for (uint32_t i = 0; i < def->n_iothreads; i++) {
                if (def->iothreads[i]->id == id)
                        return true;
        }
        return false;
}

static int by_number(const void *a, const void *b)
{
        unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

        return (x > y) - (x < y);
}

unsigned *iothread_ids(const DomainDef *def, Arena *arena, unsigned *ret_n)
{
        unsigned most = MAX(def->iothread_count, def->n_iothreads), n = 0;
        unsigned *ids = arena_new_array(arena, unsigned, most);

        for (uint32_t i = 0; i < def->n_iothreads; i++)
                ids[n++] = def->iothreads[i]->id;
        /* those that are only counted get the lowest numbers that are free */
        for (unsigned id = 1; n < most; id++) {
                if (!is_listed(def, id))
                        ids[n++] = id;
        }
        if (n)
                qsort(ids, n, sizeof(*ids), by_number);
        *ret_n = n;
        return ids;
}

bool iothread_exists(const DomainDef *def, unsigned id)
{
        AUTO(Arena) *arena = arena_new();
        unsigned n, *ids = iothread_ids(def, arena, &n);

        return n && bsearch(&id, ids, n, sizeof(*ids), by_number);
}
