/*
 * app/drover/cmd-info.c - what is known about one guest
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/xml.h"

#include "base/str.h"

enum { LABEL_WIDTH = 16 };

static int print_identity(Session *s, const WireDomain *dom, Error *err)
{
        WireDomainGetOsTypeRet os;
        char uuid[UUID_TEXT_LEN + 1];

        if (dom->id >= 0)
                out_number(s->out, LABEL_WIDTH, "Id", (uint64_t)dom->id, NULL);
        else
                out_none(s->out, LABEL_WIDTH, "Id", "-");
        out_field(s->out, LABEL_WIDTH, "Name", "%s", dom->name);
        out_field(s->out, LABEL_WIDTH, "UUID", "%s", uuid_format(&dom->uuid, uuid));
        if (session_call(s, WIRE_PROC_DOMAIN_GET_OS_TYPE, &(WireDomainGetOsTypeArgs){ *dom }, &os, err) == 0)
                out_field(s->out, LABEL_WIDTH, "OS Type", "%s", os.type);
        return 0;
}

static int print_usage(Session *s, const WireDomain *dom, Error *err)
{
        WireDomainGetInfoRet info;

        if (session_call(s, WIRE_PROC_DOMAIN_GET_INFO, &(WireDomainGetInfoArgs){ *dom }, &info, err) < 0)
                return -1;
        out_field(s->out, LABEL_WIDTH, "State", "%s", domain_state_text(info.state));
        out_number(s->out, LABEL_WIDTH, "CPU(s)", info.nrVirtCpu, NULL);
        if (info.cpuTime != 0)
                out_print(s->out, "%-*s %.1lfs\n", LABEL_WIDTH - 1, "CPU time:", (double)info.cpuTime / 1e9);
        out_set_u64(s->out, "cpu_time_ns", info.cpuTime);
        if (info.maxMem != UINT32_MAX)
                out_number(s->out, LABEL_WIDTH, "Max memory", info.maxMem, "KiB");
        else
                out_none(s->out, LABEL_WIDTH, "Max memory", "no limit");
        out_number(s->out, LABEL_WIDTH, "Used memory", info.memory, "KiB");
        return 0;
}

static void print_marks(Session *s, const WireDomain *dom)
{
        WireDomainIsPersistentRet persistent;
        WireDomainGetAutostartRet autostart;
        WireDomainHasManagedSaveImageRet saved;

        if (session_call(s, WIRE_PROC_DOMAIN_IS_PERSISTENT, &(WireDomainIsPersistentArgs){ *dom }, &persistent,
                         NULL) == 0)
                out_yes_no(s->out, LABEL_WIDTH, "Persistent", persistent.persistent);
        else
                out_none(s->out, LABEL_WIDTH, "Persistent", "unknown");
        if (session_call(s, WIRE_PROC_DOMAIN_GET_AUTOSTART, &(WireDomainGetAutostartArgs){ *dom }, &autostart,
                         NULL) == 0) {
                out_print(s->out, "%-*s %s\n", LABEL_WIDTH - 1,
                          "Autostart:", autostart.autostart ? "enable" : "disable");
                out_set_bool(s->out, "autostart", autostart.autostart);
        }
        if (session_call(s, WIRE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, &(WireDomainHasManagedSaveImageArgs){ *dom, 0 },
                         &saved, NULL) == 0)
                out_yes_no(s->out, LABEL_WIDTH, "Managed save", saved.result > 0);
        else
                out_none(s->out, LABEL_WIDTH, "Managed save", "unknown");
}

/* Security strings carry their NUL; they are copied up to it. */
static char *counted_text(const char *s, uint32_t n)
{
        return str_dup_n(s ?: "", s ? strnlen(s, n) : 0);
}

static int print_security(Session *s, const WireDomain *dom, Error *err)
{
        WireNodeGetSecurityModelRet model;
        WireDomainGetSecurityLabelRet label;
        AUTO(Error) why = { 0 };
        AUTOFREE char *name = NULL, *doi = NULL, *text = NULL;

        if (session_call(s, WIRE_PROC_NODE_GET_SECURITY_MODEL, NULL, &model, &why) < 0)
                return why.code == ERR_NO_SUPPORT ? 0 : err_move(err, &why);
        name = counted_text(model.model, model.n_model);
        doi = counted_text(model.doi, model.n_doi);
        if (!*name)
                return 0;
        out_field(s->out, LABEL_WIDTH, "Security model", "%s", name);
        out_field(s->out, LABEL_WIDTH, "Security DOI", "%s", doi);
        if (session_call(s, WIRE_PROC_DOMAIN_GET_SECURITY_LABEL, &(WireDomainGetSecurityLabelArgs){ *dom }, &label,
                         err) < 0)
                return -1;
        text = counted_text(label.label, label.n_label);
        if (*text)
                out_field(s->out, LABEL_WIDTH, "Security label", "%s (%s)", text,
                          label.enforcing ? "enforcing" : "permissive");
        return 0;
}

static void print_messages(Session *s, const WireDomain *dom)
{
        WireDomainGetMessagesRet ret;
        struct json_object *list;

        if (session_call(s, WIRE_PROC_DOMAIN_GET_MESSAGES, &(WireDomainGetMessagesArgs){ *dom, 0 }, &ret, NULL) < 0 ||
            ret.n_msgs == 0)
                return;
        list = json_object_new_array();
        for (uint32_t i = 0; i < ret.n_msgs; i++) {
                out_print(s->out, "%-15s %s\n", i == 0 ? "Messages:" : "", ret.msgs[i]);
                json_object_array_add(list, json_object_new_string(ret.msgs[i]));
        }
        out_set(s->out, "messages", list);
}

