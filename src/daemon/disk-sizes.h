#pragma once
/*
 * daemon/disk-sizes.h - the sizes of a running guest's disks, without asking QEMU each time
 *
 * What the guest sees of a disk changes only by what QEMU is told, or tells: it is kept until then. What an image takes on
 * the host changes with every write, and the kernel says it at once where the image is a local file or device. The sizes
 * given are those of this moment either way; where that cannot be, none are, and QEMU has to be asked.
 */
#include "daemon/figures.h"
#include "model/domain.h"
#include "qemu/qmp.h"

#include <sys/types.h>

typedef struct DiskSizes DiskSizes;

/*
 * QEMU, process pid, has answered with these nodes (query-named-block-nodes). Puts the sizes of the definition's disks into
 * figures. changes: what qmp_client_changes() was when it was asked and still is, so that the answer holds until it is
 * another; 0: it is another already. Returns what is known now, owned by the caller, in place of known, which is freed.
 */
DiskSizes *disk_sizes_learn(DiskSizes *known, pid_t pid, uint64_t changes, const DomainDef *def,
                            const QmpBlockNode *nodes, size_t n_nodes, Figures *figures);
/*
 * Puts the sizes into figures; false when QEMU has to be asked, whose answer then replaces what was put. known may be NULL.
 * Does not block.
 */
bool disk_sizes_give(const DiskSizes *known, pid_t pid, uint64_t changes, Figures *figures);
DiskSizes *disk_sizes_free(DiskSizes *known); /* returns NULL */
