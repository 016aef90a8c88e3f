/*
 * qemu/command-line.c - the arguments of QEMU, in order, and the tools the mapping functions share
 */
#include "base/str.h"
#include "model/device.h"
#include "qemu/command-line-private.h"

#include <stdarg.h>
#include <stdio.h>

/* Tools. */

void line_put(CommandLine *line, const char *text)
{
        vec_push(&line->argv, str_dup(text));
}

void line_put_pair(CommandLine *line, const char *option, const char *fmt, ...)
{
        va_list ap;

        line_put(line, option);
        va_start(ap, fmt);
        vec_push(&line->argv, str_vformat(fmt, ap));
        va_end(ap);
}

void line_put_parts(CommandLine *line, QemuParts *parts)
{
        static const char *const options[] = {
                [QEMU_PART_OBJECT] = "-object",   [QEMU_PART_BLOCKDEV] = "-blockdev", [QEMU_PART_NETDEV] = "-netdev",
                [QEMU_PART_CHARDEV] = "-chardev", [QEMU_PART_DEVICE] = "-device",
        };

        for (size_t i = 0; i < parts->items.len; i++) {
                line_put(line, options[parts->items.items[i].kind]);
                vec_push(&line->argv, TAKE(parts->items.items[i].text));
        }
        qemu_parts_done(parts);
}

int line_put_fd(CommandLine *line, Fd fd)
{
        ChildFd pass = { fd, line->next_fd++ };

        vec_push(&line->fds, pass);
        return pass.at;
}

void command_line_need_file(CommandLine *line, const char *path, bool write)
{
        CommandLineFile file = { .write = write };

        for (size_t i = 0; i < line->files.len; i++) {
                if (str_eq(line->files.items[i].path, path)) {
                        line->files.items[i].write |= write;
                        return;
                }
        }
        file.path = str_dup(path);

        vec_push(&line->files, file);
}

int line_put_log(CommandLine *line, const char *path, bool append)
{
        CommandLineLog log = { str_dup(path), line->next_fd++, append };

        vec_push(&line->logs, log);
        line_put_pair(line, "-add-fd", "set=%d,fd=%d", log.at, log.at);
        return log.at;
}

void qemu_parts_done(QemuParts *parts)
{
        for (size_t i = 0; i < parts->items.len; i++) {
                free(parts->items.items[i].text);
                free(parts->items.items[i].id);
        }
        vec_done(&parts->items);
}

void part_open(JsonWriter *w, const char *kind_key, const char *kind)
{
        json_open_object(w, NULL);
        json_put_text(w, kind_key, kind);
}

void part_text(QemuParts *ret, QemuPartKind kind, char *text, const char *id)
{
        QemuPart part = { kind, text, str_dup(id) };

        vec_push(&ret->items, part);
}

void part_close(JsonWriter *w, QemuParts *ret, QemuPartKind kind, const char *id)
{
        json_close_object(w);
        part_text(ret, kind, json_take(w), id);
}

void put_onoff(JsonWriter *w, const char *key, Switch value)
{
        if (value != SWITCH_DEFAULT)
                json_put_text(w, key, value == SWITCH_ON ? "on" : "off");
}

void put_bool(JsonWriter *w, const char *key, Switch value)
{
        if (value != SWITCH_DEFAULT)
                json_put_bool(w, key, value == SWITCH_ON);
}

void put_u32(JsonWriter *w, const char *key, uint32_t value)
{
        if (value)
                json_put_u64(w, key, value);
}

void put_virtio(JsonWriter *w, const VirtioOptions *options)
{
        put_bool(w, "iommu_platform", options->iommu);
        put_bool(w, "ats", options->ats);
        put_bool(w, "packed", options->packed);
        put_bool(w, "page-per-vq", options->page_per_vq);
}

const char *virtio_driver(const char *base, const char *model, char room[64])
{
        const char *kind = "";

        if (model && str_ends(model, "-non-transitional"))
                kind = "-non-transitional";
        else if (model && str_ends(model, "-transitional"))
                kind = "-transitional";
        snprintf(room, 64, "%s-pci%s", base, kind);
        return room;
}

