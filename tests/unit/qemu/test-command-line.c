#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "host/net.h"
#include "model/complete.h"
#include "qemu/guest.h"

#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

/*
 * tests/data/argv/NAME.xml becomes the arguments in NAME.args, one in a line, and QEMU takes them: it starts
 * with them as far as its first instruction. NAME.nostart.xml needs what a test machine lacks. DIR stands for
 * a directory of the test. With DROVER_UPDATE=1 the .args files are written anew.
 */
static const char data_dir[] = DROVER_TEST_DATA "/argv";

typedef struct Bench {
        char dir[64];
        Loop *loop;
        QemuCaps *caps;
        bool answered;
        Error failure;
        bool ended;
} Bench;

static char *replace(const char *text, const char *from, const char *to)
{
        AUTO(Buf) buf = { 0 };

        for (const char *at; (at = strstr(text, from)); text = at + strlen(from)) {
                buf_put(&buf, text, (size_t)(at - text));
                buf_put_text(&buf, to);
        }
        buf_put_text(&buf, text);
        return buf_take(&buf);
}

static void load_caps(Bench *b)
{
        AUTOFREE char *path = str_format("%s/caps.json", data_dir);
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };

        if (file_read(path, 4 << 20, &text, &err) == 0)
                b->caps = qemu_caps_load(buf_text(&text), text.len, &err);
        if (!b->caps)
                fail_msg("%s", err.text);
}

static void make_file(const Bench *b, const char *name, size_t size)
{
        AUTOFREE char *path = str_format("%s/%s", b->dir, name);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
        close(fd);
}

/* What QEMU looks at before it takes a file for a Linux kernel: magic numbers and the version of the protocol. */
static void make_kernel(const Bench *b)
{
        static char image[1 << 16];
        AUTOFREE char *path = str_format("%s/kernel", b->dir);

        image[0x1f1] = 1;
        memcpy(image + 0x1fe, "\x55\xaa", 2);
        memcpy(image + 0x202, "HdrS\x0c\x02", 6);
        image[0x211] = 1;
        memcpy(image + 0x22c, "\xff\xff\xff\x37", 4);
        CHECK_INT(file_write_atomic(path, image, sizeof(image), 0644, NULL), 0);
}

static void setup(Bench *b)
{
        static const char *const images[] = { "disk.img", "cd.img", "a.img", "c.img", "d.img" };
        AUTOFREE char *command = NULL;

        *b = (Bench){ .dir = "/tmp/drover-test-XXXXXX" };
        CHECK(mkdtemp(b->dir));
        load_caps(b);
        b->loop = loop_new(NULL);
        for (size_t i = 0; i < ARRAY_LEN(images); i++)
                make_file(b, images[i], 1 << 20);
        make_file(b, "floppy.img", 2880 * 512);
        make_kernel(b);
        command = str_format(
                "qemu-img create -q -f qcow2 %s/b.qcow2 1M && cp /usr/share/OVMF/OVMF_VARS_4M.fd %s/vars.fd", b->dir,
                b->dir);
        CHECK_INT(system(command), 0);
}

static void teardown(Bench *b)
{
        AUTOFREE char *command = str_format("rm -rf %s", b->dir);

        qemu_caps_free(b->caps);
        loop_free(b->loop);
        err_done(&b->failure);
        CHECK_INT(system(command), 0);
}

static DomainDef *load(const Bench *b, const char *path)
{
        AUTO(Error) err = { 0 };
        AUTO(Buf) text = { 0 };
        AUTOFREE char *xml = NULL;
        CompletionFacts facts = { .emulator = "/usr/bin/qemu-system-x86_64" };
        DomainDef *def = NULL;

        CHECK_INT(file_read(path, 1 << 20, &text, &err), 0);
        xml = replace(buf_text(&text), "DIR", b->dir);
        if (domain_def_parse(xml, strlen(xml), 0, &def, NULL, &err) < 0 || domain_def_complete(def, &facts, &err) < 0)
                fail_msg("%s: %s", path, err.text);
        domain_def_assign_aliases(def);
        qemu_number_sources(def);
        return def;
}

