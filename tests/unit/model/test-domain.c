#include "test.h"

#include "base/str.h"
#include "model/device.h"
#include "model/metadata.h"

static const char small[] =
        "<domain type='kvm' id='3'>\n"
        "  <name>g</name>\n"
        "  <uuid>4a4c59a7ee3fc78196e4288f2862f011</uuid>\n"
        "  <memory unit='MiB'>512</memory>\n"
        "  <vcpu>2</vcpu>\n"
        "  <os><type arch='x86_64' machine='q35'>hvm</type></os>\n"
        "  <devices>\n"
        "    <disk type=\"block\" device='disk'><driver name='qemu' type='raw' queues='4'/>\n"
        "      <source dev='/dev/disk/by-id/x'/><target dev='vda' bus='virtio'/></disk>\n"
        "    <interface type='bridge'><source bridge='br0'/><mac address='52:54:00:00:00:01'/></interface>\n"
        "  </devices>\n"
        "</domain>";

TEST(a_definition_survives_being_written)
{
        AUTO(DomainDef) *def = NULL;
        AUTO(DomainDef) *again = NULL;
        AUTO(Warnings) warnings = { 0 };
        AUTO(Error) err = { 0 };
        AUTO(Buf) one = { 0 };
        AUTO(Buf) two = { 0 };

        CHECK_INT(domain_def_parse(small, strlen(small), 0, &def, &warnings, &err), 0);
        CHECK_INT(warnings.list.len, 0);
        CHECK_INT(def->id, 3);
        CHECK_INT(def->memory_kib, 524288);
        CHECK_INT(def->disks[0]->queues, 4);
        CHECK_STR(def->disks[0]->source.path, "/dev/disk/by-id/x"); /* DOM-45 */
        domain_def_format(def, 0, &one);
        CHECK_INT(domain_def_parse(one.data, one.len, 0, &again, NULL, &err), 0);
        domain_def_format(again, 0, &two);
        CHECK_STR(buf_text(&one), buf_text(&two));
        CHECK(fields_equal(&domain_def_info, def, again));
}

/* DOM-08 */
TEST(an_inactive_definition_has_no_id)
{
        AUTO(DomainDef) *def = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };

        CHECK_INT(domain_def_parse(small, strlen(small), 0, &def, NULL, &err), 0);
        domain_def_format(def, DEF_FORMAT_INACTIVE, &text);
        CHECK(str_starts(buf_text(&text), "<domain type='kvm'>\n  <name>g</name>\n"
                                          "  <uuid>4a4c59a7-ee3f-c781-96e4-288f2862f011</uuid>\n"
                                          "  <memory unit='KiB'>524288</memory>\n"));
}

#define GUEST(inner)                                                                                                 \
        "<domain type='kvm'><name>g</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>" inner "</domain>"

static DomainDef *parse(const char *xml, unsigned flags)
{
        AUTO(Error) err = { 0 };
        DomainDef *def = NULL;

        if (domain_def_parse(xml, strlen(xml), flags, &def, NULL, &err) < 0)
                fail_msg("%s", err.text);
        return def;
}

static void check_refused(const char *xml, const char *complaint)
{
        AUTO(Error) err = { 0 };
        DomainDef *def = NULL;

        CHECK_INT(domain_def_parse(xml, strlen(xml), 0, &def, NULL, &err), -1);
        CHECK_NULL(def);
        CHECK_STR(err.text, complaint);
}

