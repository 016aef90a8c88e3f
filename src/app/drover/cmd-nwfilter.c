/*
 * app/drover/cmd-nwfilter.c - network filters and the devices that they are in force on, as virsh has them
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/editor.h"

#include "base/str.h"

#include <strings.h>

#define ARG_FILTER   "NWFILTER  network filter: name or UUID\n"
#define ARG_BINDING  "BINDING  device of the host, like vnet0\n"
#define ARG_XML_FILE "FILE          definition, an XML file\n"
#define ARG_VALIDATE "[--validate]  refuse what the schema does not know"
#define ARGS_XML                                                                                                     \
        "[--xpath=EXPR]  only what this XPath expression finds\n"                                                    \
        "[--wrap]        in one root element"

static int find_filter(Session *s, const Args *args, WireNwfilter *ret, Error *err)
{
        const char *text = arg_text(args, "nwfilter");
        WireNwfilterLookupByNameRet found;
        WireNwfilterLookupByUuidArgs by_uuid;

        if (session_open(s, err) < 0)
                return -1;
        if (uuid_parse(text, &by_uuid.uuid) == 0) {
                AUTO(Error) why = { 0 };
                WireNwfilterLookupByUuidRet same;

                if (session_call(s, WIRE_PROC_NWFILTER_LOOKUP_BY_UUID, &by_uuid, &same, &why) == 0) {
                        *ret = same.nwfilter;
                        return 0;
                }
        }
        if (session_call(s, WIRE_PROC_NWFILTER_LOOKUP_BY_NAME, &(WireNwfilterLookupByNameArgs){ text }, &found, err) <
            0)
                return fail(err, "failed to get nwfilter '%s'", text);
        *ret = found.nwfilter;
        return 0;
}

static int compare_filters(const void *a, const void *b)
{
        return strcasecmp(((const WireNwfilter *)a)->name, ((const WireNwfilter *)b)->name);
}

static int list(Session *s, const Args *args UNUSED, Error *err)
{
        AUTO(Table) *table = table_new(TITLES("UUID", "Name"));
        WireConnectListAllNwfiltersRet found;

        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_NWFILTERS, &(WireConnectListAllNwfiltersArgs){ 1, 0 }, &found,
                         err) < 0)
                return fail(err, "Failed to list network filters");
        if (found.n_filters)
                qsort(found.filters, found.n_filters, sizeof(found.filters[0]), compare_filters);
        for (uint32_t i = 0; i < found.n_filters; i++) {
                char text[UUID_TEXT_LEN + 1];

                table_add(table, CELLS(uuid_format(&found.filters[i].uuid, text), found.filters[i].name));
        }
        out_table(s->out, table);
        return 0;
}

static const char *get_xml(Session *s, const WireNwfilter *filter, Error *err)
{
        WireNwfilterGetXmlDescRet ret;

        return session_call(s, WIRE_PROC_NWFILTER_GET_XML_DESC, &(WireNwfilterGetXmlDescArgs){ *filter, 0 }, &ret,
                            err) < 0
                       ? NULL
                       : ret.xml;
}

static int dumpxml(Session *s, const Args *args, Error *err)
{
        WireNwfilter filter;
        const char *xml;

        if (find_filter(s, args, &filter, err) < 0 || !(xml = get_xml(s, &filter, err)))
                return -1;
        return print_xml(s, args, xml, err);
}

/* A daemon from before there were flags is asked without. */
static int define_xml(Session *s, const char *xml, bool validate, WireNwfilter *ret, Error *err)
{
        WireNwfilterDefineXmlFlagsRet with;
        WireNwfilterDefineXmlRet without;

        if (validate) {
                WireNwfilterDefineXmlFlagsArgs call = { xml, VIR_NWFILTER_DEFINE_VALIDATE };

                if (session_call(s, WIRE_PROC_NWFILTER_DEFINE_XML_FLAGS, &call, &with, err) < 0)
                        return -1;
                *ret = with.nwfilter;
                return 0;
        }
        if (session_call(s, WIRE_PROC_NWFILTER_DEFINE_XML, &(WireNwfilterDefineXmlArgs){ xml }, &without, err) < 0)
                return -1;
        *ret = without.nwfilter;
        return 0;
}

static int define(Session *s, const Args *args, Error *err)
{
        AUTOFREE char *xml = read_text_file(arg_text(args, "file"), err);
        WireNwfilter filter;

        if (!xml || session_open(s, err) < 0)
                return -1;
        if (define_xml(s, xml, arg_has(args, "validate"), &filter, err) < 0)
                return fail(err, "Failed to define network filter from %s", arg_text(args, "file"));
        out_done(s->out, "Network filter %s defined from %s", filter.name, arg_text(args, "file"));
        return 0;
}

static int undefine(Session *s, const Args *args, Error *err)
{
        WireNwfilterUndefineArgs call;

        if (find_filter(s, args, &call.nwfilter, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NWFILTER_UNDEFINE, &call, NULL, err) < 0)
                return fail(err, "Failed to undefine network filter %s", call.nwfilter.name);
        out_done(s->out, "Network filter %s undefined", call.nwfilter.name);
        return 0;
}

static const char *fetch_definition(Session *s, void *arg, Error *err)
{
        return get_xml(s, arg, err);
}

static int apply_definition(Session *s, void *arg UNUSED, const char *text, Error *err)
{
        WireNwfilter filter;

        return define_xml(s, text, false, &filter, err);
}

static int edit_definition(Session *s, const Args *args, Error *err)
{
        WireNwfilter filter;
        Edit what = { .fetch = fetch_definition, .apply = apply_definition, .arg = &filter };

        if (find_filter(s, args, &filter, err) < 0)
                return -1;
        switch (edit(s, &what, err)) {
        case EDIT_FAILED:
                return -1;
        case EDIT_UNCHANGED:
                out_done(s->out, "Network filter %s XML configuration not changed.", filter.name);
                return 0;
        case EDIT_APPLIED:
                out_done(s->out, "Network filter %s XML configuration edited.", filter.name);
                return 0;
        }
        return -1;
}