static int dominfo(Session *s, const Args *args, Error *err)
{
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (print_identity(s, &dom, NULL) < 0 || print_usage(s, &dom, err) < 0)
                return -1;
        print_marks(s, &dom);
        if (print_security(s, &dom, err) < 0)
                return -1;
        print_messages(s, &dom);
        return 0;
}

static int domstate(Session *s, const Args *args, Error *err)
{
        WireDomainGetStateRet state;
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_STATE, &(WireDomainGetStateArgs){ dom, 0 }, &state, err) < 0)
                return -1;
        out_set_text(s->out, "state", domain_state_text(state.state));
        if (arg_has(args, "reason")) {
                const char *reason = domain_state_reason_text(state.state, state.reason);

                out_print(s->out, "%s (%s)\n", domain_state_text(state.state), reason);
                out_set_text(s->out, "reason", reason);
        } else {
                out_print(s->out, "%s\n", domain_state_text(state.state));
        }
        return 0;
}

static int domid(Session *s, const Args *args, Error *err)
{
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        if (dom.id < 0) {
                out_print(s->out, "-\n");
                out_set_text(s->out, "id", NULL);
        } else {
                out_print(s->out, "%d\n", dom.id);
                out_set_u64(s->out, "id", (uint64_t)dom.id);
        }
        return 0;
}

static int domname(Session *s, const Args *args, Error *err)
{
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        out_value(s->out, "name", dom.name);
        return 0;
}

static int domuuid(Session *s, const Args *args, Error *err)
{
        char uuid[UUID_TEXT_LEN + 1];
        WireDomain dom;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        out_value(s->out, "uuid", uuid_format(&dom.uuid, uuid));
        return 0;
}

static int dumpxml(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag switches[] = {
                { "inactive", VIR_DOMAIN_XML_INACTIVE },
                { "security-info", VIR_DOMAIN_XML_SECURE },
                { "update-cpu", VIR_DOMAIN_XML_UPDATE_CPU },
                { "migratable", VIR_DOMAIN_XML_MIGRATABLE },
                { 0 },
        };
        WireDomain dom;
        const char *xml;

        if (find_domain(s, args, &dom, err) < 0)
                return -1;
        xml = domain_xml(s, &dom, switch_flags(args, switches), err);
        return xml ? print_xml(s, args, xml, err) : -1;
}

int print_xml(Session *s, const Args *args, const char *xml, Error *err)
{
        AUTO(Buf) found = { 0 };

        if (!arg_has(args, "xpath")) {
                out_set_text(s->out, "xml", xml);
                out_print(s->out, "%s", xml);
                return 0;
        }
        if (xml_print_found(xml, arg_text(args, "xpath"), arg_has(args, "wrap"), &found, err) < 0)
                return -1;
        out_set_text(s->out, "found", buf_text(&found));
        out_print(s->out, "%s", buf_text(&found));
        return 0;
}

static int domcontrol(Session *s, const Args *args, Error *err)
{
        static const char *const states[] = { "ok", "background job", "occupied", "error" };
        static const char *const details[] = { "", "unknown", "monitor failure", "internal (locking) error" };
        WireDomainGetControlInfoRet info;
        WireDomain dom;
        const char *state;

        if (find_domain(s, args, &dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_CONTROL_INFO, &(WireDomainGetControlInfoArgs){ dom, 0 }, &info,
                         err) < 0)
                return -1;
        state = WORD_OF(states, (int)info.state);
        out_set_text(s->out, "state", state);
        out_set_u64(s->out, "state_time_ms", info.stateTime);
        if (info.state != VIR_DOMAIN_CONTROL_OK && info.state != VIR_DOMAIN_CONTROL_ERROR) {
                out_print(s->out, "%s (%0.3fs)\n", state, (double)info.stateTime / 1000.0);
        } else if (info.state == VIR_DOMAIN_CONTROL_ERROR && info.details > 0) {
                out_print(s->out, "%s: %s\n", state, WORD_OF(details, (int)info.details));
                out_set_text(s->out, "details", WORD_OF(details, (int)info.details));
        } else {
                out_print(s->out, "%s\n", state);
        }
        return 0;
}

const Command info_commands[] = {
        { .name = "dominfo",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN,
          .summary = "show what a guest is and uses",
          .run = dominfo },
        { .name = "domstate",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--reason]  why it is in that state",
          .summary = "show a guest's state",
          .run = domstate },
        { .name = "domcontrol",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN,
          .summary = "show whether a guest can be talked to now",
          .run = domcontrol },
        { .name = "domid", .group = GROUP_DOMAIN, .args = ARG_DOMAIN, .summary = "print a guest's ID", .run = domid },
        { .name = "domname",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "print a guest's name",
          .run = domname },
        { .name = "domuuid",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "print a guest's UUID",
          .run = domuuid },
        { .name = "dumpxml",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--inactive]       the definition, in force from the next start\n"
                             "[--security-info]  with passwords\n"
                             "[--update-cpu]     with the guest CPU spelled out for this host\n"
                             "[--migratable]     as another host would be given it\n"
                             "[--xpath=EXPR]     only what this XPath expression finds\n"
                             "[--wrap]           put an element around what was found",
          .summary = "print a guest's XML",
          .run = dumpxml },
        { 0 },
};
