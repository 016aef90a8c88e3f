/*
 * app/drover/cmd-confidential.c - what protects a guest's memory from its host
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

static int launch_info(Session *s, const Args *args, Error *err)
{
        WireDomainGetLaunchSecurityInfoArgs call = { .flags = VIR_TYPED_PARAM_STRING_OKAY };
        WireDomainGetLaunchSecurityInfoRet ret;

        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_LAUNCH_SECURITY_INFO, &call, &ret, err) < 0)
                return fail(err, "Unable to get launch security parameters");
        print_params(s, ret.params, ret.n_params);
        return 0;
}

static int sev_info(Session *s, const Args *args UNUSED, Error *err)
{
        WireNodeGetSevInfoArgs call = { .flags = VIR_TYPED_PARAM_STRING_OKAY };
        WireNodeGetSevInfoRet ret;

        /* first how many there are */
        if (session_call(s, WIRE_PROC_NODE_GET_SEV_INFO, &call, &ret, err) < 0)
                return fail(err, "Unable to get host SEV information");
        call.nparams = ret.nparams;
        if (call.nparams > 0 && session_call(s, WIRE_PROC_NODE_GET_SEV_INFO, &call, &ret, err) < 0)
                return fail(err, "Unable to get host SEV information");
        for (uint32_t i = 0; i < ret.n_params; i++) {
                AUTOFREE char *text = param_text(&ret.params[i]);

                out_print(s->out, "%-18s: %s\n", ret.params[i].field, text);
                out_set(s->out, ret.params[i].field, param_json(&ret.params[i]));
        }
        return 0;
}

const Command confidential_commands[] = {
        { .name = "domlaunchsecinfo",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "show how a running guest's memory is protected from the host",
          .text = "Nothing is said of a guest whose memory is not; droverd starts no others yet.",
          .run = launch_info },
        { .name = "nodesevinfo",
          .group = GROUP_HOST,
          .summary = "show what the host's processor offers to encrypt guests' memory (AMD SEV)",
          .run = sev_info },
        { 0 },
};
