/*
 * model/complete-chardevs.c - serial ports, consoles and channels
 *
 * The first console and the first serial port are one device seen twice:
 * whichever is missing is made from the other.
 */
#include "model/complete-internal.h"

#include "base/str.h"

static bool is_serial_console(const ChardevDef *console)
{
        return !console->target_type || str_eq(console->target_type, "serial");
}

/* The lowest number that no port of the list has. */
static uint32_t free_port(ChardevDef *const *list, uint32_t n)
{
        uint32_t port = 0;

        for (uint32_t i = 0; i < n; i++) {
                if (list[i]->has_target_port && list[i]->target_port == port) {
                        port++;
                        i = UINT32_MAX; /* look at all again */
                }
        }
        return port;
}

static void number_ports(ChardevDef *const *list, uint32_t n)
{
        for (uint32_t i = 0; i < n; i++) {
                if (list[i]->has_target_port)
                        continue;
                list[i]->target_port = free_port(list, n);
                list[i]->has_target_port = true;
        }
}

static void copy_host_side(const ChardevDef *from, ChardevDef *to)
{
        to->type = from->type;
        to->tty = from->tty;
        to->source = from->source;
        to->log_file = from->log_file;
        to->log_append = from->log_append;
}

static void pair_console(DomainDef *def)
{
        if (!def->n_serials && def->n_consoles && is_serial_console(def->consoles[0]))
                copy_host_side(def->consoles[0], add_default_device(def, DEVICE_SERIAL));
        if (def->n_serials && !def->n_consoles)
                add_default_device(def, DEVICE_CONSOLE);
        if (def->n_serials && is_serial_console(def->consoles[0])) {
                copy_host_side(def->serials[0], def->consoles[0]);
                def->consoles[0]->target_type = "serial";
        }
}

static void complete_serial(ChardevDef *serial)
{
        if (!serial->target_type)
                serial->target_type = "isa-serial";
        if (serial->target_model)
                return;
        if (str_eq(serial->target_type, "isa-serial"))
                serial->target_model = "isa-serial";
        else if (str_eq(serial->target_type, "pci-serial"))
                serial->target_model = "pci-serial";
        else if (str_eq(serial->target_type, "usb-serial"))
                serial->target_model = "usb-serial";
}

static void complete_channel(ChardevDef *channel)
{
        if (!channel->target_type)
                channel->target_type = "virtio";
        if (!channel->target_name && str_eq(channel->target_type, "virtio") &&
            (channel->type == CHARDEV_TYPE_SPICEVMC || channel->type == CHARDEV_TYPE_QEMU_VDAGENT))
                channel->target_name = "com.redhat.spice.0";
}

void complete_chardevs(DomainDef *def)
{
        pair_console(def);
        for (uint32_t i = 0; i < def->n_consoles; i++) {
                if (!def->consoles[i]->target_type)
                        def->consoles[i]->target_type = i ? "virtio" : "serial";
        }
        for (uint32_t i = 0; i < def->n_serials; i++)
                complete_serial(def->serials[i]);
        for (uint32_t i = 0; i < def->n_channels; i++)
                complete_channel(def->channels[i]);
        number_ports(def->serials, def->n_serials);
        number_ports(def->parallels, def->n_parallels);
        number_ports(def->consoles, def->n_consoles);
}
