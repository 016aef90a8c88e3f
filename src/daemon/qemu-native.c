/*
 * daemon/qemu-native.c - the command that starts QEMU, for people to read
 *
 * Made by what makes the real one. What a start opens and QEMU inherits - its monitor, taps, keys of disks - is there
 * by the numbers that the descriptors would have, and is not opened. What only a start hears from a network (its MTU,
 * where that is unusual) is not in it.
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/qemu-keys.h"
#include "daemon/qemu-nic.h"
#include "model/complete.h"

static bool has_taps(const InterfaceDef *nic)
{
        return nic->type == INTERFACE_TYPE_NETWORK || nic->type == INTERFACE_TYPE_BRIDGE ||
               nic->type == INTERFACE_TYPE_ETHERNET || nic->type == INTERFACE_TYPE_DIRECT;
}

static int count_taps(const DomainDef *def, NicFds *ret, Error *err)
{
        for (uint32_t i = 0; i < def->n_interfaces; i++) {
                const InterfaceDef *nic = def->interfaces[i];

                if (nic->queues > COMMAND_LINE_MOST_QUEUES)
                        return err_set(err, ERR_CONFIG_UNSUPPORTED, "an interface has at most %d queues",
                                       COMMAND_LINE_MOST_QUEUES);
                ret[i].n_taps = has_taps(nic) ? MAX(1U, nic->queues) : 0;
                for (size_t q = 0; q < ret[i].n_taps; q++)
                        ret[i].taps[q] = -1;
        }
        return 0;
}

static void name_keys(const DomainDef *def, DiskKeys *ret)
{
        for (uint32_t i = 0; i < def->n_disks; i++) {
                DiskKeyFd key = { qemu_disk_key(def, def->disks[i]), -1 };

                if (key.id)
                        vec_push(&ret->list, key);
        }
}

/* NAME='a value': a name in quotes would be no assignment. */
static void put_variable(const char *variable, Buf *ret)
{
        const char *value = strchr(variable, '=') + 1;

        buf_put(ret, variable, (size_t)(value - variable));
        buf_put_shell_word(ret, value);
}

/* An option with its value in a line. */
static void put_words(const CommandLine *line, Buf *ret)
{
        for (size_t i = 0; line->env.items[i]; i++) {
                put_variable(line->env.items[i], ret);
                buf_put_text(ret, " \\\n");
        }
        for (size_t i = 0; line->argv.items[i]; i++) {
                if (i > 0)
                        buf_put_text(ret, line->argv.items[i][0] == '-' ? " \\\n" : " ");
                buf_put_shell_word(ret, line->argv.items[i]);
        }
        buf_put_char(ret, '\n');
}

int qemu_put_command(QemuDriver *qemu, DomainDef *def, Buf *ret, Error *err)
{
        AUTOFREE char *dir = guest_dir(&qemu->env, &def->uuid);
        AUTOFREE NicFds *nics = mem_new_array(NicFds, MAX(1U, def->n_interfaces));
        AUTO(CommandLine) line = { 0 };
        AUTO(DiskKeys) keys = { 0 };
        CommandLineSpec spec = { .def = def,
                                 .caps = qemu->caps,
                                 .guest_dir = dir,
                                 .nics = nics,
                                 .dump_guest_core = qemu->env.core_dumps };

        if (!qemu->caps)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "there is no command that would start a guest: %s",
                               qemu->no_caps);
        if (qemu_give_ports(qemu->driver, def, err) < 0)
                return -1;
        domain_def_assign_aliases(def);
        qemu_number_sources(def);
        name_keys(def, &keys);
        spec.keys = keys.list.items;
        spec.n_keys = keys.list.len;
        if (count_taps(def, nics, err) < 0 || command_line_build(&spec, &line, err) < 0)
                return -1;
        put_words(&line, ret);
        return 0;
}
