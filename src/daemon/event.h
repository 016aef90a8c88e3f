#pragma once
/*
 * daemon/event.h - who wants to hear what, and telling them
 *
 * A client registers for one event of one class, perhaps for one object only.
 * An event is encoded once and sent to each registration that matches, with
 * that registration's callback number. Old-style registrations (procedures 105
 * and 167) get the message that has none.
 */
#include "base/err.h"
#include "base/uuid.h"
#include "wire/proc.h"

#include <stdbool.h>

typedef struct Domain Domain;
typedef struct Driver Driver;
typedef struct EventHub EventHub;
typedef struct EventRegistration EventRegistration;
typedef struct ServerClient ServerClient;

/* One hub per driver. */
EventHub *event_hub_new(void);
EventHub *event_hub_free(EventHub *hub); /* when no client is left; returns NULL */

/*
 * client NULL: it has left. object NULL: all of them. The registration belongs to the client and ends with it. *ret is the
 * callback number.
 */
int event_register(EventHub *hub, ServerClient *client, WireClass class, int event_id, const Uuid *object,
                   bool old_style, int *ret, Error *err);
/*
 * Events of QEMU's monitor, by name: filter NULL is all of them; is_regex, ignores_case: how it is compared. They are
 * emitted through event_emit_named().
 */
int event_register_named(EventHub *hub, ServerClient *client, WireClass class, const Uuid *object, const char *filter,
                         bool is_regex, bool ignores_case, int *ret, Error *err);
int event_deregister(ServerClient *client, WireClass class, int callback_id, Error *err);
int event_deregister_old(ServerClient *client, int event_id, Error *err);
EventRegistration *event_registration_free(EventRegistration *registration); /* returns NULL */

/* Is anybody listening? For events whose message is costly to make. */
bool event_has_listeners(const EventHub *hub, WireClass class, int event_id);
/* msg is the Wire...Msg of this event with the callback number left zero. object NULL: of no single object. */
void event_emit(EventHub *hub, WireClass class, int event_id, const Uuid *object, const void *msg);
/* The same to those whose filter fits this name. */
void event_emit_named(EventHub *hub, WireClass class, const char *name, const Uuid *object, const void *msg);

/* The commonest one. */
void event_domain_lifecycle(const Domain *dom, int event, int detail);
