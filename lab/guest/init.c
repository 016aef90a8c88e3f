/*
 * guest/init.c - process 1 of the test guest
 *
 * Brings the machine up in well under a second of guest time: file systems, the modules its hardware needs, the
 * network, the heartbeat, and where asked for a shell or the guest agent. Then it reacts to the hardware: the ACPI
 * power button turns the guest off, disks and network cards that come and go are reported on the console, so a
 * test sees from the serial log what the guest saw.
 *
 * Kernel command line: drover.name=HOSTNAME, drover.net=dhcp|ADDRESS/BITS[,GATEWAY], drover.shell=DEVICE,
 * drover.power=ignore (leave the power button alone), drover.agent=1; the rest is for the heartbeat.
 */
#include "cmdline.h"
#include "modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
        POLL_UEVENT,
        POLL_SIGNAL,
        POLL_BUTTONS,
        MAX_BUTTONS = 8,
};

static struct pollfd polls[POLL_BUTTONS + MAX_BUTTONS];
static nfds_t n_polls = POLL_BUTTONS;
static pid_t shell = -1, heartbeat = -1;

static void power_off(void)
{
        printf("power off\n");
        kill(-1, SIGTERM);
        sync();
        reboot(RB_POWER_OFF);
}

static void power_cycle(void)
{
        printf("power cycle\n");
        kill(-1, SIGTERM);
        sync();
        reboot(RB_AUTOBOOT);
}

static pid_t start(const char *terminal, char *const argv[])
{
        pid_t pid = fork();

        if (pid != 0)
                return pid;

        setsid();
        if (terminal) {
                int fd = open(terminal, O_RDWR);

                if (fd < 0)
                        _exit(127);
                ioctl(fd, TIOCSCTTY, 0);
                for (int i = 0; i < 3; i++)
                        dup2(fd, i);
        }
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execv(argv[0], argv);
        _exit(127);
}

