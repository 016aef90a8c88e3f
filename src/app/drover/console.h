#pragma once
/*
 * app/drover/console.h - a guest's console on this terminal
 */
#include "app/drover/common.h"

/* Until the escape key, the end of the guest or of the connection. device NULL: the first console. */
int console_run(Session *s, const WireDomain *dom, const char *device, uint32_t flags, Error *err);