bool machine_is_q35(const DomainDef *def)
{
        return def->os.machine && strstr(def->os.machine, "q35");
}

const ControllerDef *line_find_controller(const DomainDef *def, ControllerType type, uint32_t index)
{
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                const ControllerDef *c = def->controllers[i];

                if (c->type == type && c->index == index)
                        return c;
        }
        return NULL;
}

char *option_escape(const char *text)
{
        AUTO(Buf) buf = { 0 };

        for (const char *p = text; *p; p++) {
                if (*p == ',')
                        buf_put_char(&buf, ',');
                buf_put_char(&buf, *p);
        }
        return buf.len ? buf_take(&buf) : str_dup("");
}

static int put_pci_bus(JsonWriter *w, const DomainDef *def, const DeviceAddress *a, Error *err)
{
        const ControllerDef *bus = line_find_controller(def, CONTROLLER_TYPE_PCI, a->bus);

        if (a->bus == 0) {
                json_put_text(w, "bus", machine_is_q35(def) ? "pcie.0" : "pci.0");
        } else if (!bus || !bus->info.alias) {
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "no PCI controller has the index %u", a->bus);
        } else if (bus->model &&
                   (str_starts(bus->model, "pcie-expander") || str_starts(bus->model, "pci-expander"))) {
                json_put_format(w, "bus", "%s.0", bus->info.alias);
        } else {
                json_put_text(w, "bus", bus->info.alias);
        }
        put_bool(w, "multifunction", a->multifunction);
        if (a->function)
                json_put_format(w, "addr", "0x%x.0x%x", a->slot, a->function);
        else
                json_put_format(w, "addr", "0x%x", a->slot);
        return 0;
}

static int put_usb_bus(JsonWriter *w, const DomainDef *def, const DeviceAddress *a, Error *err)
{
        const ControllerDef *usb = line_find_controller(def, CONTROLLER_TYPE_USB, a->bus);

        if (!usb || !usb->info.alias)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "no USB controller has the index %u", a->bus);
        json_put_format(w, "bus", "%s.0", usb->info.alias);
        json_put_text(w, "port", a->port);
        return 0;
}

static int put_serial_bus(JsonWriter *w, const DomainDef *def, const DeviceAddress *a, Error *err)
{
        const ControllerDef *c = line_find_controller(def, CONTROLLER_TYPE_VIRTIO_SERIAL, a->controller);
        uint32_t port;

        if (!c || !c->info.alias)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "no virtio-serial controller has the index %u",
                               a->controller);
        json_put_format(w, "bus", "%s.%u", c->info.alias, a->bus);
        if (a->port && str_to_u32(a->port, &port) == 0)
                json_put_u64(w, "nr", port);
        return 0;
}

/* Drives put their own buses: see command-line-disk.c. */
static int put_address(JsonWriter *w, const DomainDef *def, const DeviceInfo *info, Error *err)
{
        const DeviceAddress *a = info->address;

        put_u32(w, "acpi-index", info->acpi_index);
        switch (a ? a->type : ADDRESS_TYPE_UNSET) {
        case ADDRESS_TYPE_PCI:
                return put_pci_bus(w, def, a, err);
        case ADDRESS_TYPE_USB:
                return put_usb_bus(w, def, a, err);
        case ADDRESS_TYPE_VIRTIO_SERIAL:
                return put_serial_bus(w, def, a, err);
        case ADDRESS_TYPE_CCID:
                json_put_format(w, "bus", "ccid%u.0", a->controller);
                return 0;
        case ADDRESS_TYPE_ISA:
                put_u32(w, "iobase", a->iobase);
                put_u32(w, "irq", a->irq);
                return 0;
        default:
                return 0;
        }
}

