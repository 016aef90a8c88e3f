#pragma once
/*
 * host/device-watch.h - the kernel says when devices come, go or change their names
 */
#include "loop/loop.h"

typedef struct DeviceWatch DeviceWatch;

/* happened(arg) is called once for any number of them, and when we may have missed one. */
DeviceWatch *device_watch_new(Loop *loop, void (*happened)(void *arg), void *arg, Error *err);
DeviceWatch *device_watch_free(DeviceWatch *watch); /* returns NULL */

DEFINE_AUTO(DeviceWatch, device_watch_free)
