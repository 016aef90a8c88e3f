/*
 * app/drover/cmd-pool-sources.c - what a host or a server has that could be a storage pool
 */
#include "app/drover/commands.h"
#include "app/drover/storage.h"
#include "app/drover/xml.h"

#include "base/str.h"

static int print_sources(Session *s, const Args *args, const char *where, Error *err)
{
        const char *type = arg_text(args, "type");
        WireConnectFindStoragePoolSourcesRet ret;

        if (session_call(s, WIRE_PROC_CONNECT_FIND_STORAGE_POOL_SOURCES,
                         &(WireConnectFindStoragePoolSourcesArgs){ .type = type, .srcSpec = where }, &ret, err) < 0)
                return fail(err, "Failed to find any %s pool sources", type);
        out_value(s->out, "xml", ret.xml);
        return 0;
}

static int find_sources(Session *s, const Args *args, Error *err)
{
        const char *file = arg_text(args, "srcSpec");
        AUTOFREE char *where = file ? read_text_file(file, err) : NULL;

        return file && !where ? -1 : print_sources(s, args, where, err);
}

static int find_sources_as(Session *s, const Args *args, Error *err)
{
        const char *host = arg_text(args, "host"), *port = arg_text(args, "port"),
                   *initiator = arg_text(args, "initiator");
        AUTO(Buf) where = { 0 };

        if (!host && (port || initiator))
                return err_set(err, ERR_INVALID_ARG, "--%s needs --host, the server to ask",
                               port ? "port" : "initiator");
        if (!host)
                return print_sources(s, args, NULL, err);
        buf_put_text(&where, "<source><host name='");
        xml_escape(host, &where);
        if (port) {
                buf_put_text(&where, "' port='");
                xml_escape(port, &where);
        }
        buf_put_text(&where, "'/>");
        if (initiator) {
                buf_put_text(&where, "<initiator><iqn name='");
                xml_escape(initiator, &where);
                buf_put_text(&where, "'/></initiator>");
        }
        buf_put_text(&where, "</source>");
        return print_sources(s, args, buf_text(&where), err);
}

#define ARG_KIND "TYPE{" POOL_KINDS "}  kind of pool\n"

const Command pool_sources_commands[] = {
        { .name = "find-storage-pool-sources",
          .group = GROUP_STORAGE,
          .args = ARG_KIND "[--srcSpec FILE]  where to look: a <source>, XML",
          .summary = "list what could be a storage pool of this kind",
          .text = "Volume groups, exports, targets, volumes of a server: what is found can stand as <source> in a "
                  "definition.",
          .run = find_sources },
        { .name = "find-storage-pool-sources-as",
          .group = GROUP_STORAGE,
          .args = ARG_KIND "[--host HOST]       server to ask\n"
                           "[--port PORT]       its port\n"
                           "[--initiator IQN]   our iSCSI name",
          .summary = "list what could be a storage pool of this kind, at a server",
          .run = find_sources_as },
        { 0 },
};
