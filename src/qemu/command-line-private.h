#pragma once
/*
 * qemu/command-line-private.h - how the mapping functions put arguments and parts
 */
#include "base/json-write.h"
#include "qemu/command-line.h"

/* One argument after another; put_pair: an option and its value. */
void line_put(CommandLine *line, const char *text);
void line_put_pair(CommandLine *line, const char *option, const char *fmt, ...) PRINTF(3, 4);
void line_put_parts(CommandLine *line, QemuParts *parts); /* empties parts */
/* Pass a descriptor; returns its number in QEMU. */
int line_put_fd(CommandLine *line, Fd fd);
/* Output to path goes through the logger; returns the descriptor's number in QEMU. */
int line_put_log(CommandLine *line, const char *path, bool append);

/* A JSON object for one part: open, put members, close. */
void part_open(JsonWriter *w, const char *kind_key, const char *kind);
void part_close(JsonWriter *w, QemuParts *ret, QemuPartKind kind, const char *id);
void part_text(QemuParts *ret, QemuPartKind kind, char *text, const char *id);
/* {"driver": driver, "id": alias, "bus": ..., "addr": ...: left open. */
int part_open_device(JsonWriter *w, const char *driver, const DomainDef *def, const DeviceInfo *info, Error *err);
void put_onoff(JsonWriter *w, const char *key, Switch value); /* "on"/"off"; SWITCH_DEFAULT: nothing */
void put_bool(JsonWriter *w, const char *key, Switch value);  /* true/false */
void put_u32(JsonWriter *w, const char *key, uint32_t value); /* 0: nothing */
void put_virtio(JsonWriter *w, const VirtioOptions *options);

/* The name for -device of a virtio device whose model may end in -transitional or -non-transitional. */
const char *virtio_driver(const char *base, const char *model, char room[64]);
bool machine_is_q35(const DomainDef *def);
const ControllerDef *line_find_controller(const DomainDef *def, ControllerType type, uint32_t index);
/* The boot index a device gets, from its own order or from the os' list; 0: none. */
unsigned boot_index_disk(const DomainDef *def, const DiskDef *disk);
unsigned boot_index_interface(const DomainDef *def, const InterfaceDef *nic);

int command_line_machine(const CommandLineSpec *spec, CommandLine *line, Error *err);
int command_line_cpu(const CommandLineSpec *spec, CommandLine *line, Error *err);
int command_line_memory(const CommandLineSpec *spec, CommandLine *line, Error *err);
int command_line_clock(const CommandLineSpec *spec, CommandLine *line, Error *err);
int command_line_boot(const CommandLineSpec *spec, CommandLine *line, Error *err);
int command_line_chardevs(const CommandLineSpec *spec, CommandLine *line, Error *err);
int command_line_interfaces(const CommandLineSpec *spec, CommandLine *line, Error *err);
int command_line_graphics(const CommandLineSpec *spec, CommandLine *line, Error *err);
int command_line_disks(const CommandLineSpec *spec, CommandLine *line, Error *err);
/* The value of -chardev for the host's side; files go through the logger. Owned. */
char *chardev_value(const CommandLineSpec *spec, CommandLine *line, const char *id, ChardevType type,
                    const ChardevSourceDef *source, const char *default_path, Error *err);
/* Text inside a comma-separated option value: commas doubled. Owned. */
char *option_escape(const char *text);
/* "kvmclock=off" and the like, for -cpu. */
void clock_cpu_flags(const ClockDef *clock, Buf *ret);
