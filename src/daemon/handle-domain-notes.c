/*
 * daemon/handle-domain-notes.c - what is noteworthy about a guest: messages, labels
 */
#include "base/vec.h"
#include "daemon/call.h"
#include "daemon/driver.h"
#include "daemon/handlers.h"
#include "model/domain.h"
#include "wire/constants.h"

enum { MOST_MESSAGES = 2048 };

/* What its definition held and nobody knows, and what nobody vouches for. */
int handle_domain_get_messages(Call *call, const WireDomainGetMessagesArgs *args, Error *err)
{
        bool taints = !args->flags || args->flags & VIR_DOMAIN_MESSAGE_TAINTING;
        WireDomainGetMessagesRet ret = { 0 };
        const DomainDef *def;
        Domain *dom;

        if (call_check_flags(call, args->flags, VIR_DOMAIN_MESSAGE_DEPRECATION | VIR_DOMAIN_MESSAGE_TAINTING, err) <
                    0 ||
            !(dom = call_find_domain(call, &args->dom, err)))
                return -1;
        def = domain_def(dom);
        ret.msgs = arena_new_array(call_arena(call), const char *, (size_t)def->head.n_warnings + 1);
        if (taints && def->qemu_commandline)
                ret.msgs[ret.n_msgs++] = "tainted: custom arguments are handed to QEMU unchecked";
        for (uint32_t i = 0; taints && i < def->head.n_warnings && ret.n_msgs < MOST_MESSAGES; i++)
                ret.msgs[ret.n_msgs++] = def->head.warnings[i];
        call_reply(call, &ret);
        return 0;
}

/* There is no security driver that labels processes, so every guest has the empty label. */
int handle_domain_get_security_label(Call *call, const WireDomainGetSecurityLabelArgs *args, Error *err)
{
        if (!call_find_domain(call, &args->dom, err))
                return -1;
        call_reply(call, &(WireDomainGetSecurityLabelRet){ .n_label = 1, .label = "" });
        return 0;
}

int handle_domain_get_security_label_list(Call *call, const WireDomainGetSecurityLabelListArgs *args, Error *err)
{
        WireDomainGetSecurityLabelRet label = { .n_label = 1, .label = "" };

        if (!call_find_domain(call, &args->dom, err))
                return -1;
        call_reply(call, &(WireDomainGetSecurityLabelListRet){ .n_labels = 1, .labels = &label, .ret = 1 });
        return 0;
}

/* No guest has its memory encrypted, so there is nothing to say about how. */
int handle_domain_get_launch_security_info(Call *call, const WireDomainGetLaunchSecurityInfoArgs *args, Error *err)
{
        if (call_check_flags(call, args->flags, VIR_TYPED_PARAM_STRING_OKAY, err) < 0 ||
            !call_find_domain(call, &args->dom, err))
                return -1;
        call_reply(call, &(WireDomainGetLaunchSecurityInfoRet){ 0 });
        return 0;
}
