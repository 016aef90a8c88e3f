/*
 * daemon/handle-host.c - what this host is and what guests it can run
 */
#include "base/str.h"
#include "daemon/call.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "host/capabilities.h"
#include "host/identity.h"

#include <string.h>

/* Guests are kept apart by users, control groups and namespaces; there are no labels to tell about. */
#define SECURITY_MODEL "none"
#define SECURITY_DOI   "0"

int handle_node_get_security_model(Call *call, Error *err UNUSED)
{
        call_reply(call, &(WireNodeGetSecurityModelRet){ .n_model = strlen(SECURITY_MODEL) + 1,
                                                         .model = SECURITY_MODEL,
                                                         .n_doi = strlen(SECURITY_DOI) + 1,
                                                         .doi = SECURITY_DOI });
        return 0;
}

int handle_connect_get_sysinfo(Call *call, const WireConnectGetSysinfoArgs *args, Error *err)
{
        AUTO(Buf) xml = { 0 };

        if (call_check_flags(call, args->flags, 0, err) < 0 || host_sysinfo_format("", &xml, err) < 0)
                return -1;
        call_reply(call, &(WireConnectGetSysinfoRet){ .sysinfo = buf_text(&xml) });
        return 0;
}

int handle_connect_get_max_vcpus(Call *call, const WireConnectGetMaxVcpusArgs *args, Error *err)
{
        Driver *driver = call_driver(call);
        int most = driver->ops->max_vcpus(driver, args->type, err);

        if (most < 0)
                return -1;
        call_reply(call, &(WireConnectGetMaxVcpusRet){ .max_vcpus = most });
        return 0;
}

int handle_connect_get_capabilities(Call *call, Error *err)
{
        Driver *driver = call_driver(call);
        HostCapabilities known = { .uuid = call_daemon(call)->host_uuid,
                                   .secmodel = SECURITY_MODEL,
                                   .secdoi = SECURITY_DOI };
        AUTO(Buf) xml = { 0 };

        if (driver->ops->describe_host)
                driver->ops->describe_host(driver, &known);
        buf_put_text(&xml, "<capabilities>\n\n");
        if (host_capabilities_format("", &known, &xml, err) < 0)
                return -1;
        buf_put_char(&xml, '\n');
        driver->ops->put_guest_capabilities(driver, &xml);
        buf_put_text(&xml, "</capabilities>\n");
        call_reply(call, &(WireConnectGetCapabilitiesRet){ .capabilities = buf_text(&xml) });
        return 0;
}

int handle_connect_get_domain_capabilities(Call *call, const WireConnectGetDomainCapabilitiesArgs *args, Error *err)
{
        Driver *driver = call_driver(call);
        DomainCapabilitiesAsk ask = { .emulator = args->emulatorbin,
                                      .arch = args->arch,
                                      .machine = args->machine,
                                      .virttype = args->virttype };
        AUTO(Buf) xml = { 0 };

        if (!driver->ops->put_domain_capabilities)
                return err_set(err, ERR_NO_SUPPORT, "%s", call_proc(call)->api);
        if (call_check_flags(call, args->flags, 0, err) < 0 ||
            driver->ops->put_domain_capabilities(driver, &ask, &xml, err) < 0)
                return -1;
        call_reply(call, &(WireConnectGetDomainCapabilitiesRet){ .capabilities = buf_text(&xml) });
        return 0;
}

int handle_connect_get_cpu_model_names(Call *call, const WireConnectGetCpuModelNamesArgs *args, Error *err)
{
        Driver *driver = call_driver(call);
        WireConnectGetCpuModelNamesRet ret = { 0 };
        const char **models;
        size_t n;

        if (!driver->ops->cpu_models)
                return err_set(err, ERR_NO_SUPPORT, "%s", call_proc(call)->api);
        if (call_check_flags(call, args->flags, 0, err) < 0)
                return -1;
        if (!str_eq(args->arch, "x86_64"))
                return err_set(err, ERR_INVALID_ARG, "guests here are of x86_64; no CPU model of '%s' is known",
                               args->arch);
        if (driver->ops->cpu_models(driver, call_arena(call), &models, &n, err) < 0)
                return -1;
        ret.ret = (int32_t)n;
        if (args->need_results) {
                ret.models = models;
                ret.n_models = (uint32_t)n;
        }
        call_reply(call, &ret);
        return 0;
}
