#pragma once
/*
 * host/userfaultfd.h - whether post-copy can work here
 */
#include "host/root.h"

#include <stdbool.h>

/* Does this kernel let a process of that user handle its own page faults? QEMU 7.2 knows the system call only. */
bool userfaultfd_is_allowed(const RootUser *user);
