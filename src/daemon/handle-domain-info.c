/*
 * daemon/handle-domain-info.c - what is known about a guest without asking it
 */
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "daemon/vcpu.h"
#include "model/domain.h"
#include "wire/constants.h"

enum {
        XML_FLAGS = VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_UPDATE_CPU |
                    VIR_DOMAIN_XML_MIGRATABLE
};

int handle_domain_get_state(Call *call, const WireDomainGetStateArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        call_reply(call, &(WireDomainGetStateRet){ .state = dom->state, .reason = dom->reason });
        return 0;
}

int handle_domain_get_info(Call *call, const WireDomainGetInfoArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);
        const DomainDef *def;

        if (!dom)
                return -1;
        def = domain_def(dom);
        call_reply(call, &(WireDomainGetInfoRet){
                                 .state = (uint8_t)dom->state,
                                 .maxMem = def->memory_kib,
                                 .memory = domain_is_active(dom) ? dom->driver->ops->balloon_kib(dom)
                                                                 : def->current_memory_kib,
                                 .nrVirtCpu = (uint16_t)vcpus_plugged(def),
                                 .cpuTime = domain_is_active(dom) ? dom->driver->ops->cpu_time_ns(dom) : 0,
                         });
        return 0;
}

int handle_domain_get_xml_desc(Call *call, const WireDomainGetXmlDescArgs *args, Error *err)
{
        Domain *dom;
        const DomainDef *def;
        AUTO(Buf) xml = { 0 };
        unsigned flags = 0;

        if (call_check_flags(call, args->flags, XML_FLAGS, err) < 0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        if (args->flags & VIR_DOMAIN_XML_SECURE)
                flags |= DEF_FORMAT_SECURE;
        if (args->flags & VIR_DOMAIN_XML_MIGRATABLE)
                flags |= DEF_FORMAT_MIGRATABLE;
        def = args->flags & VIR_DOMAIN_XML_INACTIVE && dom->config ? dom->config : domain_def(dom);
        if (args->flags & VIR_DOMAIN_XML_INACTIVE || !domain_is_active(dom))
                flags |= DEF_FORMAT_INACTIVE;
        if (domain_def_format(def, flags, &xml) < 0)
                return err_set(err, ERR_INTERNAL, "the definition of '%s' cannot be written as XML", dom->name);
        call_reply(call, &(WireDomainGetXmlDescRet){ .xml = buf_text(&xml) });
        return 0;
}

int handle_domain_get_os_type(Call *call, const WireDomainGetOsTypeArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        if (!dom)
                return -1;
        call_reply(call, &(WireDomainGetOsTypeRet){ .type = domain_def(dom)->os.type });
        return 0;
}

int handle_domain_get_max_memory(Call *call, const WireDomainGetMaxMemoryArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        if (!dom)
                return -1;
        call_reply(call, &(WireDomainGetMaxMemoryRet){ .memory = domain_def(dom)->memory_kib });
        return 0;
}

int handle_domain_get_max_vcpus(Call *call, const WireDomainGetMaxVcpusArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        if (!dom)
                return -1;
        call_reply(call, &(WireDomainGetMaxVcpusRet){ .num = (int32_t)domain_def(dom)->vcpus_max });
        return 0;
}

int handle_domain_is_active(Call *call, const WireDomainIsActiveArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        if (!dom)
                return -1;
        call_reply(call, &(WireDomainIsActiveRet){ .active = domain_is_active(dom) });
        return 0;
}

int handle_domain_is_persistent(Call *call, const WireDomainIsPersistentArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        if (!dom)
                return -1;
        call_reply(call, &(WireDomainIsPersistentRet){ .persistent = dom->persistent });
        return 0;
}

int handle_domain_is_updated(Call *call, const WireDomainIsUpdatedArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        if (!dom)
                return -1;
        call_reply(call, &(WireDomainIsUpdatedRet){ .updated = dom->updated });
        return 0;
}

int handle_domain_get_autostart(Call *call, const WireDomainGetAutostartArgs *args, Error *err)
{
        Domain *dom = call_find_domain(call, &args->dom, err);

        if (!dom)
                return -1;
        call_reply(call, &(WireDomainGetAutostartRet){ .autostart = dom->autostart });
        return 0;
}

int handle_domain_has_managed_save_image(Call *call, const WireDomainHasManagedSaveImageArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        call_reply(call, &(WireDomainHasManagedSaveImageRet){ .result = dom->has_managed_save });
        return 0;
}

int handle_domain_get_control_info(Call *call, const WireDomainGetControlInfoArgs *args, Error *err)
{
        Domain *dom;

        if (call_check_flags(call, args->flags, 0, err) < 0 || !(dom = call_find_domain(call, &args->dom, err)) ||
            domain_must_be_active(dom, err) < 0)
                return -1;
        call_reply(call, &(WireDomainGetControlInfoRet){ .state = VIR_DOMAIN_CONTROL_OK });
        return 0;
}
