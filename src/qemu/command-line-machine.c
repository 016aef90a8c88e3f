/*
 * qemu/command-line-machine.c - machine, processors, memory, firmware and boot
 */
#include "base/bitmap.h"
#include "base/str.h"
#include "qemu/command-line-private.h"

#include <inttypes.h>

#define FIRMWARE_DIR "/usr/share/OVMF"

static const char *switch_text(Switch value)
{
        return value == SWITCH_ON ? "on" : "off";
}

static void put_switch(Buf *buf, const char *name, Switch value)
{
        if (value != SWITCH_DEFAULT)
                buf_format(buf, ",%s=%s", name, switch_text(value));
}

static bool uses_pflash(const OsDef *os)
{
        return os->loader_type == LOADER_TYPE_PFLASH || os->firmware == FIRMWARE_EFI;
}

static bool timer_is(const ClockDef *clock, TimerName name, Switch present)
{
        for (uint32_t i = 0; i < clock->n_timers; i++) {
                if (clock->timers[i]->name == name && clock->timers[i]->present == present)
                        return true;
        }
        return false;
}

static int put_accel(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        const DomainDef *def = spec->def;
        const KvmFeaturesDef *kvm = def->features.kvm;

        if (def->type == DOMAIN_TYPE_KVM && !qemu_caps_has_kvm(spec->caps) && !spec->force_tcg)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "the guest '%s' wants KVM, which this host does not give: check /dev/kvm, or use "
                               "<domain type='qemu'>",
                               def->name);
        if (def->type != DOMAIN_TYPE_KVM || spec->force_tcg)
                line_put_pair(line, "-accel", "tcg");
        else if (kvm && kvm->dirty_ring == SWITCH_ON)
                line_put_pair(line, "-accel", "kvm,dirty-ring-size=%u", kvm->dirty_ring_size);
        else
                line_put_pair(line, "-accel", "kvm");
        return 0;
}

int command_line_machine(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        const DomainDef *def = spec->def;
        const FeaturesDef *f = &def->features;
        const QemuMachine *machine = qemu_caps_find_machine(spec->caps, def->os.machine);
        AUTO(Buf) value = { 0 };

        if (!machine)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "%s knows no machine '%s'", qemu_caps_binary(spec->caps),
                               def->os.machine);
        if (def->vcpus_max > machine->most_cpus)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the machine '%s' has at most %u CPUs", machine->name,
                               machine->most_cpus);
        buf_format(&value, "%s,usb=off", machine->name);
        buf_format(&value, ",dump-guest-core=%s",
                   def->memory_dump_core == SWITCH_DEFAULT ? spec->dump_guest_core ? "on" : "off"
                   : def->memory_dump_core == SWITCH_ON    ? "on"
                                                           : "off");
        put_switch(&value, "vmport", f->vmport);
        put_switch(&value, "smm", f->smm);
        if (f->ioapic_driver == IOAPIC_DRIVER_QEMU)
                buf_put_text(&value, ",kernel_irqchip=split");
        if (uses_pflash(&def->os)) {
                buf_put_text(&value, ",pflash0=pflash0");
                if (def->os.loader_stateless != SWITCH_ON)
                        buf_put_text(&value, ",pflash1=pflash1");
        }
        if (!f->acpi)
                buf_put_text(&value, ",acpi=off");
        if (timer_is(&def->clock, TIMER_NAME_HPET, SWITCH_OFF))
                buf_put_text(&value, ",hpet=off");
        if (def->memory_backing && def->memory_backing->nosharepages)
                buf_put_text(&value, ",mem-merge=off");
        if (!def->cpu || def->cpu->n_cells == 0)
                buf_put_text(&value, ",memory-backend=pc.ram");
        line_put_pair(line, "-machine", "%s", buf_text(&value));
        return put_accel(spec, line, err);
}

/* -cpu. */

