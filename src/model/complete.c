/*
 * model/complete.c - from what was written to what will run
 */
#include "model/complete-internal.h"

#include "base/bitmap.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

MachineKind machine_kind(const DomainDef *def)
{
        const char *machine = def->os.machine;

        if (!machine || str_eq(machine, "pc") || str_starts(machine, "pc-i440fx"))
                return MACHINE_I440FX;
        if (str_eq(machine, "q35") || str_starts(machine, "pc-q35"))
                return MACHINE_Q35;
        return str_starts(machine, "pc-") ? MACHINE_I440FX : MACHINE_OTHER;
}

void *add_default_device(DomainDef *def, DeviceKind kind)
{
        void *device = fields_new(def->head.arena, device_lists[kind].of);

        /* The copy that the list gets shares nothing with this one but is equal to it. */
        return domain_def_add_device(def, kind, device);
}

static void complete_identity(DomainDef *def, const CompletionFacts *facts)
{
        if (uuid_is_null(&def->uuid))
                uuid_new_random(&def->uuid);
        if (def->has_genid && uuid_is_null(&def->genid))
                uuid_new_random(&def->genid);
        if (!def->os.arch)
                def->os.arch = arena_dup(def->head.arena, facts->arch ?: "x86_64");
        if (facts->machine)
                def->os.machine = arena_dup(def->head.arena, facts->machine);
        if (!def->emulator && facts->emulator)
                def->emulator = arena_dup(def->head.arena, facts->emulator);
}

static int complete_memory(DomainDef *def, const CompletionFacts *facts, Error *err)
{
        if (def->cpu && def->cpu->n_cells) {
                def->memory_kib = 0;
                for (uint32_t i = 0; i < def->cpu->n_cells; i++) {
                        if (__builtin_add_overflow(def->memory_kib, def->cpu->cells[i]->memory_kib,
                                                   &def->memory_kib) ||
                            def->memory_kib > UINT64_MAX / 1024)
                                return err_set(err, ERR_OVERFLOW, "the memory of all cells is too much");
                }
        }
        if (!def->memory_kib)
                return err_set(err, ERR_XML, "a guest needs memory: 'memory' is 0");
        if (def->memory_kib < facts->memory_min_kib) {
                bool all = !def->current_memory_kib || def->current_memory_kib == def->memory_kib;

                def->memory_kib = facts->memory_min_kib; /* DOM-03 */
                if (all)
                        def->current_memory_kib = def->memory_kib;
        }
        if (!def->current_memory_kib)
                def->current_memory_kib = def->memory_kib;
        if (def->current_memory_kib > def->memory_kib)
                return err_set(err, ERR_XML, "'currentMemory' (%llu KiB) is more than 'memory' (%llu KiB)",
                               (unsigned long long)def->current_memory_kib, (unsigned long long)def->memory_kib);
        if (def->max_memory && def->max_memory->size_kib < def->memory_kib)
                return err_set(err, ERR_XML, "'maxMemory' (%llu KiB) is less than 'memory' (%llu KiB)",
                               (unsigned long long)def->max_memory->size_kib, (unsigned long long)def->memory_kib);
        return 0;
}

/* Cells are numbered, and no CPU is in two of them. */
static int check_cells(CpuDef *cpu, uint32_t n_vcpus, Error *err)
{
        AUTOFREE bool *taken = mem_new_array(bool, (size_t)cpu->n_cells + 1);
        Bitmap all = { 0 };

        for (uint32_t i = 0; i < cpu->n_cells; i++) {
                CellDef *cell = cpu->cells[i];
                Bitmap cpus = { 0 };

                if (!cell->has_id)
                        cell->id = i;
                cell->has_id = true;
                if (cell->id >= cpu->n_cells)
                        return err_set(err, ERR_XML, "cell %u: with %u cells the numbers are 0 to %u", cell->id,
                                       cpu->n_cells, cpu->n_cells - 1);
                if (taken[cell->id])
                        return err_set(err, ERR_XML, "there are two cells with id %u", cell->id);
                taken[cell->id] = true;
                if (cell->cpus && bitmap_parse(cell->cpus, &cpus, err) < 0)
                        return -1;
                for (int n = bitmap_next(&cpus, -1); n >= 0; n = bitmap_next(&cpus, n)) {
                        if ((uint32_t)n >= n_vcpus)
                                return err_set(err, ERR_XML, "cell %u: the guest has no CPU %d", cell->id, n);
                        if (bitmap_has(&all, (unsigned)n))
                                return err_set(err, ERR_XML, "CPU %d is in two cells", n);
                        bitmap_set(&all, (unsigned)n);
                }
        }
        return 0;
}

static int check_features(const CpuDef *cpu, Error *err)
{
        AUTO(Map) *names = cpu->n_features ? map_new() : NULL;

        for (uint32_t i = 0; i < cpu->n_features; i++) {
                if (map_put_text(names, cpu->features[i]->name, names))
                        return err_set(err, ERR_XML, "the CPU feature '%s' is there twice", cpu->features[i]->name);
        }
        return 0;
}

