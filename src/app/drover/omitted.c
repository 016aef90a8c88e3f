/*
 * app/drover/omitted.c - what virsh has and drover has not
 *
 * The one list of it: help, manual, the answer to such a command and the test
 * that compares both programs' lists read it.
 */
#include "app/drover/command.h"

#include "base/str.h"

#define NO_SNAPSHOTS                                                                                                 \
        "droverd keeps no snapshots of guests yet; `drover-img snapshot` makes them in the image of a guest that is off"
#define NO_BLOCK_JOBS                                                                                                \
        "droverd runs no block jobs yet; `drover-img` commits, rebases and copies the images of a guest that is off"
#define NO_DESCRIPTORS "droverd takes no descriptors for a guest's disks: name files, devices or volumes"
#define HOST_INTERFACES                                                                                              \
        "the host's interfaces are configured by NetworkManager, systemd-networkd or ifupdown; drover shows them"

static const Omission omissions[] = {
        { "snapshot-create snapshot-create-as snapshot-current snapshot-delete snapshot-dumpxml snapshot-edit "
          "snapshot-info snapshot-list snapshot-parent snapshot-revert",
          NULL, NO_SNAPSHOTS },
        { "backup-begin backup-dumpxml checkpoint-create checkpoint-create-as checkpoint-delete checkpoint-dumpxml "
          "checkpoint-edit checkpoint-info checkpoint-list checkpoint-parent",
          NULL, "droverd makes no backups or checkpoints yet; `drover-img` has bitmaps, and copies what changed" },
        { "blockcommit blockcopy blockjob blockpull", NULL, NO_BLOCK_JOBS },
        { "iface-begin iface-bridge iface-commit iface-define iface-destroy iface-edit iface-rollback iface-start "
          "iface-unbridge iface-undefine",
          NULL, HOST_INTERFACES },
        { "perf", NULL, "droverd counts no perf events of guests; `perf kvm stat` on the host does" },
        { "update-memory-device", NULL,
          "droverd has no memory devices that change their size; setmem moves the balloon" },
        { "domsetlaunchsecstate", NULL, "droverd starts no guests whose memory is encrypted yet" },
        { "lxc-enter-namespace", NULL, "drover runs virtual machines, no containers" },
        { "dom-fd-associate", NULL, NO_DESCRIPTORS },
        { "create start", "pass-fds", "descriptors are for containers; guests of QEMU have none to inherit" },
        { "qemu-monitor-command", "pass-fds", "droverd passes no descriptors to QEMU's monitor" },
        { NULL, NULL, NULL },
};

bool omission_names(const Omission *omission, const char *name)
{
        AUTO_STRLIST names = str_split(omission->names, " ");

        for (char **each = names; *each; each++) {
                if (str_eq(*each, name))
                        return true;
        }
        return false;
}

const Omission *omission_next(const char *name, bool of_options, size_t *at)
{
        while (omissions[*at].names) {
                const Omission *omission = &omissions[(*at)++];

                if ((omission->option != NULL) == of_options && (!name || omission_names(omission, name)))
                        return omission;
        }
        return NULL;
}

const char *command_omitted(const char *name)
{
        size_t at = 0;
        const Omission *omission = omission_next(name, false, &at);

        return omission ? omission->why : NULL;
}
