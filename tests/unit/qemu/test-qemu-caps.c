#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "model/cpu.h"
#include "qemu/qemu-caps.h"

#include <stdio.h>
#include <unistd.h>

static QemuCaps *load(void)
{
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };
        QemuCaps *caps;

        CHECK_INT(file_read(DROVER_TEST_DATA "/argv/caps.json", 4 << 20, &text, &err), 0);
        caps = qemu_caps_load(buf_text(&text), text.len, &err);
        if (!caps)
                fail_msg("%s", err.text);
        return caps;
}

TEST(what_is_cached_comes_back_as_it_was)
{
        AUTO(QemuCaps) *caps = load();
        AUTO(QemuCaps) *again = NULL;
        AUTO(Buf) first = { 0 }, second = { 0 };

        qemu_caps_save(caps, &first);
        again = qemu_caps_load(buf_text(&first), first.len, NULL);
        CHECK(again);
        qemu_caps_save(again, &second);
        CHECK_STR(buf_text(&second), buf_text(&first));
        CHECK(!qemu_caps_is_current(again)); /* the stamp of the fixture fits no machine */
}

TEST(machines_are_found_by_name_and_alias)
{
        AUTO(QemuCaps) *caps = load();

        CHECK_STR(qemu_caps_find_machine(caps, "q35")->name, "pc-q35-7.2");
        CHECK_STR(qemu_caps_find_machine(caps, "pc")->name, "pc-i440fx-7.2");
        CHECK_STR(qemu_caps_find_machine(caps, NULL)->name, "pc-i440fx-7.2");
        CHECK_INT(qemu_caps_find_machine(caps, "pc-q35-7.2")->most_cpus, 288);
        CHECK_NULL(qemu_caps_find_machine(caps, "q36"));
        CHECK(qemu_caps_has_device(caps, "virtio-blk-pci"));
        CHECK(!qemu_caps_has_device(caps, "virtio-blk"));
        CHECK_INT(qemu_caps_version(caps) / 1000, 7002);
}

TEST(a_damaged_cache_is_refused)
{
        static const char *const texts[] = {
                "",
                "{",
                "[]",
                "{\"binary\":\"/q\"}",
                "{\"binary\":1,\"stamp\":2,\"version\":3}",
                "{\"binary\":\"/q\",\"stamp\":\"s\",\"version\":7,\"machines\":[1,{}]}"
        };

        for (size_t i = 0; i < ARRAY_LEN(texts); i++)
                CHECK_NULL(qemu_caps_load(texts[i], strlen(texts[i]), NULL));
}

TEST(clients_are_told_what_guests_can_be_LIFE_31)
{
        AUTO(QemuCaps) *caps = load();
        AUTO(Error) err = { 0 };
        AUTO(Buf) guest = { 0 }, domain = { 0 };

        qemu_caps_format_guest(caps, &guest);
        CHECK(strstr(buf_text(&guest), "<machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>"));
        CHECK(strstr(buf_text(&guest), "<domain type='kvm'/>"));
        CHECK_INT(qemu_caps_format_domain(caps, "q35", "qemu", &domain, &err), 0);
        CHECK(strstr(buf_text(&domain), "<machine>pc-q35-7.2</machine>"));
        CHECK(strstr(buf_text(&domain), "<mode name='host-passthrough' supported='no'/>"));
        CHECK(strstr(buf_text(&domain), "vendor='Intel'>Westmere-v1</model>"));
        CHECK(strstr(buf_text(&domain), "vendor='AMD'>EPYC-v1</model>"));
        CHECK_STR(cpu_model_vendor("none-of-ours-v2"), "unknown");
        CHECK_INT(qemu_caps_format_domain(caps, "q36", NULL, &domain, &err), -1);
        CHECK_STR(err.text, "'/usr/bin/qemu-system-x86_64' knows no machine 'q36'");
        CHECK_INT(qemu_caps_format_domain(caps, NULL, "xen", &domain, &err), -1);
}

typedef struct Probed {
        bool answered;
        QemuCaps *caps;
        Error failure;
} Probed;

static void on_probed(void *arg, QemuCaps *caps, const Error *failure)
{
        Probed *p = arg;

        p->answered = true;
        p->caps = caps;
        if (failure)
                err_copy(&p->failure, failure);
}

static Probed probe(const char *binary, const char *dir)
{
        AUTO(Loop) *loop = loop_new(NULL);
        RootUser user = { 0 };
        Probed p = { 0 };
        QemuProbe *running = qemu_probe_new(loop, binary, dir, &user, on_probed, &p);

        while (!p.answered)
                CHECK(loop_turn(loop, -1, NULL) >= 0);
        qemu_probe_free(running);
        return p;
}

TEST(a_binary_is_asked_once_and_again_when_the_cache_is_damaged)
{
        static const char binary[] = "/usr/bin/qemu-system-x86_64";
        char dir[] = "/tmp/drover-test-XXXXXX";
        AUTOFREE char *cache = NULL, *command = NULL;
        AUTO(Buf) first = { 0 }, second = { 0 };
        Probed p;

        if (access(binary, X_OK) < 0)
                skip();
        CHECK(mkdtemp(dir));
        cache = str_format("%s/caps-usr-bin-qemu-system-x86_64.json", dir);
        p = probe(binary, dir);
        CHECK(p.caps && qemu_caps_is_current(p.caps));
        qemu_caps_save(p.caps, &first);
        qemu_caps_free(p.caps);
        CHECK_INT(file_write_atomic(cache, "{", 1, 0644, NULL), 0);
        p = probe(binary, dir);
        CHECK(p.caps);
        qemu_caps_free(p.caps);
        CHECK_INT(file_read(cache, 4 << 20, &second, NULL), 0);
        CHECK_STR(buf_text(&second), buf_text(&first));
        p = probe(binary, dir); /* from the cache */
        CHECK(p.caps);
        qemu_caps_free(p.caps);

        p = probe("/no/such/qemu", dir);
        CHECK_STR(p.failure.text, "cannot run '/no/such/qemu': No such file or directory");
        err_done(&p.failure);
        p = probe("/bin/true", dir);
        CHECK(strstr(p.failure.text, "'/bin/true' ended while it was asked what it can do"));
        err_done(&p.failure);
        command = str_format("rm -rf %s", dir);
        CHECK_INT(system(command), 0);
}