/* Taps for the interfaces that want one; false: this machine gives none. */
static bool open_nics(const DomainDef *def, NicFds *nics)
{
        for (uint32_t i = 0; i < def->n_interfaces; i++) {
                char name[IFNAMSIZ];

                if (def->interfaces[i]->type == INTERFACE_TYPE_USER)
                        continue;
                if (net_tap_open(NULL, 1, nics[i].taps, name, NULL) < 0)
                        return false;
                nics[i].n_taps = 1;
        }
        return true;
}

static void compare(const Bench *b, const char *path, const CommandLine *line)
{
        AUTOFREE char *stem = str_dup_n(path, strlen(path) - strlen(".xml"));
        AUTOFREE char *expected_path = str_format("%s.args", stem), *text = NULL;
        AUTO(Buf) is = { 0 }, expected = { 0 };

        for (size_t i = 0; line->argv.items[i]; i++)
                buf_format(&is, "%s\n", line->argv.items[i]);
        text = replace(buf_text(&is), b->dir, "DIR");
        if (getenv("DROVER_UPDATE"))
                CHECK_INT(file_write_atomic(expected_path, text, strlen(text), 0644, NULL), 0);
        CHECK_INT(file_read(expected_path, 1 << 20, &expected, NULL), 0);
        if (!str_eq(text, buf_text(&expected)))
                fprintf(stderr, "%s is no longer what QEMU would get\n", expected_path);
        CHECK_STR(text, buf_text(&expected));
}

static void on_done(void *arg, const Error *failure)
{
        Bench *b = arg;

        b->answered = true;
        if (failure)
                err_copy(&b->failure, failure);
}

static void on_ended(void *arg, GuestCause cause UNUSED)
{
        ((Bench *)arg)->ended = true;
}

static void await(Bench *b)
{
        while (!b->answered)
                CHECK(loop_turn(b->loop, -1, NULL) >= 0);
        b->answered = false;
}

static void start(Bench *b, const char *path, const DomainDef *def, const CommandLine *line)
{
        static const GuestHooks hooks = { .ended = on_ended };
        GuestEnv env = { .loop = b->loop,
                         .run_dir = b->dir,
                         .log_dir = b->dir,
                         .logger = getenv("DROVER_LOG"),
                         .log_bytes = 1 << 20,
                         .log_backups = 1 };
        GuestStartOptions options = { .def = def,
                                      .paused = true,
                                      .vnc_password = def->n_graphics ? def->graphics[0]->passwd : NULL };
        AUTO(Guest) *guest = guest_new(&env, "t", &def->uuid, &hooks, b);
        AUTO(Error) err = { 0 };

        if (guest_start(guest, line, &options, on_done, b, &err) < 0)
                fail_msg("%s: %s", path, err.text);
        await(b);
        if (err_is_set(&b->failure))
                fail_msg("%s: %s", path, b->failure.text);
        guest_stop(guest, GUEST_STOP_HARD, on_done, b);
        await(b);
        CHECK(b->ended);
}

static void check(Bench *b, const char *path)
{
        AUTO(DomainDef) *def = load(b, path);
        AUTOFREE char *dir = str_format("%s/guest", b->dir);
        NicFds nics[8] = { 0 };
        bool can_start = open_nics(def, nics) && getenv("DROVER_LOG") && !strstr(path, ".nostart.");
        CommandLineSpec spec = { .def = def, .caps = b->caps, .guest_dir = dir, .nics = nics, .now = 1000000000 };
        AUTO(CommandLine) line = { 0 };
        AUTO(Error) err = { 0 };

        if (command_line_build(&spec, &line, &err) < 0)
                fail_msg("%s: %s", path, err.text);
        compare(b, path, &line);
        if (can_start) {
                /* the socket of a channel is made in the directory that the guest really gets */
                char uuid[UUID_TEXT_LEN + 1];
                AUTOFREE char *real = str_format("%s/%s", b->dir, uuid_format(&def->uuid, uuid));
                AUTO(CommandLine) real_line = { 0 };

                spec.guest_dir = real;
                CHECK_INT(command_line_build(&spec, &real_line, &err), 0);
                start(b, path, def, &real_line);
        }
        for (size_t i = 0; i < ARRAY_LEN(nics); i++) {
                if (nics[i].n_taps > 0)
                        close(nics[i].taps[0]);
        }
}

