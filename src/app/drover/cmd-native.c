/*
 * app/drover/cmd-native.c - definitions as a hypervisor's own configuration, and back
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/str.h"

/* The definition to convert: of a guest, or from a file; the session's. */
static const char *definition(Session *s, const Args *args, Error *err)
{
        const char *path = arg_text(args, "xml");
        AUTOFREE char *text = NULL;
        WireDomain dom;

        if (refuse_both(args, "domain", "xml", err) < 0)
                return NULL;
        if (arg_has(args, "domain"))
                return find_domain(s, args, &dom, err) < 0 ? NULL : domain_xml(s, &dom, 0, err);
        if (!path) {
                err_set(err, ERR_INVALID_ARG, "need either domain or domain XML");
                return NULL;
        }
        text = read_text_file(path, err);
        return text ? arena_dup(session_arena(s), text) : NULL;
}

static int to_native(Session *s, const Args *args, Error *err)
{
        WireConnectDomainXmlToNativeArgs call = { .nativeFormat = arg_text(args, "format") };
        WireConnectDomainXmlToNativeRet ret;

        if (session_open(s, err) < 0 || !(call.domainXml = definition(s, args, err)) ||
            session_call(s, WIRE_PROC_CONNECT_DOMAIN_XML_TO_NATIVE, &call, &ret, err) < 0)
                return -1;
        out_print(s->out, "%s", ret.nativeConfig);
        out_set_text(s->out, "native", ret.nativeConfig);
        return 0;
}

static int from_native(Session *s, const Args *args, Error *err)
{
        AUTOFREE char *text = read_text_file(arg_text(args, "config"), err);
        WireConnectDomainXmlFromNativeArgs call = { .nativeFormat = arg_text(args, "format"), .nativeConfig = text };
        WireConnectDomainXmlFromNativeRet ret;

        if (!text || session_call(s, WIRE_PROC_CONNECT_DOMAIN_XML_FROM_NATIVE, &call, &ret, err) < 0)
                return -1;
        out_print(s->out, "%s", ret.domainXml);
        out_set_text(s->out, "xml", ret.domainXml);
        return 0;
}

const Command native_commands[] = {
        { .name = "domxml-to-native",
          .group = GROUP_DOMAIN,
          .args = "FORMAT{qemu-argv}  what to make: qemu-argv, the command line of QEMU\n"
                  "[--domain DOMAIN]  of this guest\n"
                  "[--xml FILE]       of this definition",
          .summary = "print the hypervisor's own configuration for a definition",
          .text = "Descriptors, which a start opens and QEMU inherits, are there by their numbers only.",
          .run = to_native },
        { .name = "domxml-from-native",
          .group = GROUP_DOMAIN,
          .args = "FORMAT       what it is: as the daemon knows\n"
                  "CONFIG:FILE  the hypervisor's own configuration",
          .summary = "make a definition from a hypervisor's own configuration",
          .text = "Neither droverd nor libvirtd reads QEMU's command line; libvirtd reads configurations of others.",
          .run = from_native },
        { 0 },
};