static void put_hyperv(const HypervDef *h, Buf *value)
{
        const struct {
                Switch state;
                const char *name;
        } rows[] = {
                { h->relaxed, "hv-relaxed" },
                { h->vapic, "hv-vapic" },
                { h->vpindex, "hv-vpindex" },
                { h->vp_runtime, "hv-runtime" },
                { h->synic, "hv-synic" },
                { h->stimer, "hv-stimer" },
                { h->stimer_direct, "hv-stimer-direct" },
                { h->reset, "hv-reset" },
                { h->frequencies, "hv-frequencies" },
                { h->reenlightenment, "hv-reenlightenment" },
                { h->tlbflush, "hv-tlbflush" },
                { h->ipi, "hv-ipi" },
                { h->evmcs, "hv-evmcs" },
                { h->avic, "hv-avic" },
        };

        if (h->mode == HYPERV_MODE_PASSTHROUGH)
                buf_put_text(value, ",hv-passthrough=on");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (rows[i].state == SWITCH_ON)
                        buf_format(value, ",%s=on", rows[i].name);
        }
        if (h->spinlocks == SWITCH_ON)
                buf_format(value, ",hv-spinlocks=0x%x", h->spinlocks_retries ?: 0xffffffffu);
        if (h->vendor_id == SWITCH_ON && h->vendor_id_value) {
                AUTOFREE char *vendor = option_escape(h->vendor_id_value);

                buf_format(value, ",hv-vendor-id=%s", vendor);
        }
}

static void put_cpu_features(const CpuDef *cpu, Buf *value)
{
        for (uint32_t i = 0; i < cpu->n_features; i++) {
                const CpuFeatureDef *f = cpu->features[i];
                bool off = f->policy == CPU_POLICY_DISABLE || f->policy == CPU_POLICY_FORBID;

                buf_format(value, ",%s=%s", f->name, off ? "off" : "on");
        }
        if (cpu->model_vendor_id)
                buf_format(value, ",vendor=%s", cpu->model_vendor_id);
        if (cpu->cache_mode == CPU_CACHE_MODE_PASSTHROUGH)
                buf_put_text(value, ",host-cache-info=on,l3-cache=off");
        else if (cpu->cache_mode == CPU_CACHE_MODE_EMULATE)
                buf_put_text(value, ",l3-cache=on");
        else if (cpu->cache_mode == CPU_CACHE_MODE_DISABLE)
                buf_put_text(value, ",host-cache-info=off,l3-cache=off");
        if (cpu->maxphysaddr_mode == CPU_ADDR_MODE_PASSTHROUGH)
                buf_put_text(value, ",host-phys-bits=on");
        else if (cpu->maxphysaddr_bits)
                buf_format(value, ",phys-bits=%u", cpu->maxphysaddr_bits);
}

/* They stand among options that a comma divides, and there QEMU knows no way to mean a comma. */
static int check_cpu_words(const CpuDef *cpu, Error *err)
{
        const char *wrong = NULL, *words[] = { cpu->model, cpu->model_vendor_id };

        for (size_t i = 0; i < ARRAY_LEN(words) && !wrong; i++)
                wrong = words[i] && strchr(words[i], ',') ? words[i] : NULL;
        for (uint32_t i = 0; i < cpu->n_features && !wrong; i++)
                wrong = strpbrk(cpu->features[i]->name ?: "", ",=") ? cpu->features[i]->name : NULL;
        return wrong ? err_set(err, ERR_CONFIG_UNSUPPORTED, "'%s' cannot be a part of a CPU's description", wrong)
                     : 0;
}

static int put_cpu_model(const CommandLineSpec *spec, Buf *value, Error *err)
{
        const CpuDef *cpu = spec->def->cpu;
        bool kvm = spec->def->type == DOMAIN_TYPE_KVM && !spec->force_tcg;

        switch (cpu ? cpu->mode : CPU_MODE_UNSET) {
        case CPU_MODE_HOST_PASSTHROUGH:
                if (!kvm)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "the guest '%s' wants the host's CPU, which only KVM can give; use "
                                       "<cpu mode='maximum'>",
                                       spec->def->name);
                buf_put_text(value, "host");
                put_switch(value, "migratable", cpu->migratable);
                return 0;
        case CPU_MODE_HOST_MODEL:
                buf_put_text(value, kvm ? "host,migratable=on" : "max");
                return 0;
        case CPU_MODE_MAXIMUM:
                buf_put_text(value, "max");
                put_switch(value, "migratable", cpu->migratable);
                return 0;
        default:
                if (cpu && cpu->model)
                        buf_put_text(value, cpu->model);
                return 0;
        }
}

