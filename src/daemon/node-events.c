/*
 * daemon/node-events.c - telling clients which devices of the host come and go
 *
 * The kernel says that something happened, the list of devices says what: it is
 * compared with the one before, so that an event always names what
 * nodedev-list shows, or showed. A worker looks. Nobody is asked while nobody
 * listens, and a host on which devices come and go all the time is looked at
 * seldom. A device that only changed its state, as a disk of another size or a
 * drive with another medium, is told of as it comes, when it is on that list.
 */
#include "daemon/node-events.h"

#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/event.h"
#include "host/device-watch.h"
#include "wire/constants.h"
#include "wire/structs.h"

#include <time.h>

enum {
        SOON_MS = 50, /* what comes at once is told at once: a card and its functions */
        SHARE = 20,   /* of a processor's time is what looking may take: 1/SHARE */
};

/* What a worker sees. */
typedef struct Look {
        NodeEvents *events; /* the loop's */
        Arena *arena;
        NodeDevices found;
        uint64_t took_ms;
} Look;

struct NodeEvents {
        Driver *driver;
        DeviceWatch *watch;
        Timer *soon;
        Task *looking;    /* NULL: nobody is */
        bool again;       /* something happened meanwhile */
        uint64_t took_ms; /* to look, last time */
        Arena *arena;     /* of what follows; NULL: it is not known yet */
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

        return event_has_listeners(hub, WIRE_CLASS_NODE_DEVICE, VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE) ||
               event_has_listeners(hub, WIRE_CLASS_NODE_DEVICE, VIR_NODE_DEVICE_EVENT_ID_UPDATE);
}

static void look_free(void *data)
{
        Look *look = data;

        arena_free(look->arena);
        free(look);
}

/* On a worker. */
static void look_now(void *data)
{
        Look *look = data;
        uint64_t began_ms = cpu_ms();

        node_devices("", look->arena, &look->found);
        look->took_ms = cpu_ms() - began_ms;
}

static void tell_update(const NodeEvents *events, const char *path)
{
        for (size_t i = 0; i < events->known.n; i++) {
                const NodeDevice *device = &events->known.items[i];

                if (str_eq(device->path, path))
                        event_emit(events->driver->events, WIRE_CLASS_NODE_DEVICE, VIR_NODE_DEVICE_EVENT_ID_UPDATE,
                                   NULL, &(WireNodeDeviceEventUpdateMsg){ .dev = { .name = device->name } });
        }
}

static void on_something(void *arg, const char *changed)
{
        NodeEvents *events = arg;

        if (changed)
                tell_update(events, changed);
        else if (events->looking)
                events->again = true;
        else if (!timer_is_armed(events->soon))
                timer_set(events->soon, SOON_MS + SHARE * events->took_ms);
}

static void on_looked(void *data)
{
        Look *look = data;
        NodeEvents *events = look->events;
        NodeDevices known = events->known;
        AUTO(Arena) *before = events->arena;

        events->looking = task_free(events->looking, NULL);
        events->arena = TAKE(look->arena);
        events->known = look->found;
        events->took_ms = look->took_ms;
        look_free(look);
        tell_difference(events, &known, &events->known, VIR_NODE_DEVICE_EVENT_DELETED);
        tell_difference(events, &events->known, &known, VIR_NODE_DEVICE_EVENT_CREATED);
        if (events->again)
                on_something(events, NULL);
        events->again = false;
}

static void on_soon(void *arg)
{
        NodeEvents *events = arg;
        Look *look;

        if (!events->arena)
                return; /* what is being read for the first one to listen is newer than what happened */
        if (!is_heard(events)) {
                events->driver->node_events = NULL;
                node_events_free(events);
                return;
        }
        look = mem_new(Look);
        *look = (Look){ .events = events, .arena = arena_new() };
        events->looking = task_new(events->driver->daemon->workers, look_now, on_looked, look);
}

int node_events_begin(Driver *driver, Error *err)
{
        NodeEvents *events;

        if (driver->node_events)
                return 0;
        events = mem_new(NodeEvents);
        *events = (NodeEvents){ .driver = driver };
        events->soon = timer_new(driver->daemon->loop, SOON_MS, on_soon, events);
        timer_stop(events->soon);
        events->watch = device_watch_new(driver->daemon->loop, on_something, events, err);
        if (!events->watch) {
                node_events_free(events);
                return -1;
        }
        driver->node_events = events;
        return 0;
}

bool node_events_want_devices(const Driver *driver)
{
        return driver->node_events && !driver->node_events->arena;
}

void node_events_give_devices(Driver *driver, Arena *arena, const NodeDevices *devices)
{
        NodeEvents *events = driver->node_events;

        if (!node_events_want_devices(driver)) {
                arena_free(arena);
                return;
        }
        events->arena = arena;
        events->known = *devices;
        on_something(events, NULL); /* what the kernel told of while they were read is in them, or not */
}

NodeEvents *node_events_free(NodeEvents *events)
{
        if (!events)
                return NULL;
        task_free(events->looking, look_free);
        device_watch_free(events->watch);
        timer_free(events->soon);
        arena_free(events->arena);
        free(events);
        return NULL;
}
