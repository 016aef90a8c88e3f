/*
 * daemon/disk-sizes.c - the sizes of a running guest's disks, without asking QEMU each time
 */
#include "daemon/disk-sizes.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "host/process-file.h"
#include "qemu/command-line.h"

enum {
        MOST_NODES = 4096,
        MOST_DISKS = 8, /* finding the file of one takes the loop a part of a millisecond; of more, QEMU is asked */
};

typedef struct DiskSize {
        char *target;
        ProcessFile file;
        BlockFigures figures; /* what of them lasts */
} DiskSize;

struct DiskSizes {
        VEC(DiskSize) disks;
        uint64_t changes;
        bool complete; /* each disk that has an image is there */
};

DiskSizes *disk_sizes_free(DiskSizes *known)
{
        if (!known)
                return NULL;
        for (size_t i = 0; i < known->disks.len; i++)
                free(known->disks.items[i].target);
        vec_done(&known->disks);
        free(known);
        return NULL;
}

static const QmpBlockNode *find_node(const QmpBlockNode *nodes, size_t n, const char *name)
{
        for (size_t i = 0; i < MIN(n, MOST_NODES); i++) {
                if (str_eq(nodes[i].node_name, name))
                        return &nodes[i];
        }
        return NULL;
}

static void put(const BlockFigures *sizes, const char *target, Figures *figures)
{
        for (size_t i = 0; i < figures->n_blocks; i++) {
                BlockFigures *b = &figures->blocks[i];

                if (!str_eq(b->target, target))
                        continue;
                b->has_sizes = true;
                b->is_file = sizes->is_file;
                b->capacity = sizes->capacity;
                b->physical = sizes->physical;
                b->length = sizes->length;
                b->threshold = sizes->threshold;
        }
}

/* QEMU gives no length of a server's image apart from what lies in it. */
static BlockFigures sizes_of(const QmpBlockNode *node, const QmpBlockNode *file)
{
        uint64_t length = file ? file->image.virtual_size : node->image.virtual_size;
        bool is_file = file && str_eq(file->drv, "file");

        return (BlockFigures){ .is_file = is_file,
                               .capacity = node->image.virtual_size,
                               .physical = is_file ? node->image.actual_size : length,
                               .length = length,
                               .threshold = node->write_threshold };
}

/* Is all that the image takes in one file, which can be looked at? An image with a data file of its own takes more. */
static bool find_file(pid_t pid, const QmpBlockNode *node, const QmpBlockNode *file, ProcessFile *ret)
{
        return file && (str_eq(file->drv, "file") || str_eq(file->drv, "host_device")) &&
               node->image.actual_size == file->image.actual_size &&
               process_file_find(pid, file->image.filename, ret);
}

DiskSizes *disk_sizes_learn(DiskSizes *known, pid_t pid, uint64_t changes, const DomainDef *def,
                            const QmpBlockNode *nodes, size_t n_nodes, Figures *figures)
{
        disk_sizes_free(known);
        known = mem_new(DiskSizes);
        *known = (DiskSizes){ .changes = changes, .complete = def->n_disks <= MOST_DISKS };
        for (uint32_t d = 0; d < def->n_disks; d++) {
                const DiskDef *disk = def->disks[d];
                AUTOFREE char *name = qemu_disk_node(def, disk), *file_name = qemu_disk_file_node(def, disk);
                const QmpBlockNode *node = name ? find_node(nodes, n_nodes, name) : NULL;
                const QmpBlockNode *file = name ? find_node(nodes, n_nodes, file_name) : NULL;
                DiskSize size = { 0 };

                if (!node) /* an empty drive */
                        continue;
                size.figures = sizes_of(node, file);
                put(&size.figures, disk->target_dev, figures);
                if (changes && known->complete && find_file(pid, node, file, &size.file)) {
                        size.target = str_dup(disk->target_dev);
                        vec_push(&known->disks, size);
                } else {
                        known->complete = false;
                }
        }
        return known;
}

bool disk_sizes_give(const DiskSizes *known, pid_t pid, uint64_t changes, Figures *figures)
{
        if (!known || !known->complete || known->changes != changes)
                return false;
        for (size_t i = 0; i < known->disks.len; i++) {
                const DiskSize *disk = &known->disks.items[i];
                BlockFigures now = disk->figures;
                ProcessFileSize size;

                if (!process_file_look(pid, &disk->file, &size))
                        return false;
                if (now.is_file) {
                        now.physical = size.allocated_bytes;
                        now.length = size.length_bytes;
                }
                put(&now, disk->target, figures);
        }
        return true;
}