static void put_feature_flags(const FeaturesDef *f, Buf *flags)
{
        put_switch(flags, "pmu", f->pmu);
        put_switch(flags, "kvm-pv-eoi", f->apic_eoi);
        put_switch(flags, "kvm-pv-unhalt", f->pvspinlock);
        if (f->hyperv)
                put_hyperv(f->hyperv, flags);
        if (f->viridian)
                buf_put_text(flags, ",hv-relaxed=on,hv-vapic=on,hv-spinlocks=0x1fff");
        if (!f->kvm)
                return;
        if (f->kvm->hidden == SWITCH_ON)
                buf_put_text(flags, ",kvm=off");
        if (f->kvm->hint_dedicated == SWITCH_ON)
                buf_put_text(flags, ",kvm-hint-dedicated=on");
        put_switch(flags, "kvm-poll-control", f->kvm->poll_control);
        put_switch(flags, "kvm-pv-ipi", f->kvm->pv_ipi);
}

int command_line_cpu(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        const DomainDef *def = spec->def;
        const CpuDef *cpu = def->cpu;
        AUTO(Buf) model = { 0 }, flags = { 0 };
        unsigned now = def->vcpu_current ?: def->vcpus_max;

        if ((cpu && check_cpu_words(cpu, err) < 0) || put_cpu_model(spec, &model, err) < 0)
                return -1;
        if (cpu)
                put_cpu_features(cpu, &flags);
        clock_cpu_flags(&def->clock, &flags);
        put_feature_flags(&def->features, &flags);
        if (model.len || flags.len)
                line_put_pair(line, "-cpu", "%s%s", model.len ? buf_text(&model) : "qemu64", buf_text(&flags));
        if (cpu && cpu->topology_sockets) {
                unsigned dies = cpu->topology_dies ?: 1, cores = cpu->topology_cores ?: 1,
                         threads = cpu->topology_threads ?: 1;

                if (cpu->topology_sockets * dies * cores * threads != def->vcpus_max)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED,
                                       "the CPU topology of '%s' has %u CPUs, but <vcpu> says %u", def->name,
                                       cpu->topology_sockets * dies * cores * threads, def->vcpus_max);
                line_put_pair(line, "-smp", "%u,maxcpus=%u,sockets=%u,dies=%u,cores=%u,threads=%u", now,
                              def->vcpus_max, cpu->topology_sockets, dies, cores, threads);
        } else {
                line_put_pair(line, "-smp", "%u,maxcpus=%u,sockets=%u,cores=1,threads=1", now, def->vcpus_max,
                              def->vcpus_max);
        }
        return 0;
}

/* Memory. */

static void put_backend(const CommandLineSpec *spec, CommandLine *line, const char *id, uint64_t kib,
                        MemoryAccess access, int cell)
{
        const MemoryBackingDef *b = spec->def->memory_backing;
        const NumatuneDef *tune = spec->def->numatune;
        bool huge = b && b->hugepages, memfd = huge || (b && b->source_type == MEMORY_SOURCE_TYPE_MEMFD);
        AUTO(JsonWriter) w = { 0 };

        part_open(&w, "qom-type", memfd ? "memory-backend-memfd" : "memory-backend-ram");
        json_put_text(&w, "id", id);
        if (huge) {
                json_put_bool(&w, "hugetlb", true);
                if (b->n_pages > 0)
                        json_put_u64(&w, "hugetlbsize", b->pages[0]->size_kib * 1024);
        }
        if (!access && b)
                access = b->access_mode;
        if (access)
                json_put_bool(&w, "share", access == MEMORY_ACCESS_SHARED);
        if (huge || (b && b->allocation_mode == ALLOCATION_MODE_IMMEDIATE))
                json_put_bool(&w, "prealloc", true);
        json_put_u64(&w, "size", kib * 1024);
        if (tune && tune->memory_nodeset && cell <= 0 && tune->memory_mode != NUMA_MODE_RESTRICTIVE) {
                Bitmap nodes;

                if (bitmap_parse(tune->memory_nodeset, &nodes, NULL) == 0) {
                        json_open_array(&w, "host-nodes");
                        for (int n = bitmap_next(&nodes, -1); n >= 0; n = bitmap_next(&nodes, n))
                                json_put_u64(&w, NULL, (unsigned)n);
                        json_close_array(&w);
                        json_put_text(&w, "policy",
                                      tune->memory_mode == NUMA_MODE_PREFERRED    ? "preferred"
                                      : tune->memory_mode == NUMA_MODE_INTERLEAVE ? "interleave"
                                                                                  : "bind");
                }
        }
        json_close_object(&w);
        line_put_pair(line, "-object", "%s", json_text(&w));
}

