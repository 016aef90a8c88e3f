/*
 * app/drover/cmd-metadata.c - titles, descriptions and metadata of guests
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"
#include "app/drover/editor.h"

#include "base/str.h"

static int get_metadata(Session *s, const WireDomain *dom, int type, const char *uri, uint32_t flags,
                        const char **ret, Error *err)
{
        WireDomainGetMetadataArgs call = { *dom, type, uri, flags };
        WireDomainGetMetadataRet found;

        if (session_call(s, WIRE_PROC_DOMAIN_GET_METADATA, &call, &found, err) < 0)
                return -1;
        *ret = found.metadata;
        return 0;
}

static int edited_text(const char *before, char **ret, Error *err)
{
        AUTOFREE char *changed = NULL;

        if (editor_run(before, ".txt", &changed, err) < 0)
                return -1;
        *ret = changed ? TAKE(changed) : str_dup(before);
        for (size_t n = strlen(*ret); n && (*ret)[n - 1] == '\n'; n--)
                (*ret)[n - 1] = '\0';
        return 0;
}

static int set_text(Session *s, const Args *args, WireDomainSetMetadataArgs *call, const char *what, Error *err)
{
        AUTOFREE char *text = arg_joined(args, "new-desc");
        const char *now;

        if (arg_has(args, "edit")) {
                AUTOFREE char *edited = NULL;

                now = domain_words(s, &call->dom, call->type, call->flags, err);
                if (!now || edited_text(text ?: now, &edited, err) < 0)
                        return -1;
                if (str_eq(edited, now)) {
                        out_done(s->out, "Domain %s not changed", what);
                        return 0;
                }
                free(text);
                text = TAKE(edited);
        }
        call->metadata = text;
        if (session_call(s, WIRE_PROC_DOMAIN_SET_METADATA, call, NULL, err) < 0)
                return fail(err, "Failed to set new domain %s", what);
        out_done(s->out, "Domain %s updated successfully", what);
        return 0;
}

static int desc(Session *s, const Args *args, Error *err)
{
        bool title = arg_has(args, "title");
        WireDomainSetMetadataArgs call = { .type = title ? VIR_DOMAIN_METADATA_TITLE
                                                         : VIR_DOMAIN_METADATA_DESCRIPTION };
        WireDomainGetStateRet state;
        const char *text;

        if (affect_flags(args, &call.flags, err) < 0 || find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_STATE, &(WireDomainGetStateArgs){ call.dom, 0 }, &state, err) < 0)
                return -1;
        if (arg_has(args, "edit") || arg_has(args, "new-desc"))
                return set_text(s, args, &call, title ? "title" : "description", err);
        text = domain_words(s, &call.dom, call.type, call.flags, err);
        if (!text)
                return -1;
        out_set_text(s->out, title ? "title" : "description", text);
        if (*text)
                out_print(s->out, "%s\n", text);
        else if (!output_is_json(s->out))
                out_note(s->out, "No %s for domain: %s", title ? "title" : "description", call.dom.name);
        return 0;
}

static const char *fetch_metadata(Session *s, void *arg, Error *err)
{
        WireDomainSetMetadataArgs *call = arg;
        AUTO(Error) why = { 0 };
        const char *text = "";

        if (get_metadata(s, &call->dom, call->type, call->uri, call->flags, &text, &why) < 0 &&
            why.code != ERR_NO_DOMAIN_METADATA) {
                err_move(err, &why);
                return NULL;
        }
        return *text ? text : "\n";
}

static int apply_metadata(Session *s, void *arg, const char *text, Error *err)
{
        WireDomainSetMetadataArgs *call = arg;

        call->metadata = text;
        return session_call(s, WIRE_PROC_DOMAIN_SET_METADATA, call, NULL, err);
}

static int metadata(Session *s, const Args *args, Error *err)
{
        WireDomainSetMetadataArgs call = { .type = VIR_DOMAIN_METADATA_ELEMENT,
                                           .metadata = arg_text(args, "set"),
                                           .key = arg_text(args, "key"),
                                           .uri = arg_text(args, "uri") };
        Edit what = { .fetch = fetch_metadata, .apply = apply_metadata, .arg = &call };
        const char *text;

        if (refuse_both(args, "edit", "set", err) < 0 || refuse_both(args, "remove", "set", err) < 0 ||
            refuse_both(args, "remove", "edit", err) < 0 || affect_flags(args, &call.flags, err) < 0)
                return -1;
        if ((call.metadata || arg_has(args, "edit")) && !call.key)
                return err_set(err, ERR_INVALID_ARG, "namespace key is required when modifying metadata");
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (arg_has(args, "edit")) {
                EditResult result = edit(s, &what, err);

                if (result != EDIT_FAILED)
                        out_done(s->out, result == EDIT_APPLIED ? "Metadata modified" : "Metadata not changed");
                return result == EDIT_FAILED ? -1 : 0;
        }
        if (call.metadata || arg_has(args, "remove")) {
                if (session_call(s, WIRE_PROC_DOMAIN_SET_METADATA, &call, NULL, err) < 0)
                        return -1;
                out_done(s->out, call.metadata ? "Metadata modified" : "Metadata removed");
                return 0;
        }
        if (get_metadata(s, &call.dom, call.type, call.uri, call.flags, &text, err) < 0)
                return -1;
        out_value(s->out, "metadata", text);
        return 0;
}

const Command metadata_commands[] = {
        { .name = "desc",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN ARGS_AFFECT "[--title]        the title instead of the description\n"
                                         "[--edit]         in an editor\n"
                                         "[NEW-DESC]...    the new text",
          .summary = "show or set a guest's description or title",
          .run = desc },
        { .name = "metadata",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "URI          XML namespace of the element\n" ARGS_AFFECT "[--edit]     in an editor\n"
                             "[--key KEY]  prefix for that namespace\n"
                             "[--set XML]  the new element\n"
                             "[--remove]   take it away",
          .summary = "show or set what another program keeps with a guest's definition",
          .run = metadata },
        { 0 },
};
