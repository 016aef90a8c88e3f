/*
 * app/drover/cmd-pool-as.c - storage pools whose definition is made from words
 */
#include "app/drover/commands.h"
#include "app/drover/storage.h"
#include "app/drover/xml.h"

#include "base/str.h"

static void put_auth(const Args *args, Buf *xml)
{
        const char *type = arg_text(args, "auth-type"), *user = arg_text(args, "auth-username");

        if (!type || !user)
                return;
        buf_put_text(xml, "    <auth type='");
        xml_escape(type, xml);
        buf_put_text(xml, "' username='");
        xml_escape(user, xml);
        buf_put_text(xml, "'>\n");
        put_attribute(xml, 3, "secret", "usage", arg_text(args, "secret-usage"));
        put_attribute(xml, 3, "secret", "uuid", arg_text(args, "secret-uuid"));
        buf_put_text(xml, "    </auth>\n");
}

/* A SCSI host by its name, or a virtual one by what fibre channel calls it (STO-08). */
static void put_adapter(const Args *args, Buf *xml)
{
        static const char *const fibre[][2] = {
                { "adapter-parent", "parent" },
                { "adapter-parent-wwnn", "parent_wwnn" },
                { "adapter-parent-wwpn", "parent_wwpn" },
                { "adapter-parent-fabric-wwn", "parent_fabric_wwn" },
                { "adapter-wwnn", "wwnn" },
                { "adapter-wwpn", "wwpn" },
        };

        if (!arg_has(args, "adapter-wwnn") || !arg_has(args, "adapter-wwpn")) {
                put_attribute(xml, 2, "adapter type='scsi_host'", "name", arg_text(args, "adapter-name"));
                return;
        }
        buf_put_text(xml, "    <adapter type='fc_host'");
        for (size_t i = 0; i < ARRAY_LEN(fibre); i++) {
                if (!arg_has(args, fibre[i][0]))
                        continue;
                buf_format(xml, " %s='", fibre[i][1]);
                xml_escape(arg_text(args, fibre[i][0]), xml);
                buf_put_text(xml, "'");
        }
        buf_put_text(xml, "/>\n");
}

static void put_source(const Args *args, Buf *xml)
{
        put_attribute(xml, 2, "host", "name", arg_text(args, "source-host"));
        put_attribute(xml, 2, "dir", "path", arg_text(args, "source-path"));
        put_attribute(xml, 2, "device", "path", arg_text(args, "source-dev"));
        put_element(xml, 2, "name", arg_text(args, "source-name"));
        if (arg_has(args, "source-initiator")) {
                buf_put_text(xml, "    <initiator>\n");
                put_attribute(xml, 3, "iqn", "name", arg_text(args, "source-initiator"));
                buf_put_text(xml, "    </initiator>\n");
        }
        put_auth(args, xml);
        put_adapter(args, xml);
        put_attribute(xml, 2, "format", "type", arg_text(args, "source-format"));
        put_attribute(xml, 2, "protocol", "ver", arg_text(args, "source-protocol-ver"));
}

static void build_xml(const Args *args, Buf *xml)
{
        AUTO(Buf) source = { 0 };

        put_source(args, &source);
        buf_put_text(xml, "<pool type='");
        xml_escape(arg_text(args, "type"), xml);
        buf_put_text(xml, "'>\n");
        put_element(xml, 1, "name", arg_text(args, "name"));
        if (source.len)
                buf_format(xml, "  <source>\n%s  </source>\n", buf_text(&source));
        if (arg_has(args, "target")) {
                buf_put_text(xml, "  <target>\n");
                put_element(xml, 2, "path", arg_text(args, "target"));
                buf_put_text(xml, "  </target>\n");
        }
        buf_put_text(xml, "</pool>\n");
}

static int from_words(Session *s, const Args *args, bool define, Error *err)
{
        const char *name = arg_text(args, "name");
        AUTO(Buf) xml = { 0 };
        WireStoragePool pool;
        uint32_t flags = 0;

        if (!define && pool_create_flags(args, &flags, err) < 0)
                return -1;
        build_xml(args, &xml);
        if (arg_has(args, "print-xml")) {
                out_print(s->out, "%s", buf_text(&xml));
                out_set_text(s->out, "xml", buf_text(&xml));
                return 0;
        }
        if ((define ? pool_define_text : pool_create_text)(s, buf_text(&xml), flags, &pool, err) < 0)
                return fail(err, "Failed to %s pool %s", define ? "define" : "create", name);
        out_done(s->out, "Pool %s %s", pool.name, define ? "defined" : "created");
        return 0;
}

static int pool_define_as(Session *s, const Args *args, Error *err)
{
        return from_words(s, args, true, err);
}

static int pool_create_as(Session *s, const Args *args, Error *err)
{
        return from_words(s, args, false, err);
}

#define ARGS_AS                                                                                                      \
        "NAME                       its name\n"                                                                      \
        "TYPE{" POOL_KINDS "}       kind of pool\n"                                                                  \
        "[--print-xml]              show the definition, do nothing\n"                                               \
        "[--source-host HOST]       server\n"                                                                        \
        "[--source-path PATH]       directory on the server\n"                                                       \
        "[--source-dev DEVICE]      device\n"                                                                        \
        "[--source-name NAME]       name of the source\n"                                                            \
        "[--target PATH]            where its volumes are found\n"                                                   \
        "[--source-format FORMAT]   file system, or kind of partition table\n"                                       \
        "[--auth-type=TYPE{chap,ceph}]  how to log in at the server\n"                                               \
        "[--auth-username=USER]     user\n"                                                                          \
        "[--secret-usage=USAGE]     password, by its use\n"                                                          \
        "[--secret-uuid=UUID]       password, by its UUID\n"                                                         \
        "[--adapter-name=NAME]      SCSI host\n"                                                                     \
        "[--adapter-wwnn=WWN]       node name of a virtual SCSI host\n"                                              \
        "[--adapter-wwpn=WWN]       port name of it; both together\n"                                                \
        "[--adapter-parent=NAME]    SCSI host it is made on\n"                                                       \
        "[--adapter-parent-wwnn=WWN]  that host, by its node name\n"                                                 \
        "[--adapter-parent-wwpn=WWN]  and port name\n"                                                               \
        "[--adapter-parent-fabric-wwn=WWN]  that host, by its fabric\n"                                              \
        "[--source-initiator=IQN]   our iSCSI name\n"                                                                \
        "[--source-protocol-ver=N]  version of NFS\n"

const Command pool_as_commands[] = {
        { .name = "pool-create-as",
          .group = GROUP_STORAGE,
          .args = ARGS_AS ARGS_BUILD,
          .summary = "start a storage pool from words, until it is stopped",
          .run = pool_create_as },
        { .name = "pool-define-as",
          .group = GROUP_STORAGE,
          .args = ARGS_AS,
          .summary = "define a storage pool from words",
          .run = pool_define_as },
        { 0 },
};
