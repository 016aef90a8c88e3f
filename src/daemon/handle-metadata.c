/*
 * daemon/handle-metadata.c - title, description, and elements of applications
 */
#include "base/str.h"
#include "daemon/change.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "wire/constants.h"

#include <string.h>

enum { AFFECT = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG };

static int bad_type(int type, Error *err)
{
        return err_set(err, ERR_INVALID_ARG,
                       "there is no metadata of type %d: it is description (0), title (1) or element (2)", type);
}

static int edit(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainSetMetadataArgs *args = call_args(call);
        const char *text = args->metadata && *args->metadata ? arena_dup(domain_def_arena(def), args->metadata)
                                                             : NULL;

        ret->kind = LIVE_NOTHING;
        switch (args->type) {
        case VIR_DOMAIN_METADATA_DESCRIPTION:
                def->description = text;
                return 0;
        case VIR_DOMAIN_METADATA_TITLE:
                if (text && strchr(text, '\n'))
                        return err_set(err, ERR_INVALID_ARG, "a title is one line; put more into the description");
                def->title = text;
                return 0;
        case VIR_DOMAIN_METADATA_ELEMENT:
                return domain_def_set_metadata(def, args->uri, args->key, args->metadata, err);
        default:
                return bad_type(args->type, err);
        }
}

static void done(Call *call, Domain *dom, const LiveChange *live UNUSED)
{
        const WireDomainSetMetadataArgs *args = call_args(call);
        WireDomainEventCallbackMetadataChangeMsg msg = { .dom = call_wire_domain(dom),
                                                         .type = args->type,
                                                         .nsuri = args->uri };

        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, &dom->uuid, &msg);
}

static const ChangeKind change_metadata = { .edit = edit, .done = done };

int handle_domain_set_metadata(Call *call, const WireDomainSetMetadataArgs *args, Error *err)
{
        if (args->type == VIR_DOMAIN_METADATA_ELEMENT && (!args->uri || !*args->uri))
                return err_set(err, ERR_INVALID_ARG, "an element of metadata needs the URI of its namespace");
        return change_start(call, &args->dom, args->flags, 0, &change_metadata, err);
}

int handle_domain_get_metadata(Call *call, const WireDomainGetMetadataArgs *args, Error *err)
{
        AUTOFREE char *element = NULL;
        const char *text = NULL;
        const DomainDef *def;
        Domain *dom;

        if (call_check_flags(call, args->flags, AFFECT, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)))
                return -1;
        switch (args->type) {
        case VIR_DOMAIN_METADATA_DESCRIPTION:
                text = def->description;
                break;
        case VIR_DOMAIN_METADATA_TITLE:
                text = def->title;
                break;
        case VIR_DOMAIN_METADATA_ELEMENT:
                if (!args->uri || !*args->uri)
                        return err_set(err, ERR_INVALID_ARG, "an element of metadata needs the URI of its namespace");
                text = element = domain_def_metadata(def, args->uri);
                break;
        default:
                return bad_type(args->type, err);
        }
        if (!text)
                return err_set(err, ERR_NO_DOMAIN_METADATA, "domain '%s' has no such metadata%s%s", dom->name,
                               args->uri ? ": " : "", args->uri ?: "");
        call_reply(call, &(WireDomainGetMetadataRet){ .metadata = text });
        return 0;
}
