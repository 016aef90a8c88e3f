#pragma once
/*
 * host/device-watch.h - the kernel says when devices come, go, change their names or their state
 */
#include "loop/loop.h"

typedef struct DeviceWatch DeviceWatch;

/*
 * happened(arg, NULL) is called once for any number of devices that came, went or are called otherwise, and when we may
 * have missed one; happened(arg, path) for each whose state changed, with its path in /sys, valid during the call.
 */
typedef void DeviceHappened(void *arg, const char *changed);
DeviceWatch *device_watch_new(Loop *loop, DeviceHappened *happened, void *arg, Error *err);
DeviceWatch *device_watch_free(DeviceWatch *watch); /* returns NULL */

DEFINE_AUTO(DeviceWatch, device_watch_free)
