#pragma once
/*
 * base/service.h - what a service manager and a program tell each other, as sd_listen_fds(3) and sd_notify(3) have it
 */
#include "base/err.h"

#include <stdint.h>

enum { SERVICE_FIRST_FD = 3 };

/* How many sockets were passed to this process, from SERVICE_FIRST_FD on. */
uint32_t service_count_sockets(void);
/* The name of the i-th of them, "" when it has none; the caller's. */
char *service_socket_name(uint32_t i);
/* Tell the manager, if there is one that wants to know: "READY=1". Waits for one that is busy. */
int service_notify(const char *state, Error *err);