/* DOM-01, DOM-02, DOM-06 */
TEST(memory_has_units)
{
        static const struct {
                const char *unit;
                uint64_t kib;
        } cases[] = {
                { "", 1001 },
                { " unit='bytes'", 1 },
                { " unit='KB'", 978 },
                { " unit='KiB'", 1001 },
                { " unit='MB'", 977540 },
                { " unit='MiB'", 1025024 },
                { " unit='GB'", 977539063 },
                { " unit='GiB'", 1049624576 },
                { " unit='TB'", 977539062500 },
                { " unit='TiB'", 1074815565824 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *xml = str_format(
                        "<domain type='kvm'><name>g</name><memory%s>1001</memory>"
                        "<currentMemory%s>1001</currentMemory><os><type>hvm</type></os></domain>",
                        cases[i].unit, cases[i].unit);
                AUTO(DomainDef) *def = parse(xml, 0);

                CHECK_INT(def->memory_kib, cases[i].kib);
                CHECK_INT(def->current_memory_kib, cases[i].kib);
        }
}

TEST(what_cannot_be_is_refused_with_its_place)
{
        static const char *const cases[][2] = {
                { "<domain/>", "line 1: <domain>: '@type' is missing" },
                { "<pool/>", "(domain definition) the root element is <pool>, not <domain>" },
                { "<domain type='vax'/>",
                  "line 1: <domain>: '@type' cannot be 'vax' (it is one of: kvm, qemu, test, xen)" },
                { "<domain type='kvm'><name>a/b</name><memory>1</memory><os><type>hvm</type></os></domain>",
                  "line 1: <domain>: a name cannot contain '/' or a line break: 'a/b'" },
                { "<domain type='kvm'>\n<name>g</name>\n<memory unit='parsec'>1</memory></domain>",
                  "line 3: <domain>: 'memory': unknown suffix 'parsec'" },
                { "<domain type='kvm'><name>g</name>\n<memory dumpCore='maybe'>1</memory></domain>", /* DOM-05 */
                  "line 2: <domain>: 'memory/@dumpCore' cannot be 'maybe'" },
                { GUEST("<vcpu cpuset='1-'>1</vcpu>"),
                  "line 1: <domain>: 'vcpu/@cpuset' cannot be '1-'" }, /* DOM-13 */
                { GUEST("<vcpu current='3'>2</vcpu>"),
                  "line 1: <domain>: 'vcpu/@current' (3) is more than all CPUs (2)" },
                { GUEST("<currentMemory unit='MiB'>65</currentMemory>"), /* DOM-06 */
                  "line 1: <domain>: 'currentMemory' (66560 KiB) is more than 'memory' (65536 KiB)" },
                { GUEST("<on_crash>explode</on_crash>"), /* DOM-14 */
                  "line 1: <domain>: 'on_crash' cannot be 'explode' (it is one of: destroy, restart, preserve, "
                  "rename-restart, coredump-destroy, coredump-restart)" },
                { GUEST("<clock offset='moon'/>"), /* CLK-01 */
                  "line 1: <domain>: 'clock/@offset' cannot be 'moon' (it is one of: utc, localtime, variable, "
                  "timezone, absolute)" },
                { GUEST("<clock><timer/></clock>"), "line 1: <timer>: '@name' is missing" }, /* CLK-07 */
                { GUEST("<clock><timer name='pit' frequency='5'/></clock>"),                 /* CLK-11 */
                  "line 1: <timer>: 'frequency' is for the timer 'tsc' only, not 'pit'" },
                { GUEST("<clock><timer name='rtc' mode='auto'/></clock>"), /* CLK-12 */
                  "line 1: <timer>: 'mode' is for the timer 'tsc' only, not 'rtc'" },
                { GUEST("<devices><interface type='bridge'/></devices>"),
                  "line 1: <interface>: 'source/@bridge' is missing" },
                { GUEST("<devices><memballoon model='virtio'/><memballoon model='virtio'/></devices>"),
                  "line 1: <memballoon>: there can be only 1" },
                { GUEST("<devices><redirfilter><usbdev version='20' allow='yes'/></redirfilter></devices>"),
                  "line 1: <usbdev>: 'version' cannot be '20' (it is like 2.0)" },
                { GUEST("<devices><redirfilter><usbdev class='0x100' allow='yes'/></redirfilter></devices>"),
                  "line 1: <usbdev>: 'class' cannot be '0x100'" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                check_refused(cases[i][0], cases[i][1]);
}

/* CON-12, DOM-12 */
TEST(vcpus_is_warned_of)
{
        static const char xml[] = GUEST("<vcpus>4</vcpus>");
        AUTO(DomainDef) *def = NULL;
        AUTO(Warnings) warnings = { 0 };

        CHECK_INT(domain_def_parse(xml, strlen(xml), 0, &def, &warnings, NULL), 0);
        CHECK_INT(warnings.list.len, 1);
        CHECK_STR(warnings.list.items[0],
                  "line 1: /domain/vcpus does not set the number of CPUs: write <vcpu>4</vcpu>");
}

/* CLK-01 */
TEST(no_clock_is_utc)
{
        AUTO(DomainDef) *def = parse(GUEST(""), 0);
        AUTO(Buf) text = { 0 };

        domain_def_format(def, 0, &text);
        CHECK(strstr(buf_text(&text), "<clock offset='utc'/>"));
}

TEST(timers_of_each_kind_and_mode_are_kept)
{
        static const char *const timers[] = {
                "<timer name='platform'/>", /* CLK-08 */
                "<timer name='pit'/>",
                "<timer name='rtc'/>",
                "<timer name='hpet'/>",
                "<timer name='tsc'/>",
                "<timer name='kvmclock'/>",
                "<timer name='tsc' frequency='5' mode='auto'/>", /* CLK-12 */
                "<timer name='tsc' mode='native'/>",
                "<timer name='tsc' mode='emulate'/>",
                "<timer name='tsc' mode='smpsafe'/>",
        };

        for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
                AUTOFREE char *xml = str_format(GUEST("<clock offset='utc'>%s</clock>"), timers[i]);
                AUTO(DomainDef) *def = parse(xml, 0);
                AUTO(Buf) text = { 0 };

                domain_def_format(def, 0, &text);
                CHECK(strstr(buf_text(&text), timers[i]));
        }
}

/* DOM-30 */
TEST(passwords_show_only_when_asked_for)
{
        AUTO(DomainDef) *def = parse(GUEST("<devices><graphics type='vnc' passwd='hush'/></devices>"), 0);
        AUTO(Buf) open = { 0 };
        AUTO(Buf) secret = { 0 };

        domain_def_format(def, 0, &open);
        domain_def_format(def, DEF_FORMAT_SECURE, &secret);
        CHECK_NULL(strstr(buf_text(&open), "hush"));
        CHECK(strstr(buf_text(&secret), "passwd='hush'"));
}

/* What belongs to one run neither goes into nor comes out of an inactive definition. */
TEST(marks_of_a_run_are_left_out)
{
        static const char xml[] = GUEST(
                "<devices>"
                "<disk type='file'><source file='/a' index='1'/><backingStore/><target dev='vda' bus='virtio'/>"
                "<alias name='virtio-disk0'/></disk>"
                "<interface type='user'><target dev='vnet0'/><alias name='ua-mine'/></interface>"
                "<interface type='user'><target dev='tap0'/></interface>"
                "<console type='pty' tty='/dev/pts/4'><source path='/dev/pts/4'/></console>"
                "<graphics type='vnc' port='5903' autoport='yes'/>"
                "</devices><seclabel type='dynamic' model='dac'><label>+1:+1</label><imagelabel>+1:+1</imagelabel></seclabel>");
        AUTO(DomainDef) *live = parse(xml, 0);
        AUTO(DomainDef) *inactive = parse(xml, DEF_PARSE_INACTIVE);
        AUTO(Buf) all = { 0 };
        AUTO(Buf) shown = { 0 };
        AUTO(Buf) kept = { 0 };

        domain_def_format(live, 0, &all);
        CHECK(strstr(buf_text(&all), "tty='/dev/pts/4'") && strstr(buf_text(&all), "vnet0")); /* DOM-31 */
        domain_def_format(live, DEF_FORMAT_INACTIVE, &shown);
        domain_def_format(inactive, DEF_FORMAT_INACTIVE, &kept);
        CHECK_STR(buf_text(&shown), buf_text(&kept));
        CHECK_NULL(strstr(buf_text(&kept), "pts"));
        CHECK_NULL(strstr(buf_text(&kept), "vnet0"));
        CHECK_NULL(strstr(buf_text(&kept), "virtio-disk0"));
        CHECK_NULL(strstr(buf_text(&kept), "label>"));
        CHECK(strstr(buf_text(&kept), "tap0") && strstr(buf_text(&kept), "ua-mine"));
        CHECK(strstr(buf_text(&kept), "port='-1' autoport='yes'"));
}

/* MIG-55: every difference is named at once; a moved disk is none. */
TEST(differences_that_a_guest_would_notice_are_listed)
{
        AUTO(DomainDef) *old = parse(
                GUEST("<vcpu>2</vcpu><devices>"
                      "<disk type='file'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"
                      "<interface type='user'><mac address='52:54:00:00:00:01'/></interface></devices>"),
                0);
        AUTO(DomainDef) *moved = parse(
                GUEST("<title>t</title><vcpu>2</vcpu><devices>"
                      "<disk type='block'><source dev='/dev/b'/><target dev='vda' bus='virtio'/></disk>"
                      "<interface type='user'><mac address='52:54:00:00:00:01'/></interface></devices>"),
                0);
        AUTO(DomainDef) *other = parse(
                GUEST("<vcpu>4</vcpu><features><acpi/></features><devices>"
                      "<disk type='file'><source file='/a'/><target dev='vda' bus='sata'/></disk>"
                      "<interface type='user'><mac address='52:54:00:00:00:02'/></interface>"
                      "<watchdog model='ib700'/></devices>"),
                0);
        AUTO(Error) err = { 0 };

        CHECK_INT(domain_def_check_abi(old, moved, &err), 0);
        CHECK_INT(domain_def_check_abi(old, other, &err), -1);
        CHECK_STR(err.text, "the guest would notice the difference, so it cannot change while it runs:\n"
                            "domain/vcpu: '2', not '4'\n"
                            "domain/features/acpi: absent, not present\n"
                            "domain/devices/disk[1]/target/@bus: 'virtio', not 'sata'\n"
                            "domain/devices/interface[1]/mac/@address: '52:54:00:00:00:01', not '52:54:00:00:00:02'\n"
                            "domain/devices/watchdog: 0, not 1 of them");
}

TEST(metadata_is_kept_by_namespace)
{
        AUTO(DomainDef) *def = parse(GUEST("<metadata><a:x xmlns:a='urn:a' k='1'><a:y>t</a:y></a:x></metadata>"), 0);
        Metadata all = domain_def_metadata(def);
        Arena *arena = domain_def_arena(def);
        AUTO(Error) err = { 0 };
        AUTOFREE char *first = NULL, *none = NULL, *second = NULL;
        AUTO(Buf) text = { 0 };

        CHECK_INT(metadata_get(&all, METADATA_ELEMENT, "urn:a", &first, &err), 0);
        CHECK_STR(first, "<x k='1'>\n  <y>t</y>\n</x>\n");
        CHECK_INT(metadata_get(&all, METADATA_ELEMENT, "urn:b", &none, &err), 0);
        CHECK_NULL(none);
        CHECK_INT(metadata_set(&all, arena, METADATA_ELEMENT, "urn:b", "b", "<z><w/></z>", &err), 0);
        CHECK_INT(metadata_get(&all, METADATA_ELEMENT, "urn:b", &second, &err), 0);
        CHECK_STR(second, "<z>\n  <w/>\n</z>\n");
        CHECK_INT(metadata_set(&all, arena, METADATA_ELEMENT, "urn:a", NULL, NULL, &err), 0);
        domain_def_put_metadata(def, &all);
        domain_def_format(def, 0, &text);
        CHECK(strstr(buf_text(&text),
                     "  <metadata>\n    <b:z xmlns:b='urn:b'>\n      <b:w/>\n    </b:z>\n  </metadata>\n"));
        buf_clear(&text);
        CHECK_INT(
                metadata_set(&all, arena, METADATA_ELEMENT, "urn:d", "d", "<q:z xmlns:q='urn:d'><q:w/></q:z>", &err),
                0);
        domain_def_put_metadata(def, &all);
        domain_def_format(def, 0, &text);
        CHECK(strstr(buf_text(&text), "    <d:z xmlns:d='urn:d'>\n      <d:w/>\n    </d:z>\n"));
        CHECK_INT(metadata_set(&all, arena, METADATA_ELEMENT, "urn:c", "c d", "<z/>", &err), -1);
        CHECK_INT(metadata_set(&all, arena, METADATA_ELEMENT, "urn:c", "c", "<z>", &err), -1);
        CHECK_INT(metadata_set(&all, arena, METADATA_TITLE, NULL, NULL, "two\nlines", &err), -1);
        CHECK_INT(metadata_set(&all, arena, METADATA_ELEMENT, "", "c", "<z/>", &err), -1);
        CHECK_INT(metadata_get(&all, METADATA_ELEMENT + 1, NULL, &none, &err), -1);
}

/* Looking at what stands beside each of them would take minutes. */
TEST(a_hundred_thousand_unknown_elements_take_no_longer_than_known_ones)
{
        AUTO(Warnings) warnings = { 0 };
        AUTO(DomainDef) *def = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };

        buf_put_text(&text, "<domain type='kvm'><name>g</name><memory>1024</memory><os><type>hvm</type></os>");
        for (int i = 0; i < 100000; i++)
                buf_put_text(&text, "<nonsense/>");
        buf_put_text(&text, "</domain>");
        CHECK_INT(domain_def_parse(text.data, text.len, 0, &def, &warnings, &err), 0);
        CHECK_INT(warnings.list.len + warnings.dropped, 100000);
        CHECK_STR(warnings.list.items[1], "line 1: /domain/nonsense[2] is not known");
}

TEST(shared_definitions_live_until_the_last_holder_lets_go)
{
        DomainDef *def = parse(GUEST(""), 0), *same = domain_def_ref(def);

        CHECK(same == def);
        CHECK_NULL(domain_def_unref(def));
        CHECK_STR(same->name, "g");
        domain_def_unref(same);
}

/* A definition of many small parts is no way to fill memory, nor is one that is too long. */
TEST(huge_definitions_are_refused)
{
        AUTO(Buf) text = { 0 };
        AUTO(Error) err = { 0 };
        DomainDef *def;

        for (int i = 0; i < XML_ITEMS_MAX / 2 + 1; i++)
                buf_put_text(&text, i ? "<a b=''/>" : "<domain>");
        buf_put_text(&text, "</domain>");
        CHECK_INT(domain_def_parse(text.data, text.len, 0, &def, NULL, &err), -1);
        CHECK_STR(err.text, "(domain definition) line 1: more than 500000 elements and attributes");
        while (text.len <= XML_SIZE_MAX)
                buf_put_text(&text,
                             "<!-- a long definition -->                                                        ");
        CHECK_INT(domain_def_parse(text.data, text.len, 0, &def, NULL, &err), -1);
        CHECK_STR(err.text, "(domain definition) longer than 10485760 bytes");
}
