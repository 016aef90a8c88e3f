#include "test.h"

#include "base/buf.h"
#include "base/str.h"
#include "wire/transport.h"

#include <stdio.h>
#include <string.h>

static char *joined(char **list)
{
        Buf out = { 0 };

        for (char **word = list; *word; word++)
                buf_format(&out, "%s%s", word == list ? "" : " ", *word);
        str_list_free(list);
        return buf_take(&out);
}

TEST(local_sockets_are_tried_in_order) /* REM-06, REM-15 */
{
        static const struct {
                const char *uri;
                bool readonly;
                const char *runtime_dir, *sockets;
        } cases[] = {
                { "qemu:///system", false, NULL,
                  "/run/drover/libvirt-sock /run/libvirt/virtqemud-sock /run/libvirt/libvirt-sock" },
                { "qemu:///system", true, NULL,
                  "/run/drover/libvirt-sock-ro /run/libvirt/virtqemud-sock-ro /run/libvirt/libvirt-sock-ro" },
                { "qemu:///system?mode=legacy", false, NULL, "/run/drover/libvirt-sock /run/libvirt/libvirt-sock" },
                { "qemu:///system?mode=direct", false, NULL, "/run/libvirt/virtqemud-sock" },
                { "qemu:///session", true, "/run/user/7",
                  "/run/user/7/libvirt/virtqemud-sock /run/user/7/libvirt/libvirt-sock" },
                { "qemu:///session", true, NULL, "" },
                { "qemu+unix:///system?socket=/x/y", true, NULL, "/x/y" },
                { "", false, NULL, "/run/drover/libvirt-sock /run/libvirt/libvirt-sock" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Uri) *uri = uri_parse(cases[i].uri, NULL);
                AUTOFREE char *sockets = joined(transport_sockets(uri, cases[i].readonly, cases[i].runtime_dir));

                CHECK_STR(sockets, cases[i].sockets);
        }
}

TEST(ssh_gets_its_arguments_in_a_fixed_order) /* REM-08, REM-09, REM-14 to REM-18 */
{
        static const struct {
                const char *uri, *argv;
        } cases[] = {
                { "qemu+ssh://h/system?proxy=native",
                  "ssh -T -e none -- h sh -c 'exec virt-ssh-helper '\\''qemu:///system'\\'''" },
                { "qemu+ssh://u@h:222/system?proxy=native&keyfile=/k&no_tty=1&no_verify=1&command=/opt/ssh",
                  "/opt/ssh -p 222 -l u -i /k -T -e none -o BatchMode=yes -o StrictHostKeyChecking=no -- h "
                  "sh -c 'exec virt-ssh-helper '\\''qemu:///system'\\'''" },
                { "qemu+ssh://h/system?socket=/s&netcat=/opt/nc",
                  "ssh -T -e none -- h sh -c 's='\\''/s'\\''; if '\\''/opt/nc'\\'' -h 2>&1 | grep -q -e '\\''-q '\\''; then "
                  "exec '\\''/opt/nc'\\'' -q0 -U \"$s\"; fi; exec '\\''/opt/nc'\\'' -U \"$s\"'" },
                { "qemu+ext:///system?command=/bin/reach", "/bin/reach" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Uri) *uri = uri_parse(cases[i].uri, NULL);
                AUTOFREE char *argv = joined(transport_argv(uri, false, true));

                CHECK_STR(argv, cases[i].argv);
        }
}

/* Run the remote command as sshd would, with a virt-ssh-helper and an nc that only say how they were called. */
static char *run_remote(const char *text, bool readonly, bool has_helper)
{
        AUTO(Uri) *uri = uri_parse(text, NULL);
        char **argv = transport_argv(uri, readonly, true), line[512] = "";
        AUTOFREE char *command = NULL, *quoted = NULL;
        FILE *out;

        quoted = transport_shell_quote(argv[str_list_len(argv) - 1]);
        str_list_free(argv);
        command = str_format("d=$(mktemp -d); printf '#!/bin/sh\\necho helper \"$@\"' >$d/virt-ssh-helper; "
                             "printf '#!/bin/sh\\n[ $1 = -h ] && echo \" -q secs\" || echo nc \"$@\"' >$d/nc; "
                             "chmod +x $d/*; %s PATH=$d:/usr/bin:/bin sh -c %s; rm -r $d",
                             has_helper ? "" : "rm $d/virt-ssh-helper;", quoted);
        out = popen(command, "r");
        if (!fgets(line, sizeof(line), out))
                line[0] = '\0';
        pclose(out);
        line[strcspn(line, "\n")] = '\0';
        return str_dup(line);
}

TEST(the_far_end_takes_the_helper_or_netcat)
{
        AUTOFREE char *helper = run_remote("qemu+ssh://h/sys'tem?x=$HOME", true, true);
        AUTOFREE char *nc = run_remote("qemu+ssh://h/system?socket=/run/a%20b'c", false, true);
        AUTOFREE char *fallback = run_remote("qemu+ssh://h/system?netcat=nc&socket=/s", false, false);

        CHECK_STR(helper, "helper -r qemu:///sys'tem?x=$HOME");
        CHECK_STR(nc, "nc -q0 -U /run/a b'c");
        CHECK_STR(fallback, "nc -q0 -U /s");
}
