/*
 * daemon/handle-metadata.c - title, description, and elements of applications
 */
#include "daemon/change.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "model/metadata.h"
#include "wire/constants.h"

enum { AFFECT = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG };

static int edit(Call *call, DomainDef *def, bool live UNUSED, LiveChange *ret, Error *err)
{
        const WireDomainSetMetadataArgs *args = call_args(call);
        Metadata all = domain_def_metadata(def);

        ret->kind = LIVE_NOTHING;
        if (metadata_set(&all, domain_def_arena(def), args->type, args->uri, args->key, args->metadata, err) < 0)
                return -1;
        domain_def_put_metadata(def, &all);
        return 0;
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
        if (metadata_check_kind(args->type, args->uri, err) < 0)
                return -1;
        return change_start(call, &args->dom, args->flags, 0, &change_metadata, err);
}

int handle_domain_get_metadata(Call *call, const WireDomainGetMetadataArgs *args, Error *err)
{
        AUTOFREE char *text = NULL;
        const DomainDef *def;
        Metadata all;
        Domain *dom;

        if (call_check_flags(call, args->flags, AFFECT, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)) || !(def = change_look(dom, args->flags, err)))
                return -1;
        all = domain_def_metadata(def);
        if (metadata_get(&all, args->type, args->uri, &text, err) < 0)
                return -1;
        if (!text)
                return err_set(err, ERR_NO_DOMAIN_METADATA, "domain '%s' has no such metadata%s%s", dom->name,
                               args->uri ? ": " : "", args->uri ?: "");
        call_reply(call, &(WireDomainGetMetadataRet){ .metadata = text });
        return 0;
}
