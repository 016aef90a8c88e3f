/*
 * daemon/event.c - who wants to hear what, and telling them
 */
#include "daemon/event.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/event-filter.h"
#include "daemon/server-client.h"
#include "wire/constants.h"

#include <regex.h>

enum {
        NAMED = -1, /* event number of those that are told apart by name */
        LONGEST_FILTER = 256,
        N_CLASSES = WIRE_CLASS_STORAGE_POOL + 1,
        MOST_EVENTS = 32,          /* of a class */
        MOST_REGISTRATIONS = 4096, /* of a client */
};

typedef VEC(EventRegistration *) Listeners;

struct EventRegistration {
        ServerClient *client;
        Listeners *among;
        WireClass class;
        int event_id, callback_id;
        bool has_object, old_style;
        Uuid object;
        char *filter; /* NULL: none, or regex is the filter */
        regex_t *regex;
        bool ignores_case;
};

struct EventHub {
        Listeners listeners[N_CLASSES][MOST_EVENTS];
};

EventHub *event_hub_new(void)
{
        return mem_new(EventHub);
}

EventHub *event_hub_free(EventHub *hub)
{
        if (!hub)
                return NULL;
        for (size_t class = 0; class < N_CLASSES; class ++) {
                for (size_t id = 0; id < MOST_EVENTS; id++)
                        vec_done(&hub->listeners[class][id]);
        }
        free(hub);
        return NULL;
}

/* Monitor events have no number of their own: they are filtered by name, all under 0. */
static size_t slot_of(int event_id)
{
        return event_id < 0 ? 0 : (size_t)event_id;
}

static const WireEvent *event_row(WireClass class, int event_id, bool old_style)
{
        if (event_id < NAMED || event_id >= MOST_EVENTS)
                return NULL;
        return wire_event_find_id(class, event_id, old_style);
}

/* Its call may have waited, for definitions that were still being read, and is not taken back when it leaves. */
static int check_is_there(const ServerClient *client, Error *err)
{
        return client ? 0 : err_set(err, ERR_OPERATION_ABORTED, "the client has left");
}

int event_register(EventHub *hub, ServerClient *client, WireClass class, int event_id, const Uuid *object,
                   bool old_style, int *ret, Error *err)
{
        EventRegistration *r;

        if (check_is_there(client, err) < 0)
                return -1;
        if (!event_row(class, event_id, old_style))
                return err_set(err, ERR_INTERNAL, "unexpected event ID %d", event_id);
        if (client->registrations.len >= MOST_REGISTRATIONS)
                return err_set(err, ERR_OPERATION_INVALID, "this client has %d event registrations already",
                               MOST_REGISTRATIONS);
        r = mem_new(EventRegistration);
        *r = (EventRegistration){ .client = client,
                                  .among = &hub->listeners[class][slot_of(event_id)],
                                  .class = class,
                                  .event_id = event_id,
                                  .callback_id = client->daemon->next_callback_id++,
                                  .has_object = object,
                                  .old_style = old_style };
        if (object)
                r->object = *object;
        vec_push(r->among, r);
        vec_push(&client->registrations, r);
        *ret = r->callback_id;
        return 0;
}

EventRegistration *event_registration_free(EventRegistration *r)
{
        if (!r)
                return NULL;
        vec_remove_item(r->among, r);
        vec_remove_item(&r->client->registrations, r);
        if (r->regex)
                regfree(r->regex);
        free(r->regex);
        free(r->filter);
        free(r);
        return NULL;
}

static int compile(const char *filter, bool ignores_case, regex_t **ret, Error *err)
{
        regex_t *regex;
        char why[128];
        int rc;

        if (event_filter_check(filter, err) < 0)
                return -1;
        regex = mem_new(regex_t);
        rc = regcomp(regex, filter, REG_EXTENDED | REG_NOSUB | (ignores_case ? REG_ICASE : 0));
        if (rc == 0) {
                *ret = regex;
                return 0;
        }
        regerror(rc, regex, why, sizeof(why));
        free(regex);
        return err_set(err, ERR_INVALID_ARG, "'%s' is no regular expression: %s", filter, why);
}

int event_register_named(EventHub *hub, ServerClient *client, WireClass class, const Uuid *object, const char *filter,
                         bool is_regex, bool ignores_case, int *ret, Error *err)
{
        regex_t *regex = NULL;

        if (filter && strlen(filter) > LONGEST_FILTER)
                return err_set(err, ERR_INVALID_ARG, "the name of an event has at most %d characters",
                               LONGEST_FILTER);
        if ((filter && is_regex && compile(filter, ignores_case, &regex, err) < 0) ||
            event_register(hub, client, class, NAMED, object, false, ret, err) < 0) {
                if (regex)
                        regfree(regex);
                free(regex);
                return -1;
        }
        EventRegistration *r = client->registrations.items[client->registrations.len - 1];

        r->regex = regex;
        r->filter = regex ? NULL : str_dup(filter);
        r->ignores_case = ignores_case;
        return 0;
}