int part_open_device(JsonWriter *w, const char *driver, const DomainDef *def, const DeviceInfo *info, Error *err)
{
        part_open(w, "driver", driver);
        json_put_text(w, "id", info->alias);
        return put_address(w, def, info, err);
}

/* The whole. */

static int put_parts_of(const DomainDef *def, DeviceKind kind, CommandLine *line, Error *err)
{
        for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                AUTO(QemuParts) parts = { 0 };

                if (qemu_device_parts(def, kind, domain_def_device(def, kind, i), &parts, err) < 0)
                        return -1;
                line_put_parts(line, &parts);
        }
        return 0;
}

/* PCI controllers first, in the order of their numbers: every other device sits on one of them. */
static int put_controllers(const DomainDef *def, CommandLine *line, Error *err)
{
        for (int pci = 1; pci >= 0; pci--) {
                for (uint32_t i = 0; i < def->n_controllers; i++) {
                        AUTO(QemuParts) parts = { 0 };

                        if ((def->controllers[i]->type == CONTROLLER_TYPE_PCI) != pci)
                                continue;
                        if (qemu_device_parts(def, DEVICE_CONTROLLER, def->controllers[i], &parts, err) < 0)
                                return -1;
                        line_put_parts(line, &parts);
                }
        }
        return 0;
}

static void put_head(const CommandLineSpec *spec, CommandLine *line)
{
        AUTOFREE char *name = option_escape(spec->def->name);

        line_put(line, qemu_caps_binary(spec->caps));
        line_put_pair(line, "-name", "guest=%s,debug-threads=on", name);
        if (!spec->runs_when_arrived)
                line_put(line, "-S");
        line_put(line, "-no-user-config");
        line_put(line, "-nodefaults");
        line_put_pair(line, "-display", "none");
}

static void put_monitor(const CommandLineSpec *spec, CommandLine *line)
{
        char uuid[UUID_TEXT_LEN + 1];

        line_put_pair(line, "-uuid", "%s", uuid_format(&spec->def->uuid, uuid));
        if (spec->def->has_genid)
                line_put_pair(line, "-device", "{\"driver\":\"vmgenid\",\"guid\":\"%s\",\"id\":\"vmgenid0\"}",
                              uuid_format(&spec->def->genid, uuid));
        line_put_pair(line, "-chardev", "socket,id=charmonitor,fd=%d,server=on,wait=off", COMMAND_LINE_MONITOR_FD);
        line_put_pair(line, "-mon", "chardev=charmonitor,id=monitor,mode=control");
}

const char *command_line_reboot_action(const DomainDef *def)
{
        return def->on_reboot != LIFECYCLE_ACTION_RESTART && def->on_reboot != LIFECYCLE_ACTION_UNSET &&
                               def->on_reboot != LIFECYCLE_ACTION_RENAME_RESTART
                       ? "shutdown"
                       : "reset";
}

static void put_actions(const CommandLineSpec *spec, CommandLine *line)
{
        const DomainDef *def = spec->def;

        line_put(line, "-no-shutdown");
        line_put_pair(line, "-action", "panic=pause");
        if (!str_eq(command_line_reboot_action(def), "reset"))
                line_put_pair(line, "-action", "reboot=%s", command_line_reboot_action(def));
        if (def->n_watchdogs > 0) {
                WatchdogAction action = def->watchdogs[0]->action;
                const char *word = watchdog_action_text(action) ?: "reset";

                /* QEMU cannot dump by itself: it stops, and we dump */
                line_put_pair(line, "-action", "watchdog=%s", action == WATCHDOG_ACTION_DUMP ? "pause" : word);
        }
}

