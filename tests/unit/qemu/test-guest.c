#include "test.h"

#include "base/str.h"
#include "model/complete.h"
#include "qemu/guest.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* A guest on the real QEMU, its processors never fast enough to matter: SeaBIOS finds nothing to boot. */
typedef struct Bench {
        char dir[64];
        GuestEnv env;
        QemuCaps *caps;
        DomainDef *def;
        Guest *guest;
        bool answered, ended;
        Error failure;
        GuestCause end_cause;
        char trace[256];
} Bench;

static void on_probed(void *arg, QemuCaps *caps, const Error *failure)
{
        Bench *b = arg;

        b->answered = true;
        b->caps = caps;
        if (failure)
                fprintf(stderr, "%s\n", failure->text);
}

static void on_done(void *arg, const Error *failure)
{
        Bench *b = arg;

        b->answered = true;
        err_done(&b->failure);
        if (failure)
                err_copy(&b->failure, failure);
}

static void on_changed(void *arg, GuestState from UNUSED, GuestState to, GuestCause cause UNUSED)
{
        static const char letters[] = "0srpdcwi";
        Bench *b = arg;
        size_t len = strlen(b->trace);

        if (len + 1 < sizeof(b->trace))
                b->trace[len] = letters[to];
}

static void on_ended(void *arg, GuestCause cause)
{
        Bench *b = arg;

        b->ended = true;
        b->end_cause = cause;
}

static void await(Bench *b)
{
        while (!b->answered)
                CHECK(loop_turn(b->env.loop, -1, NULL) >= 0);
        b->answered = false;
}

static bool setup(Bench *b, const char *devices)
{
        static const GuestHooks hooks = { .changed = on_changed, .ended = on_ended };
        AUTOFREE char *xml = str_format(
                "<domain type='qemu'><name>t</name><memory unit='MiB'>16</memory><os>"
                "<type arch='x86_64' machine='q35'>hvm</type></os><devices>%s</devices></domain>",
                devices);
        CompletionFacts facts = { .emulator = "/usr/bin/qemu-system-x86_64" };
        QemuProbe *probe;

        *b = (Bench){ .dir = "/tmp/drover-test-XXXXXX" };
        if (access(facts.emulator, X_OK) < 0 || !getenv("DROVER_LOG"))
                return false;
        CHECK(mkdtemp(b->dir));
        chmod(b->dir, 0755);
        b->env = (GuestEnv){ .loop = loop_new(NULL),
                             .run_dir = b->dir,
                             .log_dir = b->dir,
                             .logger = getenv("DROVER_LOG"),
                             .log_bytes = 1 << 20,
                             .log_backups = 1 };
        probe = qemu_probe_new(b->env.loop, facts.emulator, b->dir, &b->env.user, on_probed, b);
        await(b);
        qemu_probe_free(probe);
        CHECK(b->caps);
        facts.machine = qemu_caps_find_machine(b->caps, "q35")->name;
        CHECK_INT(domain_def_parse(xml, strlen(xml), 0, &b->def, NULL, &b->failure), 0);
        if (domain_def_complete(b->def, &facts, &b->failure) < 0)
                fail_msg("%s", b->failure.text);
        domain_def_assign_aliases(b->def);
        b->guest = guest_new(&b->env, "t", &b->def->uuid, &hooks, b);
        return true;
}

static void teardown(Bench *b)
{
        AUTOFREE char *command = str_format("rm -rf %s", b->dir);

        guest_free(b->guest);
        domain_def_unref(b->def);
        qemu_caps_free(b->caps);
        loop_free(b->env.loop);
        err_done(&b->failure);
        CHECK_INT(system(command), 0);
}

static void start(Bench *b, const GuestStartOptions *options)
{
        AUTOFREE char *dir = guest_dir(&b->env, &b->def->uuid);
        AUTO(CommandLine) line = { 0 };
        AUTO(Error) err = { 0 };

        if (command_line_build(&(CommandLineSpec){ .def = b->def, .caps = b->caps, .guest_dir = dir }, &line, &err) <
                    0 ||
            guest_start(b->guest, &line, options, on_done, b, &err) < 0)
                fail_msg("%s", err.text);
        await(b);
}

static void stop(Bench *b, GuestStop how)
{
        guest_stop(b->guest, how, on_done, b);
        await(b);
        CHECK(!err_is_set(&b->failure));
        CHECK(b->ended);
}

TEST(a_guest_starts_stops_for_a_while_and_ends_LIFE_17_LIFE_19_LIFE_26)
{
        Bench b;
        size_t n;

        if (!setup(&b, "<serial type='pty'/>"))
                skip();
        start(&b, &(GuestStartOptions){ 0 });
        CHECK_STR(b.failure.text ?: "", "");
        CHECK_STR(b.trace, "sr");
        CHECK(guest_tty(b.guest, "serial0"));
        CHECK(guest_vcpus(b.guest, &n)[0].tid > 0);
        CHECK_INT(n, 1);
        guest_suspend(b.guest, on_done, &b);
        await(&b);
        guest_resume(b.guest, on_done, &b);
        await(&b);
        guest_reset(b.guest, on_done, &b);
        await(&b);
        CHECK_STR(b.trace, "srpr");
        stop(&b, GUEST_STOP_NORMAL);
        CHECK_STR(b.trace, "srpr0");
        CHECK_INT(b.end_cause, GUEST_CAUSE_ASKED);
        teardown(&b);
}

