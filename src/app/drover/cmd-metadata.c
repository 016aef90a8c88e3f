/*
 * app/drover/cmd-metadata.c - titles, descriptions and metadata of guests
 */
#include "app/drover/commands.h"
#include "app/drover/described.h"

static const char *words(Session *s, const Described *of, int type, Error *err)
{
        return domain_words(s, of->wire, type, of->flags, err);
}

static int get_element(Session *s, const Described *of, const char *uri, const char **ret, Error *err)
{
        WireDomainGetMetadataArgs call = { *(const WireDomain *)of->wire, VIR_DOMAIN_METADATA_ELEMENT, uri,
                                           of->flags };
        WireDomainGetMetadataRet found;

        if (session_call(s, WIRE_PROC_DOMAIN_GET_METADATA, &call, &found, err) < 0)
                return -1;
        *ret = found.metadata;
        return 0;
}

static int set(Session *s, const Described *of, int type, const char *text, const char *key, const char *uri,
               Error *err)
{
        WireDomainSetMetadataArgs call = { .dom = *(const WireDomain *)of->wire,
                                           .type = type,
                                           .metadata = text,
                                           .key = key,
                                           .uri = uri,
                                           .flags = of->flags };

        return session_call(s, WIRE_PROC_DOMAIN_SET_METADATA, &call, NULL, err);
}

static const Described guest = {
        .noun = "domain", .nothing = ERR_NO_DOMAIN_METADATA, .words = words, .get_element = get_element, .set = set
};

static int desc(Session *s, const Args *args, Error *err)
{
        Described of = guest;
        WireDomainGetStateRet state;
        WireDomain dom;

        if (affect_flags(args, &of.flags, err) < 0 || find_domain(s, args, &dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_STATE, &(WireDomainGetStateArgs){ dom, 0 }, &state, err) < 0)
                return -1;
        of.name = dom.name;
        of.wire = &dom;
        return described_desc(s, args, &of, err);
}

static int metadata(Session *s, const Args *args, Error *err)
{
        Described of = guest;
        WireDomain dom;

        if (affect_flags(args, &of.flags, err) < 0 || described_check_metadata(args, err) < 0 ||
            find_domain(s, args, &dom, err) < 0)
                return -1;
        of.name = dom.name;
        of.wire = &dom;
        return described_metadata(s, args, &of, err);
}

const Command metadata_commands[] = {
        { .name = "desc",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN ARGS_AFFECT ARGS_DESC,
          .summary = "show or set a guest's description or title",
          .run = desc },
        { .name = "metadata",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "URI          XML namespace of the element\n" ARGS_AFFECT ARGS_METADATA,
          .summary = "show or set what another program keeps with a guest's definition",
          .run = metadata },
        { 0 },
};