static bool filter_fits(const EventRegistration *r, const char *name)
{
        if (r->regex)
                return regexec(r->regex, name, 0, NULL, 0) == 0;
        if (r->filter)
                return (r->ignores_case ? strcasecmp(r->filter, name) : strcmp(r->filter, name)) == 0;
        return true;
}

int event_deregister(ServerClient *client, WireClass class, int callback_id, Error *err)
{
        if (check_is_there(client, err) < 0)
                return -1;
        for (size_t i = 0; i < client->registrations.len; i++) {
                EventRegistration *r = client->registrations.items[i];

                if (r->class != class || r->callback_id != callback_id || r->old_style)
                        continue;
                event_registration_free(r);
                return 0;
        }
        return err_set(err, ERR_INTERNAL, "no event callback with ID %d is registered", callback_id);
}

int event_deregister_old(ServerClient *client, int event_id, Error *err)
{
        if (check_is_there(client, err) < 0)
                return -1;
        for (size_t i = 0; i < client->registrations.len; i++) {
                EventRegistration *r = client->registrations.items[i];

                if (r->class != WIRE_CLASS_DOMAIN || r->event_id != event_id || !r->old_style)
                        continue;
                event_registration_free(r);
                return 0;
        }
        return err_set(err, ERR_INTERNAL, "no callback for event ID %d is registered", event_id);
}

bool event_has_listeners(const EventHub *hub, WireClass class, int event_id)
{
        return hub->listeners[class][slot_of(event_id)].len > 0;
}

/*
 * The old message is the new one without what was put in front of it: the callback number, and for the three power
 * management events a reason too.
 */
static size_t words_in_front(int event_id)
{
        return event_id == VIR_DOMAIN_EVENT_ID_PMWAKEUP || event_id == VIR_DOMAIN_EVENT_ID_PMSUSPEND ||
                               event_id == VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK
                       ? 2
                       : 1;
}

static void send_to(const EventRegistration *r, const WireEvent *row, const Buf *payload)
{
        size_t skip = r->old_style ? words_in_front(r->event_id) * 4 : 0;
        const WireEvent *sent_as = r->old_style ? event_row(r->class, r->event_id, true) : row;
        FrameHeader header = { .program = sent_as->program,
                               .version = 1,
                               .procedure = sent_as->number,
                               .type = FRAME_MESSAGE,
                               .status = FRAME_OK };
        AUTO(Buf) frame = { 0 };

        frame_begin(&frame);
        buf_put(&frame, payload->data + skip, payload->len - skip);
        if (!r->old_style && row->has_callback_id)
                frame_put_word((uint8_t *)frame.data + FRAME_OVERHEAD, (uint32_t)r->callback_id);
        conn_send(r->client->conn, &header, &frame, NULL, 0);
}

static void emit(EventHub *hub, WireClass class, int event_id, const char *name, const Uuid *object, const void *msg)
{
        Listeners *listeners = &hub->listeners[class][slot_of(event_id)];
        const WireEvent *row = event_row(class, event_id, false);
        AUTO(Buf) payload = { 0 };
        AUTO(Error) err = { 0 };

        if (!listeners->len)
                return;
        if (xdr_encode(row->encode, msg, &payload, &err) < 0) {
                log_error("event %s cannot be encoded: %s", row->name, err.text);
                return;
        }
        for (size_t i = 0; i < listeners->len; i++) {
                const EventRegistration *r = listeners->items[i];

                if ((!r->has_object || (object && uuid_eq(&r->object, object))) && (!name || filter_fits(r, name)))
                        send_to(r, row, &payload);
        }
}

void event_emit(EventHub *hub, WireClass class, int event_id, const Uuid *object, const void *msg)
{
        emit(hub, class, event_id, NULL, object, msg);
}

void event_emit_named(EventHub *hub, WireClass class, const char *name, const Uuid *object, const void *msg)
{
        emit(hub, class, NAMED, name, object, msg);
}

void event_domain_lifecycle(const Domain *dom, int event, int detail)
{
        WireDomainEventCallbackLifecycleMsg msg = {
                .msg = { .dom = call_wire_domain(dom), .event = event, .detail = detail },
        };

        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_LIFECYCLE, &dom->uuid, &msg);
}
