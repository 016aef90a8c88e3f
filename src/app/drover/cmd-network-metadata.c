/*
 * app/drover/cmd-network-metadata.c - titles, descriptions and metadata of networks
 */
#include "app/drover/commands.h"
#include "app/drover/described.h"
#include "app/drover/network.h"

static int get(Session *s, const WireNetwork *net, int type, const char *uri, uint32_t flags, const char **ret,
               Error *err)
{
        WireNetworkGetMetadataRet found;

        if (session_call(s, WIRE_PROC_NETWORK_GET_METADATA, &(WireNetworkGetMetadataArgs){ *net, type, uri, flags },
                         &found, err) < 0)
                return -1;
        *ret = found.metadata;
        return 0;
}

const char *network_words(Session *s, const WireNetwork *net, int type, uint32_t flags, Error *err)
{
        AUTO(Error) why = { 0 };
        const char *text;

        if (get(s, net, type, NULL, flags, &text, &why) == 0)
                return text;
        if (why.code == ERR_NO_NETWORK_METADATA)
                return "";
        err_move(err, &why);
        return NULL;
}

static const char *words(Session *s, const Described *of, int type, Error *err)
{
        return network_words(s, of->wire, type, of->flags, err);
}

static int get_element(Session *s, const Described *of, const char *uri, const char **ret, Error *err)
{
        return get(s, of->wire, VIR_NETWORK_METADATA_ELEMENT, uri, of->flags, ret, err);
}

static int set(Session *s, const Described *of, int type, const char *text, const char *key, const char *uri,
               Error *err)
{
        WireNetworkSetMetadataArgs call = { .network = *(const WireNetwork *)of->wire,
                                            .type = type,
                                            .metadata = text,
                                            .key = key,
                                            .uri = uri,
                                            .flags = of->flags };

        return session_call(s, WIRE_PROC_NETWORK_SET_METADATA, &call, NULL, err);
}

/* The flags of networks have the numbers of guests'. */
static int begin(Session *s, const Args *args, WireNetwork *net, Described *ret, Error *err)
{
        *ret = (Described){ .noun = "network",
                            .wire = net,
                            .nothing = ERR_NO_NETWORK_METADATA,
                            .words = words,
                            .get_element = get_element,
                            .set = set };
        if (affect_flags(args, &ret->flags, err) < 0 || find_network(s, args, net, err) < 0)
                return -1;
        ret->name = net->name;
        return 0;
}

static int desc(Session *s, const Args *args, Error *err)
{
        WireNetwork net;
        Described of;

        return begin(s, args, &net, &of, err) < 0 ? -1 : described_desc(s, args, &of, err);
}

static int metadata(Session *s, const Args *args, Error *err)
{
        WireNetwork net;
        Described of;

        if (described_check_metadata(args, err) < 0 || begin(s, args, &net, &of, err) < 0)
                return -1;
        return described_metadata(s, args, &of, err);
}

const Command network_notes_commands[] = {
        { .name = "net-desc",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK ARGS_AFFECT_NETWORK ARGS_DESC,
          .summary = "show or set a network's description or title",
          .run = desc },
        { .name = "net-metadata",
          .group = GROUP_NETWORK,
          .args = ARG_NETWORK "URI          XML namespace of the element\n" ARGS_AFFECT_NETWORK ARGS_METADATA,
          .summary = "show or set what another program keeps with a network's definition",
          .run = metadata },
        { 0 },
};