TEST(definitions_become_arguments_that_qemu_takes)
{
        AUTOFREE char *pattern = str_format("%s/*.xml", data_dir);
        glob_t found;
        Bench b;

        setup(&b);
        CHECK_INT(glob(pattern, 0, NULL, &found), 0);
        CHECK(found.gl_pathc >= 20);
        for (size_t i = 0; i < found.gl_pathc; i++)
                check(&b, found.gl_pathv[i]);
        globfree(&found);
        teardown(&b);
}

TEST(what_qemu_cannot_do_is_refused_by_name)
{
        static const struct {
                const char *inside, *complaint;
        } cases[] = {
                { "<clock offset='utc'><timer name='pit' tickpolicy='catchup'/></clock>",
                  "<clock>: the timer 'pit' has only the tick policies 'delay' and 'discard'" },
                { "<clock offset='timezone' timezone='Europe/Nowhere'/>",
                  "this host knows no time zone 'Europe/Nowhere'" },
                { "<clock offset='utc'><timer name='tsc' mode='emulate'/></clock>",
                  "<clock>: QEMU cannot emulate the timer 'tsc': its mode must be 'auto' or 'native'" },
                { "<cpu mode='host-passthrough'/>",
                  "the guest 'g' wants the host's CPU, which only KVM can give; use "
                  "<cpu mode='maximum'>" },
                { "<devices><graphics type='spice'/></devices>",
                  "graphics of type 'spice' are not supported, use 'vnc'" },
                { "<clock offset='absolute' start='18446744073709551615'/>",
                  "<clock>: the guest's time would not lie in the years 0 to 9999" },
                { "<clock offset='variable' adjustment='9223372036854775807'/>",
                  "<clock>: the guest's time would not lie in the years 0 to 9999" },
                { "<vcpu>300</vcpu>", "the machine 'pc-q35-7.2' has at most 288 CPUs" },
                { "<cpu mode='custom'><model>qemu64,vmx=on</model></cpu>",
                  "'qemu64,vmx=on' cannot be a part of a CPU's description" },
                { "<cpu mode='maximum'><feature policy='disable' name='svm=on,vmx'/></cpu>",
                  "'svm=on,vmx' cannot be a part of a CPU's description" },
        };
        Bench b = { 0 };

        load_caps(&b);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *xml = str_format("<domain type='qemu'><name>g</name><memory>65536</memory><os>"
                                                "<type machine='pc-q35-7.2'>hvm</type></os>%s</domain>",
                                                cases[i].inside);
                CompletionFacts facts = { .emulator = "/usr/bin/qemu-system-x86_64" };
                AUTO(CommandLine) line = { 0 };
                AUTO(DomainDef) *def = NULL;
                AUTO(Error) err = { 0 };
                CommandLineSpec spec = { .caps = b.caps, .guest_dir = "/run/g" };

                CHECK_INT(domain_def_parse(xml, strlen(xml), 0, &def, NULL, &err), 0);
                if (domain_def_complete(def, &facts, &err) == 0) {
                        domain_def_assign_aliases(def);
                        spec.def = def;
                        CHECK_INT(command_line_build(&spec, &line, &err), -1);
                }
                CHECK_STR(err.text, cases[i].complaint);
        }
        qemu_caps_free(b.caps);
}

