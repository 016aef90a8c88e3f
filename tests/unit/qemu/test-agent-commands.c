#include "test.h"

#include "base/buf.h"
#include "base/str.h"
#include "qemu/agent-commands.h"

#include <json-c/json.h>
#include <sys/socket.h>
#include <unistd.h>

/* A scripted agent: it answers every synchronisation, and each command with what its row says. */
typedef struct Script {
        const char *command, *reply;
} Script;

typedef struct Fake {
        Loop *loop;
        AgentClient *agent;
        AgentInquiry *inquiry;
        int peer;
        const Script *script;
        Buf heard, said;
} Fake;

static void setup(Fake *fake, const Script *script)
{
        int ends[2];

        *fake = (Fake){ .loop = loop_new_fake(NULL), .script = script };
        CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
        fake->peer = ends[1];
        fake->agent = agent_client_new(fake->loop, ends[0], NULL, NULL, NULL);
}

static void teardown(Fake *fake)
{
        agent_inquiry_free(fake->inquiry);
        agent_client_free(fake->agent);
        close(fake->peer);
        loop_free(fake->loop);
        buf_done(&fake->heard);
        buf_done(&fake->said);
}

static void answer(Fake *fake, const char *request)
{
        const char *id = strstr(request, "\"id\":");
        const char *reply = "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"not here\"}}";
        AUTOFREE char *text = NULL;

        if (id) {
                text = str_format("\xff{\"return\": %lu}\n", strtoul(id + 5, NULL, 10));
        } else {
                buf_put_text(&fake->heard, request);
                for (const Script *row = fake->script; row->command; row++) {
                        AUTOFREE char *quoted = str_format("\"%s\"", row->command);

                        if (strstr(request, quoted))
                                reply = row->reply;
                }
                text = str_format("%s\n", reply);
        }
        CHECK_INT(send(fake->peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Until neither side has anything to say. */
static void play(Fake *fake)
{
        char request[65536];
        ssize_t n;

        while ((n = recv(fake->peer, request, sizeof(request) - 1, 0)) > 0) {
                request[n] = '\0';
                answer(fake, request);
                while (loop_turn(fake->loop, 0, NULL) > 0)
                        ;
        }
}

static void got_params(void *arg, const AgentParam *params, size_t n, const Error *failure)
{
        Fake *fake = arg;

        if (failure)
                buf_format(&fake->said, "%s\n", failure->text);
        for (size_t i = 0; i < n; i++) {
                if (params[i].type == AGENT_PARAM_TEXT)
                        buf_format(&fake->said, "%s=%s\n", params[i].name, params[i].text);
                else
                        buf_format(&fake->said, "%s=%lld (%d)\n", params[i].name, (long long)params[i].number,
                                   params[i].type);
        }
}

static void check_inquiry(const Script *script, unsigned groups, const char *expected)
{
        Fake fake;

        setup(&fake, script);
        fake.inquiry = agent_inquiry_new(fake.agent, NULL, groups, got_params, &fake);
        play(&fake);
        CHECK_STR(buf_text(&fake.said), expected);
        teardown(&fake);
}

TEST(an_inquiry_names_every_value_as_clients_know_it)
{
        static const Script script[] = {
                { "guest-get-users", "{\"return\": [{\"login-time\": 1700000000.25, \"user\": \"ann\"}]}" },
                { "guest-get-osinfo", "{\"return\": {\"id\": \"debian\", \"kernel-release\": \"6.1\"}}" },
                { "guest-get-timezone", "{\"return\": {\"zone\": \"UTC\", \"offset\": -3600}}" },
                { "guest-get-host-name", "{\"return\": {\"host-name\": \"guest1\"}}" },
                { "guest-get-fsinfo",
                  "{\"return\": [{\"name\": \"vda1\", \"mountpoint\": \"/\", \"type\": \"ext4\", \"total-bytes\": 100, "
                  "\"used-bytes\": 40, \"disk\": [{\"pci-controller\": {\"domain\": 0, \"bus\": 4, \"slot\": 0, "
                  "\"function\": 0}, \"bus-type\": \"virtio\", \"bus\": 0, \"target\": 0, \"unit\": 0, "
                  "\"serial\": \"S1\", \"dev\": \"/dev/vda1\"}]}]}" },
                { "guest-get-disks",
                  "{\"return\": [{\"name\": \"/dev/vda1\", \"partition\": true, \"dependencies\": [\"/dev/vda\"]}, "
                  "{\"name\": \"/dev/vda\", \"partition\": false, \"alias\": \"root\"}]}" },
                { "guest-network-get-interfaces",
                  "{\"return\": [{\"name\": \"eth0\", \"hardware-address\": \"52:54:00:00:00:01\", \"ip-addresses\": "
                  "[{\"ip-address\": \"10.0.0.2\", \"ip-address-type\": \"ipv4\", \"prefix\": 24}]}]}" },
                { 0 },
        };

        check_inquiry(script, 0,
                      "user.count=1 (2)\nuser.0.name=ann\nuser.0.login-time=1700000000250 (3)\n"
                      "os.id=debian\nos.kernel-release=6.1\ntimezone.name=UTC\ntimezone.offset=-3600 (1)\n"
                      "hostname=guest1\nfs.count=1 (2)\nfs.0.name=vda1\nfs.0.mountpoint=/\nfs.0.fstype=ext4\n"
                      "fs.0.total-bytes=100 (3)\nfs.0.used-bytes=40 (3)\nfs.0.disk.count=1 (2)\n"
                      "fs.0.disk.0.serial=S1\nfs.0.disk.0.device=/dev/vda1\n"
                      "disk.count=2 (2)\ndisk.0.name=/dev/vda1\ndisk.0.partition=1 (4)\n"
                      "disk.0.dependency.count=1 (2)\ndisk.0.dependency.0.name=/dev/vda\n"
                      "disk.1.name=/dev/vda\ndisk.1.partition=0 (4)\ndisk.1.guest_alias=root\n"
                      "if.count=1 (2)\nif.0.name=eth0\nif.0.hwaddr=52:54:00:00:00:01\nif.0.addr.count=1 (2)\n"
                      "if.0.addr.0.type=ipv4\nif.0.addr.0.addr=10.0.0.2\nif.0.addr.0.prefix=24 (2)\n");
}

TEST(what_an_old_agent_does_not_know_is_left_out_unless_it_was_asked_for)
{
        static const Script script[] = {
                { "guest-get-host-name", "{\"return\": {\"host-name\": \"old\"}}" },
                { 0 },
        };

        check_inquiry(script, 0, "hostname=old\n");
        check_inquiry(script, AGENT_INFO_HOSTNAME, "hostname=old\n");
        check_inquiry(script, AGENT_INFO_OS | AGENT_INFO_HOSTNAME,
                      "the guest agent refused 'guest-get-osinfo': not here\n");
}

TEST(an_answer_of_the_wrong_shape_is_refused)
{
        static const struct {
                const char *reply, *complaint;
        } cases[] = {
                { "{\"return\": []}",
                  "the answer to 'guest-get-host-name' cannot be used: HostName is not an object\n" },
                { "{\"return\": {}}",
                  "the answer to 'guest-get-host-name' cannot be used: HostName lacks 'host-name'\n" },
                { "{\"return\": {\"host-name\": 7}}",
                  "the answer to 'guest-get-host-name' cannot be used: 'host-name' is not a text\n" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                Script script[] = { { "guest-get-host-name", cases[i].reply }, { 0 } };

                check_inquiry(script, AGENT_INFO_HOSTNAME, cases[i].complaint);
        }
}

TEST(a_guest_of_a_thousand_disks_does_not_fill_an_answer)
{
        AUTO(Buf) reply = { 0 };
        Script script[] = { { "guest-get-disks", NULL }, { 0 } };

        buf_put_text(&reply, "{\"return\": [");
        for (int i = 0; i < 1100; i++)
                buf_format(&reply, "%s{\"name\": \"d\", \"partition\": false}", i ? "," : "");
        buf_put_text(&reply, "]}");
        script[0].reply = buf_text(&reply);
        check_inquiry(script, AGENT_INFO_DISKS, "the guest agent gave 2049 values, more than 2048\n");
}

static void got_done(void *arg, const Error *failure)
{
        buf_put_text(&((Fake *)arg)->said, failure ? failure->text : "done");
}

static void got_count(void *arg, int64_t n, const Error *failure)
{
        buf_format(&((Fake *)arg)->said, "%s%lld ", failure ? failure->text : "", (long long)n);
}

TEST(passwords_travel_in_base_64_and_freezing_takes_mountpoints)
{
        static const Script script[] = {
                { "guest-set-user-password", "{\"return\": {}}" },
                { "guest-fsfreeze-freeze", "{\"return\": 3}" },
                { "guest-fsfreeze-freeze-list", "{\"return\": 1}" },
                { 0 },
        };
        static const char *const mountpoints[] = { "/srv" };
        Fake fake;

        setup(&fake, script);
        agent_set_password(fake.agent, "root", "s\xc3\xa9same", false, got_done, &fake);
        agent_freeze(fake.agent, NULL, 0, got_count, &fake);
        agent_freeze(fake.agent, mountpoints, 1, got_count, &fake);
        play(&fake);
        CHECK_STR(buf_text(&fake.said), "done3 1 ");
        CHECK_STR(buf_text(&fake.heard),
                  "{\"execute\":\"guest-set-user-password\",\"arguments\":{\"username\":\"root\",\"password\":"
                  "\"c8Opc2FtZQ==\",\"crypted\":false}}\n{\"execute\":\"guest-fsfreeze-freeze\"}\n"
                  "{\"execute\":\"guest-fsfreeze-freeze-list\",\"arguments\":{\"mountpoints\":[\"/srv\"]}}\n");
        teardown(&fake);
}

TEST(processors_are_listed_in_the_guests_numbering)
{
        static const AgentVcpu vcpus[] = {
                { .logical_id = 0, .online = true },
                { .logical_id = 2, .online = true, .has_can_offline = true, .can_offline = true },
                { .logical_id = 1, .online = true, .has_can_offline = true, .can_offline = true },
                { .logical_id = 7, .online = false, .has_can_offline = true, .can_offline = true },
        };
        static const AgentVcpu odd = { .logical_id = INT64_MAX };
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        AgentParam params[3];

        CHECK_INT(agent_vcpu_params(vcpus, ARRAY_LEN(vcpus), arena, params, &err), 0);
        CHECK_STR(params[0].text, "0-2,7");
        CHECK_STR(params[1].text, "0-2");
        CHECK_STR(params[2].text, "1-2,7");
        CHECK_INT(agent_vcpu_params(&odd, 1, arena, params, &err), -1);
        CHECK_STR(err.text, "the guest agent numbers a processor 9223372036854775807");
}

static char *planned(const AgentVcpu *plan, size_t n)
{
        AUTO(Buf) text = { 0 };

        for (size_t i = 0; i < n; i++)
                buf_format(&text, "%lld%s ", (long long)plan[i].logical_id, plan[i].online ? "on" : "off");
        return str_dup(buf_text(&text));
}

TEST(only_processors_that_differ_are_switched_and_those_that_cannot_are_named)
{
        static const AgentVcpu vcpus[] = {
                { .logical_id = 0, .online = true },
                { .logical_id = 1, .online = true, .has_can_offline = true, .can_offline = true },
                { .logical_id = 2, .online = false, .has_can_offline = true, .can_offline = true },
        };
        static const struct {
                const char *list;
                bool online;
                const char *expected;
        } cases[] = {
                { "1-2", true, "2on " },
                { "1-2", false, "1off " },
                { "0", true, "" },
                { "0-1", false, "processor 0 of the guest cannot be switched off" },
                { "1,9", true, "the guest has no processor 9" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE AgentVcpu *plan = NULL;
                AUTOFREE char *text = NULL;
                AUTO(Error) err = { 0 };
                Bitmap wanted;
                size_t n = 0;

                CHECK_INT(bitmap_parse(cases[i].list, &wanted, NULL), 0);
                if (agent_vcpu_switch(vcpus, ARRAY_LEN(vcpus), &wanted, cases[i].online, &plan, &n, &err) == 0)
                        text = planned(plan, n);
                CHECK_STR(text ?: err.text, cases[i].expected);
        }
}

TEST(a_number_of_processors_takes_the_lowest_and_gives_up_the_highest)
{
        static const AgentVcpu vcpus[] = {
                { .logical_id = 0, .online = true },
                { .logical_id = 1, .online = false, .has_can_offline = true, .can_offline = true },
                { .logical_id = 2, .online = true, .has_can_offline = true, .can_offline = true },
                { .logical_id = 3, .online = true },
        };
        static const struct {
                unsigned count;
                const char *expected;
        } cases[] = {
                { 4, "1on " },
                { 3, "" },
                { 2, "2off " },
                { 1, "the guest cannot switch off so many processors: 2 stay" },
                { 5, "the guest has 4 processors, not 5" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE AgentVcpu *plan = NULL;
                AUTOFREE char *text = NULL;
                AUTO(Error) err = { 0 };
                size_t n = 0;

                if (agent_vcpu_count(vcpus, ARRAY_LEN(vcpus), cases[i].count, &plan, &n, &err) == 0)
                        text = planned(plan, n);
                CHECK_STR(text ?: err.text, cases[i].expected);
        }
}

TEST(disks_are_found_by_where_the_guest_sees_them)
{
        static const char xml[] =
                "<domain type='qemu'><name>g</name><memory>1</memory><os><type>hvm</type></os><devices>"
                "<controller type='scsi' index='1' model='virtio-scsi'>"
                "<address type='pci' domain='0' bus='0' slot='7' function='0'/></controller>"
                "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/>"
                "<address type='pci' domain='0' bus='0' slot='5' function='0'/></disk>"
                "<disk type='file'><source file='/b'/><target dev='sdb' bus='scsi'/>"
                "<address type='drive' controller='1' bus='0' target='0' unit='2'/></disk>"
                "</devices></domain>";
        AUTO(DomainDef) *def = NULL;
        AUTO(Error) err = { 0 };
        AgentDiskAddress at = { .pci_controller = { .slot = 5 } };

        CHECK_INT(domain_def_parse(xml, strlen(xml), 0, &def, NULL, &err), 0);
        CHECK_STR(agent_find_disk(def, &at)->target_dev, "vda");
        at.pci_controller.slot = 7;
        at.unit = 2;
        CHECK_STR(agent_find_disk(def, &at)->target_dev, "sdb");
        at.unit = 3;
        CHECK(!agent_find_disk(def, &at));
        at.pci_controller.slot = 6;
        CHECK(!agent_find_disk(def, &at));
}
