#pragma once
/*
 * app/drover/event-text.h - events of guests in words
 */
#include "base/buf.h"
#include "wire/proc.h"

#include <stdbool.h>

enum { N_DOMAIN_EVENTS = 27 }; /* the kinds that virsh 9.0 knows */

const char *event_name(int event_id);
/* "event 'lifecycle' for domain 'g': Started Booted", with a newline. false: nobody knows this event. */
bool event_format(const WireEvent *event, const void *msg, Buf *to);