static void run(char *const argv[])
{
        pid_t pid = start(NULL, argv);

        while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

static void shell_start(void)
{
        const char *device = cmdline_find("shell");
        char path[64];

        if (!device)
                return;
        snprintf(path, sizeof(path), "/dev/%s", device);
        shell = start(path, (char *[]){ "/bin/sh", "-l", NULL });
}

static void network_up(char *nic)
{
        const char *how = cmdline_find("net");
        static bool address_given;
        char address[128], *gateway;

        if (!how || strcmp(nic, "lo") == 0)
                return;
        if (strcmp(how, "dhcp") == 0) {
                run((char *[]){ "/bin/ip", "link", "set", nic, "up", NULL });
                start(NULL, (char *[]){ "/bin/udhcpc", "-i", nic, "-f", "-s", "/bin/on-lease", "-t", "20", "-T", "1",
                                        NULL });
                return;
        }
        if (address_given)
                return;

        address_given = true;
        snprintf(address, sizeof(address), "%s", how);
        gateway = address;
        strsep(&gateway, ",");
        run((char *[]){ "/bin/ip", "address", "add", address, "dev", nic, NULL });
        run((char *[]){ "/bin/ip", "link", "set", nic, "up", NULL });
        if (gateway)
                run((char *[]){ "/bin/ip", "route", "add", "default", "via", gateway, NULL });
        printf("net %s %s\n", nic, address);
}

static void button_open(const char *name)
{
        unsigned char keys[KEY_MAX / 8 + 1] = { 0 };
        char path[64];
        int fd;

        snprintf(path, sizeof(path), "/dev/%s", name);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return;
        if (n_polls == POLL_BUTTONS + MAX_BUTTONS || ioctl(fd, EVIOCGBIT(EV_KEY, sizeof(keys)), keys) < 0 ||
            !(keys[KEY_POWER / 8] & (1 << KEY_POWER % 8))) {
                close(fd);
                return;
        }
        polls[n_polls++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

static void on_button(int fd)
{
        struct input_event event;
        const char *policy = cmdline_find("power");

        while (read(fd, &event, sizeof(event)) == sizeof(event)) {
                if (event.type != EV_KEY || event.code != KEY_POWER || event.value != 1)
                        continue;
                printf("power button\n");
                if (!policy || strcmp(policy, "ignore") != 0)
                        power_off();
        }
}

static const char *uevent_get(const char *event, size_t length, const char *key)
{
        size_t n = strlen(key);

        for (const char *at = event; at < event + length; at += strlen(at) + 1)
                if (strncmp(at, key, n) == 0 && at[n] == '=')
                        return at + n + 1;
        return "";
}

static unsigned long disk_sectors(const char *disk)
{
        char path[128];
        unsigned long sectors = 0;
        FILE *file;

        snprintf(path, sizeof(path), "/sys/class/block/%s/size", disk);
        file = fopen(path, "re");
        if (!file)
                return 0;
        if (fscanf(file, "%lu", &sectors) != 1)
                sectors = 0;
        fclose(file);
        return sectors;
}

static void on_uevent(const char *event, size_t length)
{
        const char *action = uevent_get(event, length, "ACTION");
        const char *subsystem = uevent_get(event, length, "SUBSYSTEM");
        const char *device = uevent_get(event, length, "DEVNAME");
        const char *nic = uevent_get(event, length, "INTERFACE");
        bool added = strcmp(action, "add") == 0;

        if (added && *uevent_get(event, length, "MODALIAS"))
                modules_load_for(uevent_get(event, length, "MODALIAS"));
        if (added && strncmp(device, "input/event", 11) == 0)
                button_open(device);

        if (strcmp(subsystem, "block") == 0 && strcmp(uevent_get(event, length, "DEVTYPE"), "disk") == 0) {
                if (strcmp(action, "remove") == 0)
                        printf("disk %s gone\n", device);
                else
                        printf("disk %s %lu sectors\n", device, disk_sectors(device));
        }
        if (strcmp(subsystem, "net") == 0 && added) {
                printf("nic %s\n", nic);
                network_up((char *)nic);
        }
        if (strcmp(subsystem, "net") == 0 && strcmp(action, "remove") == 0)
                printf("nic %s gone\n", nic);
}

static void on_signal(int fd)
{
        struct signalfd_siginfo info;
        int status;
        pid_t pid;

        if (read(fd, &info, sizeof(info)) != sizeof(info))
                return;
        switch (info.ssi_signo) {
        case SIGINT:  /* Ctrl-Alt-Del */
        case SIGTERM: /* busybox reboot */
                power_cycle();
                return;
        case SIGUSR1: /* busybox halt */
        case SIGUSR2: /* busybox poweroff */
                power_off();
                return;
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (pid == shell)
                        shell_start();
                if (pid == heartbeat) /* short of memory, most likely */
                        printf("the heartbeat ended with status %#x\n", status);
        }
}

static void file_systems_mount(void)
{
        static const struct {
                const char *type, *at;
        } rows[] = {
                { "devtmpfs", "/dev" }, { "proc", "/proc" },      { "sysfs", "/sys" },
                { "tmpfs", "/tmp" },    { "devpts", "/dev/pts" }, { "tmpfs", "/run" },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                mkdir(rows[i].at, 0755);
                if (mount(rows[i].type, rows[i].at, rows[i].type, 0, NULL) < 0)
                        printf("cannot mount %s: %s\n", rows[i].at, strerror(errno));
        }
}

static void events_open(void)
{
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
        static const int heard[] = { SIGCHLD, SIGINT, SIGTERM, SIGUSR1, SIGUSR2 };
        int size = 1024 * 1024;
        sigset_t signals;

        polls[POLL_UEVENT].fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
        setsockopt(polls[POLL_UEVENT].fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        if (bind(polls[POLL_UEVENT].fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                printf("cannot hear of devices: %s\n", strerror(errno));

        sigemptyset(&signals);
        for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++)
                sigaddset(&signals, heard[i]);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        polls[POLL_SIGNAL].fd = signalfd(-1, &signals, SFD_CLOEXEC);
        reboot(RB_DISABLE_CAD);

        for (int i = 0; i < POLL_BUTTONS; i++)
                polls[i].events = POLLIN;
}

static void uevents_drain(void)
{
        char event[8192];
        ssize_t n;

        while ((n = recv(polls[POLL_UEVENT].fd, event, sizeof(event) - 1, 0)) > 0) {
                event[n] = '\0';
                on_uevent(event, (size_t)n);
        }
}

/* As udev does: /dev/virtio-ports/NAME for each channel that has a name. */
static void ports_name(void)
{
        DIR *ports = opendir("/sys/class/virtio-ports");
        struct dirent *entry;

        mkdir("/dev/virtio-ports", 0755);
        while (ports && (entry = readdir(ports))) {
                char path[300], name[128], device[300], link[200];
                FILE *file;

                snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
                file = fopen(path, "re");
                if (!file)
                        continue;
                if (fscanf(file, "%127[^/\n]", name) == 1) {
                        snprintf(device, sizeof(device), "/dev/%s", entry->d_name);
                        snprintf(link, sizeof(link), "/dev/virtio-ports/%s", name);
                        if (symlink(device, link) < 0 && errno != EEXIST)
                                perror("init: a channel's name");
                }
                fclose(file);
        }
        if (ports)
                closedir(ports);
}

static void services_start(void)
{
        const char *name = cmdline_find("name");

        if (name)
                sethostname(name, strlen(name));
        run((char *[]){ "/bin/ip", "link", "set", "lo", "up", NULL });
        if (cmdline_number("beat", 100) || cmdline_number("touch", 0))
                heartbeat = start(NULL, (char *[]){ "/heartbeat", NULL });
        ports_name();
        if (cmdline_number("agent", 0) && access("/usr/sbin/qemu-ga", X_OK) == 0)
                start(NULL, (char *[]){ "/usr/sbin/qemu-ga", "-m", "virtio-serial", "-p",
                                        "/dev/virtio-ports/org.qemu.guest_agent.0", "-t", "/run", NULL });
}

int main(void)
{
        struct timespec up;

        setvbuf(stdout, NULL, _IOLBF, 0);
        setenv("PATH", "/bin:/usr/sbin", 1);
        file_systems_mount();
        events_open();
        modules_load_all();
        uevents_drain();
        services_start();

        clock_gettime(CLOCK_MONOTONIC, &up);
        printf("ready %ld.%03ld\n", (long)up.tv_sec, up.tv_nsec / 1000000);
        shell_start(); /* last: its prompt would stand before what is printed on the same line */

        for (;;) {
                if (poll(polls, n_polls, -1) < 0)
                        continue;
                if (polls[POLL_UEVENT].revents)
                        uevents_drain();
                if (polls[POLL_SIGNAL].revents)
                        on_signal(polls[POLL_SIGNAL].fd);
                for (nfds_t i = POLL_BUTTONS; i < n_polls; i++)
                        if (polls[i].revents)
                                on_button(polls[i].fd);
        }
}
