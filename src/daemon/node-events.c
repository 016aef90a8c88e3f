/*
 * daemon/node-events.c - telling clients which devices of the host come and go
 *
 * The kernel says that something happened, the list of devices says what: it is
 * compared with the one before, so that an event always names what
 * nodedev-list shows, or showed. Nobody is asked while nobody listens, and a
 * host on which devices come and go all the time is looked at seldom.
 */
#include "daemon/node-events.h"

#include "base/fd.h"
#include "base/map.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/event.h"
#include "host/device-watch.h"
#include "host/node-device.h"
#include "wire/constants.h"
#include "wire/structs.h"

#include <time.h>

enum {
        SOON_MS = 50, /* what comes at once is told at once: a card and its functions */
        SHARE = 20,   /* of the loop's time is what looking may take: 1/SHARE */
};

struct NodeEvents {
        Driver *driver;
        DeviceWatch *watch;
        Timer *soon;
        uint64_t took_ms; /* to look, last time */
        Arena *arena;     /* of what follows */
        NodeDevices known;
};

static uint64_t cpu_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void tell(const NodeEvents *events, const char *name, int event)
{
        WireNodeDeviceEventLifecycleMsg msg = { .dev = { .name = name }, .event = event };

        event_emit(events->driver->events, WIRE_CLASS_NODE_DEVICE, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, NULL, &msg);
}

/* Those of `some` that are not among `others`. */
static void tell_difference(const NodeEvents *events, const NodeDevices *some, const NodeDevices *others, int event)
{
        AUTO(Map) *names = map_new();

        for (size_t i = 0; i < others->n; i++)
                map_put_text(names, others->items[i].name, &others->items[i]);
        for (size_t i = 0; i < some->n; i++) {
                if (!map_find_text(names, some->items[i].name))
                        tell(events, some->items[i].name, event);
        }
}

static bool is_heard(const NodeEvents *events)
{
        const EventHub *hub = events->driver->events;

        return event_has_listeners(hub, WIRE_CLASS_NODE_DEVICE, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE);
}

static void look(void *arg)
{
        NodeEvents *events = arg;
        uint64_t began_ms = cpu_ms();
        NodeDevices known = events->known;
        AUTO(Arena) *before = NULL;

        if (!is_heard(events)) {
                events->driver->node_events = NULL;
                node_events_free(events);
                return;
        }
        before = events->arena;
        events->arena = arena_new();
        node_devices("", events->arena, &events->known);
        tell_difference(events, &known, &events->known, VIR_NODE_DEVICE_EVENT_DELETED);
        tell_difference(events, &events->known, &known, VIR_NODE_DEVICE_EVENT_CREATED);
        events->took_ms = cpu_ms() - began_ms;
}

static void on_something(void *arg)
{
        NodeEvents *events = arg;

        if (!timer_is_armed(events->soon))
                timer_set(events->soon, SOON_MS + SHARE * events->took_ms);
}

int node_events_begin(Driver *driver, Error *err)
{
        NodeEvents *events;

        if (driver->node_events)
                return 0;
        events = mem_new(NodeEvents);
        *events = (NodeEvents){ .driver = driver, .arena = arena_new() };
        events->soon = timer_new(driver->daemon->loop, SOON_MS, look, events);
        timer_stop(events->soon);
        events->watch = device_watch_new(driver->daemon->loop, on_something, events, err);
        if (!events->watch) {
                node_events_free(events);
                return -1;
        }
        node_devices("", events->arena, &events->known);
        driver->node_events = events;
        return 0;
}

NodeEvents *node_events_free(NodeEvents *events)
{
        if (!events)
                return NULL;
        device_watch_free(events->watch);
        timer_free(events->soon);
        arena_free(events->arena);
        free(events);
        return NULL;
}