TEST(qemu_says_itself_why_it_does_not_start)
{
        Bench b;

        if (!setup(&b, "<disk type='file' device='disk'><source file='/no/such/image'/><target dev='vda'/></disk>"))
                skip();
        start(&b, &(GuestStartOptions){ 0 });
        CHECK(strstr(b.failure.text, "QEMU of the guest 't' ended while it started: "));
        CHECK(strstr(b.failure.text, "/no/such/image"));
        CHECK(!guest_is_active(b.guest));
        teardown(&b);
}

TEST(a_guest_outlives_its_daemon_and_is_found_again)
{
        static const GuestHooks hooks = { .changed = on_changed, .ended = on_ended };
        Bench b;
        pid_t pid;
        uint64_t ticks;

        if (!setup(&b, ""))
                skip();
        start(&b, &(GuestStartOptions){ .paused = true });
        CHECK_STR(b.failure.text ?: "", "");
        CHECK_STR(b.trace, "sp");
        pid = guest_pid(b.guest);
        ticks = guest_start_ticks(b.guest);
        CHECK(ticks > 0);
        guest_free(b.guest);

        b.guest = guest_new(&b.env, "t", &b.def->uuid, &hooks, &b);
        CHECK_INT(guest_adopt(b.guest, pid, ticks, on_done, &b, &b.failure), 0);
        await(&b);
        CHECK_STR(b.failure.text ?: "", "");
        CHECK_INT(guest_state(b.guest), GUEST_PAUSED);
        kill(pid, SIGKILL);
        while (!b.ended)
                loop_turn(b.env.loop, -1, NULL);
        CHECK_INT(b.end_cause, GUEST_CAUSE_FAILED);
        CHECK_INT(guest_adopt(b.guest, pid, ticks, on_done, &b, &b.failure), -1);
        CHECK_INT(guest_adopt(b.guest, getpid(), ticks, on_done, &b, &b.failure), -1);
        CHECK(str_ends(b.failure.text, "is another one than before"));
        teardown(&b);
}

TEST(a_hung_qemu_is_ended_all_the_same_LIFE_26)
{
        Bench b;

        if (!setup(&b, ""))
                skip();
        start(&b, &(GuestStartOptions){ 0 });
        CHECK_STR(b.failure.text ?: "", "");
        CHECK(guest_pid(b.guest) > 0);
        kill(guest_pid(b.guest), SIGSTOP);
        stop(&b, GUEST_STOP_HARD);
        teardown(&b);
}

TEST(images_belong_to_qemu_while_it_runs_SEC_27)
{
        struct stat st;
        Bench b;
        AUTOFREE char *image = NULL;
        int fd;

        if (!setup(&b, "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/IMAGE'/>"
                       "<target dev='vda'/></disk>"))
                skip();
        if (getuid() != 0) {
                teardown(&b);
                skip();
        }
        b.env.user = (RootUser){ .uid = 65534, .gid = 65534 };
        image = str_format("%s/image", b.dir);
        fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
        b.def->disks[0]->source.path = image;
        start(&b, &(GuestStartOptions){ .paused = true });
        CHECK_STR(b.failure.text ?: "", "");
        CHECK_INT(fstat(fd, &st), 0);
        CHECK_INT(st.st_uid, 65534);
        stop(&b, GUEST_STOP_HARD);
        /* a child gives it back on its own time */
        while (fstat(fd, &st) == 0 && st.st_uid != 0)
                loop_turn(b.env.loop, 10, NULL);
        CHECK_INT(st.st_uid, 0);
        while (loop_turn(b.env.loop, 100, NULL) > 0)
                ;
        close(fd);
        teardown(&b);
}

TEST(a_uefi_guest_gets_a_file_for_its_variables)
{
        AUTOFREE char *path = NULL;
        struct stat st;
        Bench b;

        if (!setup(&b, "") || access("/usr/share/OVMF/OVMF_VARS_4M.fd", R_OK) < 0)
                skip();
        b.def->os.firmware = FIRMWARE_EFI;
        qemu_complete_firmware(b.def, b.dir);
        path = str_format("%s/t_VARS.fd", b.dir);
        CHECK_STR(b.def->os.nvram, path);
        start(&b, &(GuestStartOptions){ .paused = true });
        CHECK_STR(b.failure.text ?: "", "");
        CHECK_INT(stat(path, &st), 0);
        CHECK(st.st_size > 100000);
        stop(&b, GUEST_STOP_HARD);
        CHECK_INT(stat(path, &st), 0); /* it outlives the run */
        teardown(&b);
}
