#pragma once
/*
 * qemu/command-line.h - from a definition to the arguments of QEMU
 *
 * The definition is complete: every device has its alias and address (model/complete.h). Nothing here
 * touches the host; what was opened for this run comes in through the CommandLineSpec.
 */
#include "base/fd.h"
#include "base/vec.h"
#include "loop/child.h"
#include "model/domain.h"
#include "qemu/qemu-caps.h"

enum {
        COMMAND_LINE_MONITOR_FD = 3, /* the listening monitor socket, in QEMU */
        COMMAND_LINE_MOST_FD = 54,   /* descriptors in QEMU are below this */
        COMMAND_LINE_MOST_QUEUES = 16,
};

/* What was opened for one interface; stays the caller's. */
typedef struct NicFds {
        Fd taps[COMMAND_LINE_MOST_QUEUES], vhosts[COMMAND_LINE_MOST_QUEUES];
        size_t n_taps, n_vhosts;
} NicFds;

/* The key of an encrypted disk, in a descriptor that QEMU reads from the start; both stay the caller's. */
typedef struct DiskKeyFd {
        char *id; /* qemu_disk_key() */
        Fd fd;
} DiskKeyFd;

typedef struct CommandLineSpec {
        const DomainDef *def;
        const QemuCaps *caps;
        const char *guest_dir;    /* sockets of channels are made here */
        const char *firmware_dir; /* NULL: /usr/share/OVMF */
        const DiskKeyFd *keys;    /* one for each encrypted disk */
        size_t n_keys;
        const NicFds *nics;   /* one for each interface of the definition; those of type user are not looked at */
        bool dump_guest_core; /* where the definition does not say: its memory is in a core dump of QEMU */
        bool reset_nvram;     /* the firmware's variables begin anew */
        const char *incoming; /* "defer" or an address: wait for a migration; NULL: boot */
        /*
         * ... and run when all of it is here. QEMU is not told so by `cont`: that would open the disks at once, which
         * the source still writes.
         */
        bool runs_when_arrived;
        int64_t now;    /* seconds since 1970 for <clock offset='variable'>; 0: the clock's */
        bool force_tcg; /* KVM was asked for, but is known to be unusable */
} CommandLineSpec;

/* A file that QEMU opens by path: its user must be able to. */
typedef struct CommandLineFile {
        char *path;
        bool write;
} CommandLineFile;

/* A file that is made from another before QEMU starts. */
typedef struct CommandLineCopy {
        char *from, *to, *beside; /* written beside first, then renamed */
        bool always;              /* also when `to` is there */
} CommandLineCopy;

/* Output that goes through the capped logger: QEMU writes to descriptor `at`. */
typedef struct CommandLineLog {
        char *path;
        int at;
        bool append;
} CommandLineLog;

typedef struct CommandLine {
        VEC(char *) argv; /* ends with NULL */
        VEC(char *) env;  /* NAME=VALUE, ends with NULL */
        VEC(ChildFd) fds; /* without the monitor and the logs */
        VEC(CommandLineFile) files;
        VEC(CommandLineCopy) copies;
        VEC(CommandLineLog) logs;
        int next_fd;
} CommandLine;

int command_line_build(const CommandLineSpec *spec, CommandLine *ret, Error *err);
/* One more file that QEMU will open, and whether it writes to it. */
void command_line_need_file(CommandLine *line, const char *path, bool write);
void command_line_done(CommandLine *line);

/* One thing QEMU is given, at its start or while it runs. */
typedef enum QemuPartKind {
        QEMU_PART_OBJECT,
        QEMU_PART_BLOCKDEV,
        QEMU_PART_NETDEV,
        QEMU_PART_CHARDEV,
        QEMU_PART_DEVICE,
} QemuPartKind;

typedef struct QemuPart {
        QemuPartKind kind;
        char *text; /* JSON; a chardev on the command line: the value of -chardev */
        char *id;   /* by which it is removed again: node-name, id */
} QemuPart;

typedef struct QemuParts {
        VEC(QemuPart) items;
} QemuParts;

/* The parts of one device, in the order in which they are added. Used by the command line and by hotplug. */
int qemu_disk_parts(const DomainDef *def, const DiskDef *disk, QemuParts *ret, Error *err);
/* fds: names by which QEMU knows the descriptors (getfd) or their numbers; the netdev is <alias> with "host" before. */
int qemu_interface_parts(const DomainDef *def, const InterfaceDef *nic, const char *tap_fds, const char *vhost_fds,
                         QemuParts *ret, Error *err);
int qemu_controller_parts(const DomainDef *def, const ControllerDef *controller, QemuParts *ret, Error *err);
/*
 * A serial port, console or channel for a guest that runs; the chardev's text is the arguments of chardev-add. own_path:
 * the socket of a channel whose definition names none; NULL: it must name one.
 */
int qemu_chardev_parts(const DomainDef *def, DeviceKind kind, const ChardevDef *c, const char *own_path,
                       QemuParts *ret, Error *err);
/* Any other device that can be plugged in. */
int qemu_device_parts(const DomainDef *def, DeviceKind kind, const void *device, QemuParts *ret, Error *err);
void qemu_parts_done(QemuParts *parts);

/* false: it is a drive that is empty */
bool qemu_disk_has_medium(const DiskDef *disk);
/* Name of the node the guest's device reads, and of the one that opens the file. Owned; NULL: the drive is empty. */
char *qemu_disk_node(const DomainDef *def, const DiskDef *disk);
char *qemu_disk_file_node(const DomainDef *def, const DiskDef *disk);
/* How the disk is encrypted, wherever its definition says so; NULL: it is not. */
const EncryptionDef *qemu_disk_encryption(const DiskDef *disk);
/* The name of the secret object that opens it, owned; NULL: it is not encrypted. */
char *qemu_disk_key(const DomainDef *def, const DiskDef *disk);
/* By which QMP knows the device in commands and statistics (block_set_io_throttle, query-blockstats). Owned. */
char *qemu_disk_qdev(const DiskDef *disk);
/* A guest that boots by UEFI and has no file for its variables gets one in this directory. */
void qemu_complete_firmware(DomainDef *def, const char *nvram_dir);
/* Give each disk source of a definition that is about to run its number; those with one keep it. */
void qemu_number_sources(DomainDef *def);

/* What QEMU does by itself when the guest reboots: "reset", or "shutdown", and then we do what on_reboot says. */
const char *command_line_reboot_action(const DomainDef *def);

DEFINE_AUTO_VALUE(CommandLine, command_line_done)
DEFINE_AUTO_VALUE(QemuParts, qemu_parts_done)