/* --- bindings --- */

static int find_binding(Session *s, const Args *args, WireNwfilterBinding *ret, Error *err)
{
        const char *dev = arg_text(args, "binding");
        WireNwfilterBindingLookupByPortDevRet found;

        if (session_open(s, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NWFILTER_BINDING_LOOKUP_BY_PORT_DEV,
                         &(WireNwfilterBindingLookupByPortDevArgs){ dev }, &found, err) < 0)
                return fail(err, "failed to get nwfilter binding '%s'", dev);
        *ret = found.nwfilter;
        return 0;
}

static int compare_bindings(const void *a, const void *b)
{
        return strcasecmp(((const WireNwfilterBinding *)a)->portdev, ((const WireNwfilterBinding *)b)->portdev);
}

static int binding_list(Session *s, const Args *args UNUSED, Error *err)
{
        AUTO(Table) *table = table_new(TITLES("Port Dev", "Filter"));
        WireConnectListAllNwfilterBindingsRet found;

        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_NWFILTER_BINDINGS,
                         &(WireConnectListAllNwfilterBindingsArgs){ 1, 0 }, &found, err) < 0)
                return fail(err, "Failed to list network filter bindings");
        if (found.n_bindings)
                qsort(found.bindings, found.n_bindings, sizeof(found.bindings[0]), compare_bindings);
        for (uint32_t i = 0; i < found.n_bindings; i++)
                table_add(table, CELLS(found.bindings[i].portdev, found.bindings[i].filtername));
        out_table(s->out, table);
        return 0;
}

static int binding_dumpxml(Session *s, const Args *args, Error *err)
{
        WireNwfilterBindingGetXmlDescArgs call = { 0 };
        WireNwfilterBindingGetXmlDescRet ret;

        if (find_binding(s, args, &call.nwfilter, err) < 0 ||
            session_call(s, WIRE_PROC_NWFILTER_BINDING_GET_XML_DESC, &call, &ret, err) < 0)
                return -1;
        return print_xml(s, args, ret.xml, err);
}

static int binding_create(Session *s, const Args *args, Error *err)
{
        AUTOFREE char *xml = read_text_file(arg_text(args, "file"), err);
        WireNwfilterBindingCreateXmlRet ret;
        uint32_t flags = arg_has(args, "validate") ? VIR_NWFILTER_BINDING_CREATE_VALIDATE : 0;

        if (!xml || session_open(s, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NWFILTER_BINDING_CREATE_XML, &(WireNwfilterBindingCreateXmlArgs){ xml, flags },
                         &ret, err) < 0)
                return fail(err, "Failed to create network filter from %s", arg_text(args, "file"));
        out_done(s->out, "Network filter binding on %s created from %s", ret.nwfilter.portdev,
                 arg_text(args, "file"));
        return 0;
}

static int binding_delete(Session *s, const Args *args, Error *err)
{
        WireNwfilterBindingDeleteArgs call;

        if (find_binding(s, args, &call.nwfilter, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_NWFILTER_BINDING_DELETE, &call, NULL, err) < 0)
                return fail(err, "Failed to delete network filter binding on %s", call.nwfilter.portdev);
        out_done(s->out, "Network filter binding on %s deleted", call.nwfilter.portdev);
        return 0;
}

const Command nwfilter_commands[] = {
        { .name = "nwfilter-list", .group = GROUP_NWFILTER, .summary = "list network filters", .run = list },
        { .name = "nwfilter-dumpxml",
          .group = GROUP_NWFILTER,
          .args = ARG_FILTER ARGS_XML,
          .summary = "print a network filter as XML",
          .run = dumpxml },
        { .name = "nwfilter-define",
          .group = GROUP_NWFILTER,
          .args = ARG_XML_FILE ARG_VALIDATE,
          .summary = "define a network filter, or change its definition",
          .text = "Guests that it is in force on have the new rules at once, or, if they cannot be put into force, "
                  "everything stays as it was.",
          .run = define },
        { .name = "nwfilter-edit",
          .group = GROUP_NWFILTER,
          .args = ARG_FILTER,
          .summary = "change a network filter in an editor",
          .text = "Uses $VISUAL or $EDITOR, else vi.",
          .run = edit_definition },
        { .name = "nwfilter-undefine",
          .group = GROUP_NWFILTER,
          .args = ARG_FILTER,
          .summary = "remove a network filter",
          .text = "One that a guest or another filter uses stays.",
          .run = undefine },
        { .name = "nwfilter-binding-list",
          .group = GROUP_NWFILTER,
          .summary = "list the devices that network filters are in force on",
          .run = binding_list },
        { .name = "nwfilter-binding-dumpxml",
          .group = GROUP_NWFILTER,
          .args = ARG_BINDING ARGS_XML,
          .summary = "print what filter is in force on a device as XML",
          .run = binding_dumpxml },
        { .name = "nwfilter-binding-create",
          .group = GROUP_NWFILTER,
          .args = ARG_XML_FILE ARG_VALIDATE,
          .summary = "put a network filter into force on a device",
          .text = "Interfaces of guests need no such command: their definitions name the filter.",
          .run = binding_create },
        { .name = "nwfilter-binding-delete",
          .group = GROUP_NWFILTER,
          .args = ARG_BINDING,
          .summary = "take a network filter off a device",
          .text = "Packets go through it as they like from then on. A guest's interface has its filter again when "
                  "droverd is started anew.",
          .run = binding_delete },
        { 0 },
};