/* What QEMU is started with for a guest with these devices. */
static void build_line(const Bench *b, const char *machine, const char *devices, CommandLine *ret)
{
        AUTOFREE char *xml = str_format(
                "<domain type='qemu'><name>g</name><memory>65536</memory><os><type machine='%s'>hvm"
                "</type></os><devices>%s</devices></domain>",
                machine, devices);
        CompletionFacts facts = { .emulator = "/usr/bin/qemu-system-x86_64" };
        CommandLineSpec spec = { .caps = b->caps, .guest_dir = "/run/g" };
        AUTO(DomainDef) *def = NULL;
        AUTO(Error) err = { 0 };

        if (domain_def_parse(xml, strlen(xml), 0, &def, NULL, &err) < 0 || domain_def_complete(def, &facts, &err) < 0)
                fail_msg("%s", err.text);
        domain_def_assign_aliases(def);
        spec.def = def;
        if (command_line_build(&spec, ret, &err) < 0)
                fail_msg("%s", err.text);
}

TEST(a_comma_in_a_name_begins_no_option_of_its_own)
{
        static const struct {
                const char *device, *argument;
        } cases[] = {
                { "<serial type='tcp'><source mode='connect' host='h,reconnect=1' service='1,telnet=on'/></serial>",
                  "socket,id=charserial0,host=h,,reconnect=1,port=1,,telnet=on" },
                { "<serial type='udp'><source mode='connect' host='h,a' service='1'/>"
                  "<source mode='bind' host='l,b' service='2'/></serial>",
                  "udp,id=charserial0,host=h,,a,port=1,localaddr=l,,b,localport=2" },
                { "<graphics type='vnc' socket='/run/a,password=off'/>",
                  "unix:/run/a,,password=off,audiodev=audio1" },
        };
        Bench b = { 0 };

        load_caps(&b);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(CommandLine) line = { 0 };
                bool found = false;

                build_line(&b, "pc-q35-7.2", cases[i].device, &line);
                for (size_t a = 0; line.argv.items[a]; a++)
                        found = found || str_eq(line.argv.items[a], cases[i].argument);
                if (!found)
                        fail_msg("%s did not become %s", cases[i].device, cases[i].argument);
        }
        qemu_caps_free(b.caps);
}

TEST(rules_for_redirected_usb_devices_become_a_filter_DOM_33_DOM_34)
{
        static const struct {
                const char *rule, *filter;
        } cases[] = {
                { "class='0x08' vendor='0x1234' product='0xBEEF' version='2.0' allow='yes'",
                  "\"0x08:0x1234:0xBEEF:0x0200:1\"" },
                { "allow='no'", "\"-1:-1:-1:-1:0\"" },
                { "version='1.1' allow='yes'", "\"-1:-1:-1:0x0110:1\"" },
                { "version='1.10' allow='yes'", "\"-1:-1:-1:0x0110:1\"" },
                { "class='-1' vendor='-1' product='-1' version='-1' allow='yes'", "\"-1:-1:-1:-1:1\"" },
                { "vendor='0x1234' allow='no'", "\"-1:0x1234:-1:-1:0\"" },
        };
        Bench b = { 0 };

        load_caps(&b);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTOFREE char *devices = str_format("<redirdev bus='usb' type='spicevmc'/><redirfilter><usbdev %s/>"
                                                    "</redirfilter>",
                                                    cases[i].rule);
                AUTO(CommandLine) line = { 0 };
                bool found = false;

                build_line(&b, "pc-i440fx-7.2", devices, &line);
                for (size_t a = 0; line.argv.items[a]; a++)
                        found = found || (strstr(line.argv.items[a], "usb-redir") &&
                                          strstr(line.argv.items[a], cases[i].filter));
                if (!found)
                        fail_msg("%s did not become %s", cases[i].rule, cases[i].filter);
        }
        qemu_caps_free(b.caps);
}
