#pragma once
/*
 * qemu/qemu-caps-private.h - the record behind qemu-caps.h
 */
#include "base/vec.h"
#include "qemu/qemu-caps.h"

struct QemuCaps {
        unsigned refs;
        char *binary, *stamp;
        uint64_t version;
        bool kvm;
        VEC(QemuMachine) machines;
        VEC(QemuCpuModel) models;
        VEC(char *) devices;  /* sorted */
        VEC(char *) features; /* sorted, NULL behind the last */
};

QemuCaps *qemu_caps_new(const char *binary);
char *qemu_caps_stamp(const char *binary);
void qemu_caps_sort(QemuCaps *caps);
