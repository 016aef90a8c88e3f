#pragma once
/*
 * host/node-device.h - devices of this machine: itself, PCI functions, links, disks
 *
 * A fresh look at /sys below a root directory ("" for this machine) each time:
 * the kernel's list is the truth, and nothing is kept that could go stale.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

typedef enum NodeDeviceKind {
        NODE_DEVICE_SYSTEM,
        NODE_DEVICE_PCI,
        NODE_DEVICE_NET,
        NODE_DEVICE_STORAGE,
        N_NODE_DEVICE_KINDS,
} NodeDeviceKind;

typedef struct NodeDevice {
        NodeDeviceKind kind;
        const char *name;   /* "pci_0000_00_01_0" */
        const char *kernel; /* "0000:00:01.0", "eth0", "vda"; "" for the machine */
        const char *path;   /* below /sys/devices, without the root; NULL for the machine */
        const char *parent; /* name of the device it sits on; NULL for the machine */
} NodeDevice;

typedef struct NodeDevices {
        NodeDevice *items; /* the machine first, then by kind and name */
        size_t n;
} NodeDevices;

/* The arena holds what *ret points to. */
void node_devices(const char *root, Arena *arena, NodeDevices *ret);
const NodeDevice *node_device_find(const NodeDevices *all, const char *name); /* NULL: there is none */
const char *node_device_capability(NodeDeviceKind kind);                      /* "system", "pci", "net", "storage" */
/* The whole <device>; host is the machine's UUID where its firmware names none. */
void node_device_format(const char *root, const Uuid *host, const NodeDevice *device, Buf *ret);