static void put_cell(CommandLine *line, const CellDef *cell, unsigned index)
{
        unsigned id = cell->has_id ? cell->id : index;
        AUTO(Buf) cpus = { 0 };
        AUTO_STRLIST ranges = str_split(cell->cpus ?: "", ",");

        for (char **r = ranges; *r; r++)
                buf_format(&cpus, ",cpus=%s", *r);
        line_put_pair(line, "-numa", "node,nodeid=%u%s,memdev=ram-node%u", id, buf_text(&cpus), id);
}

int command_line_memory(const CommandLineSpec *spec, CommandLine *line, Error *err UNUSED)
{
        const DomainDef *def = spec->def;
        const CpuDef *cpu = def->cpu;

        if (def->max_memory)
                line_put_pair(line, "-m", "size=%" PRIu64 "k,slots=%u,maxmem=%" PRIu64 "k", def->memory_kib,
                              def->max_memory->slots, def->max_memory->size_kib);
        else
                line_put_pair(line, "-m", "size=%" PRIu64 "k", def->memory_kib);
        if (!cpu || cpu->n_cells == 0)
                put_backend(spec, line, "pc.ram", def->memory_kib, MEMORY_ACCESS_UNSET, -1);
        for (uint32_t i = 0; cpu && i < cpu->n_cells; i++) {
                unsigned id = cpu->cells[i]->has_id ? cpu->cells[i]->id : i;
                AUTOFREE char *name = str_format("ram-node%u", id);

                put_backend(spec, line, name, cpu->cells[i]->memory_kib, cpu->cells[i]->mem_access, (int)id);
                put_cell(line, cpu->cells[i], i);
        }
        for (uint32_t i = 0; cpu && i < cpu->n_cells; i++) {
                for (uint32_t d = 0; d < cpu->cells[i]->n_distances; d++)
                        line_put_pair(line, "-numa", "dist,src=%u,dst=%u,val=%u",
                                      cpu->cells[i]->has_id ? cpu->cells[i]->id : i, cpu->cells[i]->distances[d]->id,
                                      cpu->cells[i]->distances[d]->value);
        }
        line_put_pair(line, "-overcommit", "mem-lock=%s",
                      def->memory_backing && def->memory_backing->locked ? "on" : "off");
        return 0;
}

/* Firmware and boot. */

static void put_flash(CommandLine *line, const char *path, unsigned unit, bool readonly)
{
        AUTO(QemuParts) parts = { 0 };
        AUTO(JsonWriter) w = { 0 };
        AUTOFREE char *node = str_format("pflash%u", unit), *file = str_format("pflash%u-file", unit);

        part_open(&w, "driver", "file");
        json_put_text(&w, "filename", path);
        json_put_text(&w, "node-name", file);
        json_put_bool(&w, "auto-read-only", true);
        json_put_text(&w, "discard", "unmap");
        part_close(&w, &parts, QEMU_PART_BLOCKDEV, file);
        part_open(&w, "driver", "raw");
        json_put_text(&w, "node-name", node);
        json_put_bool(&w, "read-only", readonly);
        json_put_text(&w, "file", file);
        part_close(&w, &parts, QEMU_PART_BLOCKDEV, node);
        line_put_parts(line, &parts);
        command_line_need_file(line, path, !readonly);
}

void qemu_complete_firmware(DomainDef *def, const char *nvram_dir)
{
        if (uses_pflash(&def->os) && def->os.loader_stateless != SWITCH_ON && !def->os.nvram)
                def->os.nvram = arena_format(domain_def_arena(def), "%s/%s_VARS.fd", nvram_dir, def->name);
}

/* What came with this firmware as its first variables: by Debian's names, a build that enforces nothing yet shares those. */
static char *first_variables(const OsDef *os, const char *dir)
{
        static const char code[] = "OVMF_CODE", enforcing[] = ".secboot.fd";
        const char *name = os->loader ? strrchr(os->loader, '/') : NULL;

        if (!name || !str_starts(name + 1, code))
                return str_format("%s/%s", dir,
                                  os->loader_secure == SWITCH_ON ? "OVMF_VARS_4M.ms.fd" : "OVMF_VARS_4M.fd");
        if (str_ends(name, enforcing))
                return str_format("%.*s/OVMF_VARS%.*s.fd", (int)(name - os->loader), os->loader,
                                  (int)(strlen(name) - strlen(code) - strlen(enforcing) - 1),
                                  name + 1 + strlen(code));
        return str_format("%.*s/OVMF_VARS%s", (int)(name - os->loader), os->loader, name + 1 + strlen(code));
}

