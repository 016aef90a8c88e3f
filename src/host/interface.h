#pragma once
/*
 * host/interface.h - network interfaces of this machine, as reports
 *
 * A fresh look at /sys below a root directory ("" for this machine) each time.
 * What is a part of another interface (a port of a bridge or bond) is shown
 * there and not in the list.
 */
#include "base/arena.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct HostInterface {
        const char *name;
        const char *mac; /* as text; "" where there is none */
        bool active;     /* its link is up */
        bool is_part;    /* of another one */
} HostInterface;

/* All of them by name, in the arena. */
size_t host_interfaces(const char *root, Arena *arena, HostInterface **ret);
/* One of them; ret's text is in the arena. False: there is none of that name. */
bool host_interface_find(const char *root, const char *name, Arena *arena, HostInterface *ret);
/* The whole <interface>. */
void host_interface_format(const char *root, const char *name, Buf *ret);