static void put_tail(const CommandLineSpec *spec, CommandLine *line)
{
        const QemuCommandlineDef *more = spec->def->qemu_commandline;

        if (spec->incoming)
                line_put_pair(line, "-incoming", "%s", spec->incoming);
        line_put_pair(line, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
        line_put_pair(line, "-msg", "timestamp=on");
        for (uint32_t i = 0; more && i < more->n_args; i++)
                line_put(line, more->args[i]->value);
        vec_push(&line->argv, NULL);

        vec_push(&line->env, str_dup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
        vec_push(&line->env, str_dup("LANG=C"));
        vec_push(&line->env, str_format("HOME=%s", spec->guest_dir));
        for (uint32_t i = 0; more && i < more->n_envs; i++)
                vec_push(&line->env, str_format("%s=%s", more->envs[i]->name, more->envs[i]->value ?: ""));
        if (spec->def->clock.offset == CLOCK_OFFSET_TIMEZONE)
                vec_push(&line->env, str_format("TZ=%s", spec->def->clock.timezone));
        vec_push(&line->env, NULL);
}

static int put_iothreads(const CommandLineSpec *spec, CommandLine *line)
{
        for (uint32_t i = 0; i < spec->def->n_iothreads; i++)
                line_put_pair(line, "-object", "{\"qom-type\":\"iothread\",\"id\":\"iothread%u\"}",
                              spec->def->iothreads[i]->id);
        return 0;
}

int command_line_build(const CommandLineSpec *spec, CommandLine *ret, Error *err)
{
        /* the order matters: what is named must stand before what names it */
        static const DeviceKind others[] = { DEVICE_INPUT, DEVICE_SOUND,      DEVICE_WATCHDOG, DEVICE_MEMBALLOON,
                                             DEVICE_RNG,   DEVICE_PANIC,      DEVICE_VSOCK,    DEVICE_HOSTDEV,
                                             DEVICE_TPM,   DEVICE_FILESYSTEM, DEVICE_SMARTCARD };
        AUTO(CommandLine) line = { .next_fd = COMMAND_LINE_MONITOR_FD + 1 };

        if (fields_check_met(&domain_def_info, spec->def, err) < 0)
                return -1;
        put_head(spec, &line);
        if (command_line_machine(spec, &line, err) < 0 || command_line_cpu(spec, &line, err) < 0 ||
            command_line_memory(spec, &line, err) < 0 || put_iothreads(spec, &line) < 0)
                return -1;
        put_monitor(spec, &line);
        if (command_line_clock(spec, &line, err) < 0)
                return -1;
        put_actions(spec, &line);
        if (command_line_boot(spec, &line, err) < 0 || put_parts_of(spec->def, DEVICE_IOMMU, &line, err) < 0 ||
            put_controllers(spec->def, &line, err) < 0 || put_parts_of(spec->def, DEVICE_HUB, &line, err) < 0 ||
            command_line_disks(spec, &line, err) < 0 || command_line_interfaces(spec, &line, err) < 0 ||
            command_line_chardevs(spec, &line, err) < 0 || command_line_graphics(spec, &line, err) < 0)
                return -1;
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
                if (put_parts_of(spec->def, others[i], &line, err) < 0)
                        return -1;
        }
        put_tail(spec, &line);
        if (line.next_fd > COMMAND_LINE_MOST_FD)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the guest '%s' needs %d descriptors, more than %d",
                               spec->def->name, line.next_fd, COMMAND_LINE_MOST_FD);
        *ret = line;
        line = (CommandLine){ 0 };
        return 0;
}

void command_line_done(CommandLine *line)
{
        for (size_t i = 0; i < line->argv.len; i++)
                free(line->argv.items[i]);
        for (size_t i = 0; i < line->env.len; i++)
                free(line->env.items[i]);
        for (size_t i = 0; i < line->files.len; i++)
                free(line->files.items[i].path);
        for (size_t i = 0; i < line->copies.len; i++) {
                free(line->copies.items[i].from);
                free(line->copies.items[i].to);
                free(line->copies.items[i].beside);
        }
        for (size_t i = 0; i < line->logs.len; i++)
                free(line->logs.items[i].path);
        vec_done(&line->argv);
        vec_done(&line->env);
        vec_done(&line->fds);
        vec_done(&line->files);
        vec_done(&line->copies);
        vec_done(&line->logs);
}