/* The variables begin as a copy of what came with the firmware. */
static void put_nvram_copy(const CommandLineSpec *spec, CommandLine *line)
{
        const OsDef *os = &spec->def->os;
        CommandLineCopy copy = {
                .to = str_dup(os->nvram),
                .beside = str_format("%s.new", os->nvram),
                .always = spec->reset_nvram,
        };

        if (os->nvram_template)
                copy.from = str_dup(os->nvram_template);
        else
                copy.from = first_variables(os, spec->firmware_dir ?: FIRMWARE_DIR);
        vec_push(&line->copies, copy);
}

/* Secure boot is worth something only when nobody but the firmware can write to its flash. */
static int protect_flash(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        if (!machine_is_q35(spec->def) || spec->def->features.smm == SWITCH_OFF)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "<loader secure='yes'> needs a 'q35' machine with SMM (<smm state='on'/>)");
        line_put_pair(line, "-global", "driver=cfi.pflash01,property=secure,value=on");
        return 0;
}

static int put_firmware(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        const OsDef *os = &spec->def->os;
        const char *dir = spec->firmware_dir ?: FIRMWARE_DIR;
        AUTOFREE char *standard = str_format(
                "%s/%s", dir, os->loader_secure == SWITCH_ON ? "OVMF_CODE_4M.ms.fd" : "OVMF_CODE_4M.fd");

        if (!uses_pflash(os)) {
                if (os->loader) {
                        line_put_pair(line, "-bios", "%s", os->loader);
                        command_line_need_file(line, os->loader, false);
                }
                return 0;
        }
        if (os->loader_secure == SWITCH_ON && protect_flash(spec, line, err) < 0)
                return -1;
        put_flash(line, os->loader ?: standard, 0, os->loader_readonly != SWITCH_OFF);
        if (os->loader_stateless == SWITCH_ON)
                return 0;
        if (!os->nvram)
                return err_set(err, ERR_CONFIG_UNSUPPORTED,
                               "the guest '%s' boots by UEFI, but has no <nvram> file for its variables",
                               spec->def->name);
        put_nvram_copy(spec, line);
        put_flash(line, os->nvram, 1, false);
        return 0;
}

static void put_kernel(const OsDef *os, CommandLine *line)
{
        const struct {
                const char *option, *path;
        } rows[] = { { "-kernel", os->kernel }, { "-initrd", os->initrd }, { "-dtb", os->dtb } };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (rows[i].path) {
                        line_put_pair(line, rows[i].option, "%s", rows[i].path);
                        command_line_need_file(line, rows[i].path, false);
                }
        }
        if (os->cmdline)
                line_put_pair(line, "-append", "%s", os->cmdline);
}

/* type=1 system, 0 bios, 2 baseboard, 3 chassis: the names of the entries are QEMU's, and no others are let in. */
static void put_smbios(CommandLine *line, unsigned type, SysinfoEntryDef *const *entries, uint32_t n)
{
        AUTO(Buf) value = { 0 };

        for (uint32_t i = 0; i < n; i++) {
                AUTOFREE char *text = option_escape(entries[i]->value ?: "");

                buf_format(&value, ",%s=%s", entries[i]->name, text);
        }
        if (value.len)
                line_put_pair(line, "-smbios", "type=%u%s", type, buf_text(&value));
}

/* Strings have no names; their order is what the guest sees. */
static void put_oem_strings(CommandLine *line, SysinfoEntryDef *const *entries, uint32_t n)
{
        AUTO(Buf) value = { 0 };

        for (uint32_t i = 0; i < n; i++) {
                AUTOFREE char *text = option_escape(entries[i]->value ?: "");

                buf_format(&value, ",value=%s", text);
        }
        if (value.len)
                line_put_pair(line, "-smbios", "type=11%s", buf_text(&value));
}