static int complete_cpu(DomainDef *def, Error *err)
{
        CpuDef *cpu = def->cpu;
        uint64_t product;

        if (!cpu)
                return 0;
        if (!cpu->mode && (cpu->model || cpu->match))
                cpu->mode = CPU_MODE_CUSTOM;
        if (cpu->mode == CPU_MODE_CUSTOM && !cpu->match)
                cpu->match = CPU_MATCH_EXACT;
        if (cpu->model_vendor_id && strlen(cpu->model_vendor_id) != 12)
                return err_set(err, ERR_XML, "'cpu/model/@vendor_id' must be 12 characters, not '%s'",
                               cpu->model_vendor_id);
        if (cpu->topology_sockets || cpu->topology_cores || cpu->topology_threads) {
                cpu->topology_sockets = MAX(cpu->topology_sockets, 1U);
                cpu->topology_dies = MAX(cpu->topology_dies, 1U);
                cpu->topology_cores = MAX(cpu->topology_cores, 1U);
                cpu->topology_threads = MAX(cpu->topology_threads, 1U);
                product = (uint64_t)cpu->topology_sockets * cpu->topology_dies * cpu->topology_cores;
                if (product > UINT32_MAX || product * cpu->topology_threads != def->vcpus_max)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "the CPU topology has %llu CPUs, but <vcpu> says %u",
                                       (unsigned long long)(product * cpu->topology_threads), def->vcpus_max);
        }
        return check_features(cpu, err) < 0 ? -1 : check_cells(cpu, def->vcpus_max, err);
}

/* Whether the set had it; now it has it. */
static bool put_number(Map *set, uint32_t number)
{
        return map_put(set, &number, sizeof(number), set);
}

static bool has_number(const Map *set, uint32_t number)
{
        return map_find(set, &number, sizeof(number));
}

/* Every I/O thread has a number, whether it was given or not. */
static int complete_iothreads(DomainDef *def, Error *err)
{
        enum { MOST = 65535 }; /* as <iothreads> can say it, which is written */
        IothreadDef **all;
        uint32_t want = MAX(def->iothread_count, def->n_iothreads), id = 1;
        AUTO(Map) *given = want ? map_new() : NULL;

        for (uint32_t i = 0; i < def->n_iothreads; i++) {
                if (put_number(given, def->iothreads[i]->id))
                        return err_set(err, ERR_XML, "there are two I/O threads with id %u", def->iothreads[i]->id);
        }
        if (want > MOST)
                return err_set(err, ERR_XML, "a guest has at most %d I/O threads, not %u", MOST, want);
        if (want == def->n_iothreads) {
                def->iothread_count = want;
                return 0;
        }
        all = arena_new_array(def->head.arena, IothreadDef *, want);
        for (uint32_t i = 0; i < def->n_iothreads; i++)
                all[i] = def->iothreads[i];
        for (uint32_t i = def->n_iothreads; i < want; i++, id++) {
                while (has_number(given, id))
                        id++;
                all[i] = fields_new(def->head.arena, &iothread_def_info);
                all[i]->id = id;
        }
        def->iothreads = all;
        def->iothread_count = def->n_iothreads = want;
        return 0;
}

static int check_kind(const DomainDef *def, Error *err)
{
        if (def->type == DOMAIN_TYPE_XEN)
                return 0;
        if (def->bootloader || def->bootloader_args)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "<bootloader> is for Xen guests; with type '%s' use <os> with <kernel> or <boot>",
                               domain_type_text(def->type)); /* DOM-11 */
        if (!str_eq(def->os.type, "hvm"))
                return err_set(err, ERR_OS_TYPE, "'%s': a guest of type '%s' has <type>hvm</type>", def->os.type,
                               domain_type_text(def->type));
        if (def->memtune && def->memtune->min_guarantee_kib)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "'memtune/min_guarantee' is not supported by QEMU");
        return 0;
}

static int check_pins(const DomainDef *def, Error *err)
{
        const CputuneDef *tune = def->cputune;
        AUTO(Map) *pinned = NULL, *iothreads = NULL;

        if (!tune || !(tune->n_vcpupins || tune->n_iothreadpins))
                return 0;
        pinned = map_new();
        for (uint32_t i = 0; i < tune->n_vcpupins; i++) {
                if (put_number(pinned, tune->vcpupins[i]->vcpu))
                        return err_set(err, ERR_XML, "virtual CPU %u is pinned twice", tune->vcpupins[i]->vcpu);
        }
        iothreads = map_new();
        for (uint32_t i = 0; i < def->n_iothreads; i++)
                put_number(iothreads, def->iothreads[i]->id);
        for (uint32_t i = 0; i < tune->n_iothreadpins; i++) {
                if (!has_number(iothreads, tune->iothreadpins[i]->iothread))
                        return err_set(err, ERR_XML, "'cputune/iothreadpin': there is no I/O thread %u",
                                       tune->iothreadpins[i]->iothread);
        }
        return 0;
}

int domain_def_complete(DomainDef *def, const CompletionFacts *facts, Error *err)
{
        complete_identity(def, facts);
        if (check_kind(def, err) < 0 || check_unique(def, err) < 0 || complete_memory(def, facts, err) < 0 ||
            complete_cpu(def, err) < 0 || complete_iothreads(def, err) < 0 || check_pins(def, err) < 0 ||
            complete_clock(def, err) < 0 || complete_sysinfo(def, err) < 0 || complete_disks(def, err) < 0 ||
            complete_devices(def, facts, err) < 0)
                return -1;
        if (def->type == DOMAIN_TYPE_XEN)
                return 0;
        complete_chardevs(def);
        complete_controllers(def);
        if (place_on_buses(def, facts, err) < 0 || place_on_pci(def, facts, err) < 0)
                return -1;
        return check_number(def, err); /* with what was added: it is read again at the next start */
}
