/*
 * app/drover/cmd-net-check.c - what on this host keeps networks from working
 *
 * The host is looked at from here, not through the connection; the connection
 * says which networks there are.
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/str.h"
#include "host/net-check.h"
#include "wire/uri.h"

static const char *const verdicts[] = {
        [NET_FINE] = "ok",
        [NET_DOUBTFUL] = "warning",
        [NET_BROKEN] = "problem",
};

static int must_be_local(Session *s, Error *err)
{
        AUTO(Uri) *uri = uri_parse(s->uri, err);

        if (!uri)
                return -1;
        return uri->host ? err_set(err, ERR_INVALID_ARG,
                                   "net-check looks at the host it runs on, and '%s' is another one; run it there",
                                   uri->host)
                         : 0;
}

static void check_chains(NetFindings *found)
{
        AUTO(Error) why = { 0 };
        NftChain *chains;
        size_t n;

        if (nft_dropping_chains(found->arena, &chains, &n, &why) == 0)
                net_check_chains(chains, n, found);
        else
                net_findings_add(found, NET_DOUBTFUL, "packet filter", "not looked at: %s", why.text);
}

static int check_network(Session *s, const WireNetwork *net, NetFindings *found, Error *err)
{
        WireNetworkGetXmlDescArgs args = { .net = *net };
        AUTO(NetworkDef) *def = NULL;
        WireNetworkGetXmlDescRet ret;
        WireNetworkGetAutostartRet autostart;
        WireNetworkIsActiveRet active;

        if (session_call(s, WIRE_PROC_NETWORK_IS_ACTIVE, &(WireNetworkIsActiveArgs){ *net }, &active, err) < 0 ||
            session_call(s, WIRE_PROC_NETWORK_GET_AUTOSTART, &(WireNetworkGetAutostartArgs){ *net }, &autostart,
                         err) < 0)
                return -1;
        if (active.active != 1) {
                if (autostart.autostart == 1)
                        net_findings_add(
                                found, NET_DOUBTFUL, "networks",
                                "network '%s' is to start with the host and is not active; `drover net-start "
                                "%s` says what is in its way",
                                net->name, net->name);
                return 0;
        }
        if (session_call(s, WIRE_PROC_NETWORK_GET_XML_DESC, &args, &ret, err) < 0 ||
            network_def_parse(ret.xml, strlen(ret.xml), 0, &def, NULL, err) < 0)
                return -1;
        net_check_network("", def, found);
        return 0;
}

/* What the daemon says is half of it only: without one the host is looked at all the same. */
static void check_networks(Session *s, NetFindings *found)
{
        WireConnectListAllNetworksRet all;
        AUTO(Error) why = { 0 };

        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_NETWORKS, &(WireConnectListAllNetworksArgs){ 1, 0 }, &all,
                         &why) < 0) {
                net_findings_add(found, NET_DOUBTFUL, "networks", "not looked at: %s", why.text);
                return;
        }
        for (uint32_t i = 0; i < all.n_nets; i++) {
                AUTO(Error) failure = { 0 };

                if (check_network(s, &all.nets[i], found, &failure) < 0 && failure.code != ERR_NO_NETWORK)
                        net_findings_add(found, NET_DOUBTFUL, "networks", "'%s' was not looked at: %s",
                                         all.nets[i].name, failure.text);
        }
}

static int check(Session *s, const Args *args, Error *err)
{
        AUTO(Table) *table = table_new(TITLES("Check", "Result", "Details"));
        AUTO(NetFindings) found = { .arena = session_arena(s) };
        bool broken = false;

        if (must_be_local(s, err) < 0)
                return -1;
        net_check_host("", &found);
        net_check_bridges("", &found);
        check_chains(&found);
        check_networks(s, &found);
        for (size_t i = 0; i < found.list.len; i++) {
                const NetFinding *f = &found.list.items[i];

                broken = broken || f->verdict == NET_BROKEN;
                if (f->verdict != NET_FINE || !arg_has(args, "problems"))
                        table_add(table, CELLS(f->about, verdicts[f->verdict], f->text));
        }
        out_table(s->out, table);
        return broken ? -1 : 0;
}

const Command net_check_commands[] = {
        { .name = "net-check",
          .group = GROUP_NETWORK,
          .args = "[--problems]  leave out what is in order",
          .summary = "say what on this host keeps networks from working",
          .text = "Looks at programs, switches of the kernel, the packet filter, bridges and their members. A warning may "
                  "be meant so; with a problem the command fails. Rules of the packet filter are shown to root only.",
          .run = check },
        { 0 },
};