static void put_sysinfo(const DomainDef *def, CommandLine *line)
{
        for (uint32_t i = 0; i < def->n_sysinfos; i++) {
                const SysinfoDef *s = def->sysinfos[i];

                if (s->type == SYSINFO_TYPE_FWCFG) {
                        for (uint32_t e = 0; e < s->n_entries; e++) {
                                AUTOFREE char *text = option_escape(s->entries[e]->file ?: s->entries[e]->value ?: "");
                                AUTOFREE char *name = option_escape(s->entries[e]->name);

                                if (s->entries[e]->file)
                                        command_line_need_file(line, s->entries[e]->file, false);
                                line_put_pair(line, "-fw_cfg", "name=%s,%s=%s", name,
                                              s->entries[e]->file ? "file" : "string", text);
                        }
                        continue;
                }
                if (def->os.smbios_mode != SMBIOS_MODE_SYSINFO)
                        continue;
                put_smbios(line, 0, s->bios, s->n_bios);
                put_smbios(line, 1, s->system, s->n_system);
                for (uint32_t b = 0; b < s->n_baseboards; b++)
                        put_smbios(line, 2, s->baseboards[b]->entries, s->baseboards[b]->n_entries);
                put_smbios(line, 3, s->chassis, s->n_chassis);
                put_oem_strings(line, s->oem_strings, s->n_oem_strings);
        }
}

/* The place of a floppy drive in the order of boot is a property of its controller. */
static void put_floppy_places(const DomainDef *def, CommandLine *line)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *disk = def->disks[i];
                unsigned place = disk->target_bus == DISK_BUS_FDC ? boot_index_disk(def, disk) : 0;

                if (place)
                        line_put_pair(line, "-global", "isa-fdc.bootindex%c=%u",
                                      disk->info.address && disk->info.address->unit ? 'B' : 'A', place);
        }
}

int command_line_boot(const CommandLineSpec *spec, CommandLine *line, Error *err)
{
        const DomainDef *def = spec->def;
        const char *chip = machine_is_q35(def) ? "ICH9-LPC" : "PIIX4_PM";
        AUTO(Buf) boot = { 0 };

        if (def->pm.suspend_to_mem != SWITCH_DEFAULT)
                line_put_pair(line, "-global", "%s.disable_s3=%d", chip, def->pm.suspend_to_mem == SWITCH_OFF);
        if (def->pm.suspend_to_disk != SWITCH_DEFAULT)
                line_put_pair(line, "-global", "%s.disable_s4=%d", chip, def->pm.suspend_to_disk == SWITCH_OFF);
        if (def->os.bootmenu_enable == SWITCH_ON)
                buf_format(&boot, "menu=on,");
        if (def->os.bootmenu_enable == SWITCH_ON && def->os.has_bootmenu_timeout)
                buf_format(&boot, "splash-time=%u,", def->os.bootmenu_timeout);
        if (def->os.has_bios_reboot_timeout)
                buf_format(&boot, "reboot-timeout=%d,", def->os.bios_reboot_timeout);
        line_put_pair(line, "-boot", "%sstrict=on", buf_text(&boot));
        put_floppy_places(def, line);
        put_kernel(&def->os, line);
        put_sysinfo(def, line);
        return put_firmware(spec, line, err);
}

/* <boot dev=.../> means the first device of its kind. */
static unsigned os_boot_place(const DomainDef *def, BootDevice wanted)
{
        for (uint32_t i = 0; i < def->os.n_boot; i++) {
                if (def->os.boot[i]->dev == wanted)
                        return i + 1;
        }
        return 0;
}

unsigned boot_index_disk(const DomainDef *def, const DiskDef *disk)
{
        BootDevice kind = disk->device == DISK_DEVICE_CDROM    ? BOOT_DEVICE_CDROM
                          : disk->device == DISK_DEVICE_FLOPPY ? BOOT_DEVICE_FD
                                                               : BOOT_DEVICE_HD;

        if (disk->boot_order)
                return disk->boot_order;
        for (uint32_t i = 0; i < def->n_disks; i++) {
                const DiskDef *first = def->disks[i];
                bool same = (first->device == DISK_DEVICE_CDROM) == (disk->device == DISK_DEVICE_CDROM) &&
                            (first->device == DISK_DEVICE_FLOPPY) == (disk->device == DISK_DEVICE_FLOPPY);

                if (same)
                        return first == disk ? os_boot_place(def, kind) : 0;
        }
        return 0;
}

unsigned boot_index_interface(const DomainDef *def, const InterfaceDef *nic)
{
        if (nic->boot_order)
                return nic->boot_order;
        return def->n_interfaces > 0 && def->interfaces[0] == nic ? os_boot_place(def, BOOT_DEVICE_NETWORK) : 0;
}
