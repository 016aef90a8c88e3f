#pragma once
/*
 * model/device.h - one device, alone or in a definition
 *
 * Attaching, detaching and updating take the XML of one device. What is found
 * in a definition belongs to that definition; changes are for copies that are
 * not shared yet.
 */
#include "model/domain.h"

typedef struct DeviceDef {
        Arena *arena;    /* owns the device */
        DeviceKind kind; /* says which pointer is valid */
        union {
                void *any;
                DiskDef *disk;
                ControllerDef *controller;
                FilesystemDef *filesystem;
                InterfaceDef *interface;
                SmartcardDef *smartcard;
                ChardevDef *chardev; /* serial, parallel, console, channel */
                InputDef *input;
                TpmDef *tpm;
                GraphicsDef *graphics;
                SoundDef *sound;
                AudioDef *audio;
                VideoDef *video;
                HostdevDef *hostdev;
                RedirdevDef *redirdev;
                HubDef *hub;
                WatchdogDef *watchdog;
                MemballoonDef *memballoon;
                RngDef *rng;
                PanicDef *panic;
                IommuDef *iommu;
                VsockDef *vsock;
        };
} DeviceDef;

int device_def_parse(const char *xml, size_t len, unsigned flags, DeviceDef *ret, Warnings *warnings, Error *err);
void device_def_format(DeviceKind kind, const void *device, unsigned depth, unsigned flags, Buf *ret);
void device_def_done(DeviceDef *device);

unsigned domain_def_n_devices(const DomainDef *def, DeviceKind kind);
void *domain_def_device(const DomainDef *def, DeviceKind kind, unsigned i);
DeviceInfo *device_info(DeviceKind kind, void *device); /* NULL for kinds without */

/* Put a copy of the device at the end of its list (disks: in the order of their targets); returns the copy. */
void *domain_def_add_device(DomainDef *def, DeviceKind kind, const void *device);
void domain_def_remove_device(DomainDef *def, DeviceKind kind, unsigned i);
/* A copy of the device takes the place of device i. */
void *domain_def_replace_device(DomainDef *def, DeviceKind kind, unsigned i, const void *device);
/*
 * The device that is meant: disks by target, interfaces by MAC and address, the others by alias, address or being
 * equal. -1 with an error when there is none, or when several fit.
 */
int domain_def_find_device(const DomainDef *def, const DeviceDef *wanted, unsigned *ret, Error *err);

DiskDef *domain_def_find_disk(const DomainDef *def, const char *target_or_path); /* NULL: none */
InterfaceDef *domain_def_find_interface(const DomainDef *def, const char *target_or_mac);
void *domain_def_find_alias(const DomainDef *def, const char *alias, DeviceKind *ret_kind);

DEFINE_AUTO_VALUE(DeviceDef, device_def_done)
