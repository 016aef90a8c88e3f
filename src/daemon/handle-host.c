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
