/*
 * What a definition asks for and drover does not do: said when it is read, refused where something rests on it.
 */
#include "test.h"

#include "base/str.h"
#include "model/domain.h"
#include "model/network.h"

#define GUEST(inner)                                                                                                 \
        "<domain type='qemu'><name>g</name><memory>4096</memory><os><type>hvm</type></os>" inner "</domain>"
#define DISK(attrs, inner)                                                                                           \
        "<devices><disk type='file' device='cdrom'><source file='/i'" attrs "/><target dev='sda'/>" inner            \
        "</disk></devices>"

static DomainDef *parse(const char *xml, Warnings *warnings)
{
        AUTO(Error) err = { 0 };
        DomainDef *def = NULL;

        if (domain_def_parse(xml, strlen(xml), 0, &def, warnings, &err) < 0)
                fail_msg("%s", err.text);
        return def;
}

TEST(what_has_no_effect_is_a_warning)
{
        static const struct {
                const char *xml, *says;
        } cases[] = {
                { GUEST(DISK(" startupPolicy='optional'", "")), NULL },
                { GUEST("<vcpu placement='auto'>1</vcpu>"), NULL },
                { GUEST("<vcpu placement='static'>1</vcpu>"), NULL },
                { GUEST("<features><apic/><pae/></features>"), NULL },
                { GUEST("<features><vmcoreinfo state='on'/></features>"),
                  "/domain/features/vmcoreinfo/@state has no" },
                { GUEST("<features><vmcoreinfo state='off'/></features>"), NULL },
                { GUEST(DISK("", "<transient/>")), "/domain/devices/disk/transient prevents a start" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Warnings) warnings = { 0 };
                AUTO(DomainDef) *def = parse(cases[i].xml, &warnings);

                CHECK(warnings.list.len == (cases[i].says ? 1 : 0));
                CHECK(!cases[i].says || str_starts(warnings.list.items[0], cases[i].says));
        }
}

TEST(what_is_relied_on_is_refused)
{
        static const struct {
                const char *xml, *says;
        } cases[] = {
                { GUEST(DISK("", "<transient/>")), "'domain/devices/disk/transient' cannot be had: what the guest" },
                { GUEST("<cputune><vcpusched vcpus='0' scheduler='fifo' priority='1'/></cputune>"),
                  "'domain/cputune/vcpusched' cannot be had" },
                { GUEST("<seclabel type='static' model='dac'/>"), "'domain/seclabel/@type' cannot be had" },
                { GUEST("<launchSecurity type='sev'><policy>0x0001</policy></launchSecurity>"),
                  "'domain/launchSecurity' cannot be had: drover does not encrypt" },
                { GUEST("<keywrap><cipher name='aes' state='on'/></keywrap>"),
                  "'domain/keywrap/cipher/@state' cannot be had" },
                { GUEST("<keywrap><cipher name='aes' state='off'/></keywrap>"), NULL },
                { GUEST("<devices><lease><lockspace>l</lockspace><key>k</key><target path='/l'/></lease></devices>"),
                  "'domain/devices/lease' cannot be had" },
                { GUEST("<devices><shmem name='s'><size unit='M'>4</size></shmem></devices>"),
                  "'domain/devices/shmem' cannot be had" },
                { GUEST("<devices><crypto model='virtio' type='qemu'><backend model='builtin'/></crypto></devices>"),
                  "'domain/devices/crypto' cannot be had" },
                { GUEST("<devices><memory model='dimm'><target><size unit='MiB'>8</size></target></memory></devices>"),
                  "'domain/devices/memory' cannot be had" },
                { GUEST("<seclabel type='none'/>"), NULL },
                { GUEST(DISK(" startupPolicy='optional'", "")), NULL },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(DomainDef) *def = parse(cases[i].xml, NULL);
                AUTO(Error) err = { 0 };
                int ret = fields_check_met(&domain_def_info, def, &err);

                CHECK((ret < 0) == (cases[i].says != NULL));
                CHECK(!cases[i].says || (err.code == ERR_CONFIG_UNSUPPORTED && str_starts(err.text, cases[i].says)));
        }
}

TEST(one_of_several_is_named_by_its_place)
{
        static const char xml[] = "<network><name>n</name><portgroup name='a'/><portgroup name='b'>"
                                  "<virtualport type='openvswitch'/></portgroup></network>";
        AUTO(Error) err = { 0 };
        NetworkDef *def;

        CHECK(network_def_parse(xml, strlen(xml), 0, &def, NULL, &err) == 0);
        CHECK(fields_check_met(&network_def_info, def, &err) < 0);
        CHECK(str_starts(err.text,
                         "'network/portgroup[2]/virtualport' cannot be had: drover configures no switches"));
        network_def_unref(def);
}

TEST(networks_are_not_started_without_what_they_ask_for)
{
        static const struct {
                const char *inner;
                bool met;
        } cases[] = {
                { "<bridge zone='home'/>", false },
                { "<bridge macTableManager='libvirt'/>", false },
                { "<bridge macTableManager='kernel'/>", true },
                { "<domain name='x' register='yes'/>", false },
                { "<domain name='x' register='no'/>", true },
                { "<forward mode='passthrough'><pf dev='eth0'/></forward>", false },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *xml = str_format("<network><name>n</name>%s</network>", cases[i].inner);
                AUTO(Error) err = { 0 };
                NetworkDef *def;

                CHECK(network_def_parse(xml, strlen(xml), 0, &def, NULL, &err) == 0);
                CHECK((fields_check_met(&network_def_info, def, &err) == 0) == cases[i].met);
                network_def_unref(def);
        }
}
