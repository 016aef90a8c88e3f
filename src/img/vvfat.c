/*
 * img/vvfat.c - a directory of this host, shown as the bytes of a FAT disk
 *
 * Sectors that say something - partition table, boot sector, FATs, directories
 * - are made once and kept. Every file has its clusters in one row, so a
 * place on the disk is one place in one file.
 */
#include "img/vvfat.h"

#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/vvfat-tree.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

enum {
        SECTOR = 512,
        PARTITION_START = 63,
        HEADS = 16,
        PER_TRACK = 63,
        CYLINDERS = 1024,
        FLOPPY_SECTORS = 2880,
        FLOPPY_HEADS = 2,
        FLOPPY_PER_TRACK = 18,
        FLOPPY_ROOT = 224,
        DISK_ROOT = 512,
        RESERVED_32 = 32,
        BOOT_COPY = 6,
        N_FATS = 2,
};

/* A part of the disk that is not zeros. */
typedef struct Piece {
        uint64_t start, length;
        uint8_t *data;    /* owned; NULL: the file's */
        const char *path; /* stays the tree's */
} Piece;

typedef struct Vvfat {
        ImageFile file;
        FatNode *root; /* owned */
        VEC(Piece) pieces;
        unsigned bits;
        bool floppy;
        char label[FAT_SHORT_NAME];
        uint64_t start, size;                        /* of the file system: where it begins; of the disk */
        uint32_t sectors, per_cluster, fat_sectors;  /* of the file system */
        uint32_t reserved, root_entries, n_clusters; /* clusters there are */
        uint64_t data_at;                            /* of cluster 2 */
        uint32_t next;                               /* the next free cluster */
        uint8_t *fat;                                /* owned until it is a piece */
        pthread_mutex_t lock;
        const char *open_path; /* what fd is open on */
        Fd fd;
} Vvfat;

static Vvfat *vvfat_of(const ImageFile *file)
{
        return container_of(file, Vvfat, file);
}

static int read_only(const ImageFile *file, Error *err)
{
        return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': a directory shown as a disk is read only", file->name);
}

static int vvfat_write(ImageFile *file, uint64_t offset, const void *data, size_t n, Error *err)
{
        (void)offset, (void)data, (void)n;
        return read_only(file, err);
}

static int vvfat_flush(ImageFile *file, Error *err)
{
        (void)file, (void)err;
        return 0;
}

static int vvfat_truncate(ImageFile *file, uint64_t size, Error *err)
{
        (void)size;
        return read_only(file, err);
}

static int vvfat_zero(ImageFile *file, uint64_t offset, uint64_t length, bool keep, Error *err)
{
        (void)offset, (void)length, (void)keep;
        return read_only(file, err);
}

static int vvfat_reserve(ImageFile *file, uint64_t offset, uint64_t length, Error *err)
{
        (void)offset, (void)length;
        return read_only(file, err);
}

/* The first piece that ends behind offset, or NULL. */
static const Piece *piece_at(const Vvfat *v, uint64_t offset)
{
        size_t low = 0, high = v->pieces.len;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (v->pieces.items[middle].start + v->pieces.items[middle].length <= offset)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < v->pieces.len ? &v->pieces.items[low] : NULL;
}

static int read_host_file(Vvfat *v, const Piece *piece, uint64_t inside, uint8_t *data, size_t n, Error *err)
{
        size_t done = 0;
        int r = 0;

        pthread_mutex_lock(&v->lock);
        if (v->open_path != piece->path) {
                fd_close(&v->fd);
                v->open_path = NULL;
                v->fd = open(piece->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
                if (v->fd >= 0)
                        v->open_path = piece->path;
                else
                        r = err_errno(err, errno, "cannot open '%s'", piece->path);
        }
        while (r == 0 && done < n) {
                ssize_t got = pread(v->fd, data + done, n - done, (off_t)(inside + done));

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        r = err_errno(err, errno, "cannot read '%s'", piece->path);
                if (got <= 0) /* it became shorter: zeros */
                        break;
                done += (size_t)got;
        }
        pthread_mutex_unlock(&v->lock);
        memset(data + done, 0, n - done);
        return r;
}

static int vvfat_read(ImageFile *file, uint64_t offset, void *data, size_t n, size_t *done, Error *err)
{
        Vvfat *v = vvfat_of(file);
        uint8_t *to = data;

        n = offset >= v->size ? 0 : (size_t)MIN((uint64_t)n, v->size - offset);
        *done = n;
        while (n) {
                const Piece *piece = piece_at(v, offset);
                uint64_t before = piece ? MIN(MAX(piece->start, offset) - offset, (uint64_t)n) : n;
                size_t step;

                if (before) {
                        memset(to, 0, before);
                        step = (size_t)before;
                } else {
                        uint64_t inside = offset - piece->start;

                        step = (size_t)MIN((uint64_t)n, piece->length - inside);
                        if (piece->data)
                                memcpy(to, piece->data + inside, step);
                        else if (read_host_file(v, piece, inside, to, step, err) < 0)
                                return -1;
                }
                offset += step;
                to += step;
                n -= step;
        }
        return 0;
}

static int vvfat_extent(ImageFile *file, uint64_t offset, FileExtentKind *kind, uint64_t *length, Error *err)
{
        const Vvfat *v = vvfat_of(file);
        const Piece *piece = piece_at(v, offset);

        (void)err;
        if (piece && piece->start <= offset) {
                *kind = FILE_EXTENT_DATA;
                *length = piece->start + piece->length - offset;
        } else {
                *kind = FILE_EXTENT_HOLE;
                *length = (piece ? piece->start : v->size) - offset;
        }
        return 0;
}

static int vvfat_size(ImageFile *file, uint64_t *ret, Error *err)
{
        (void)err;
        *ret = vvfat_of(file)->size;
        return 0;
}

static void vvfat_close(ImageFile *file)
{
        Vvfat *v = vvfat_of(file);

        for (size_t i = 0; i < v->pieces.len; i++)
                free(v->pieces.items[i].data);
        vec_done(&v->pieces);
        fat_node_free(v->root);
        free(v->fat);
        fd_close(&v->fd);
        pthread_mutex_destroy(&v->lock);
        free(v);
}

static const ImageFileOps vvfat_ops = {
        .read = vvfat_read,
        .write = vvfat_write,
        .flush = vvfat_flush,
        .truncate = vvfat_truncate,
        .zero = vvfat_zero,
        .reserve = vvfat_reserve,
        .extent = vvfat_extent,
        .size = vvfat_size,
        .close = vvfat_close,
};

static void add_piece(Vvfat *v, uint64_t start, uint64_t length, uint8_t *data, const char *path)
{
        Piece piece = { .start = start, .length = length, .data = data, .path = path };

        vec_push(&v->pieces, piece);
}

static int choose_layout(Vvfat *v, Error *err)
{
        uint64_t entries;

        if (v->floppy ? v->bits != 12 : v->bits == 12)
                return err_set(err, ERR_ARGUMENT_UNSUPPORTED, "FAT%u is not made here for %s", v->bits,
                               v->floppy ? "a floppy (12 is)" : "a hard disk (16 and 32 are)");
        v->start = v->floppy ? 0 : PARTITION_START * SECTOR;
        v->size = v->floppy ? FLOPPY_SECTORS * SECTOR : (uint64_t)CYLINDERS * HEADS * PER_TRACK * SECTOR;
        v->sectors = (uint32_t)((v->size - v->start) / SECTOR);
        v->per_cluster = v->floppy ? 1 : v->bits == 16 ? 16 : 8;
        v->reserved = v->bits == 32 ? RESERVED_32 : 1;
        v->root_entries = v->bits == 32 ? 0 : v->floppy ? FLOPPY_ROOT : DISK_ROOT;
        /* A few more entries than clusters that then fit beside the FATs do no harm. */
        entries = v->sectors / v->per_cluster + 2;
        v->fat_sectors = (uint32_t)div_up(div_up(entries * v->bits, 8), SECTOR);
        v->data_at = v->start + SECTOR * (v->reserved + (uint64_t)N_FATS * v->fat_sectors +
                                          v->root_entries * FAT_ENTRY / SECTOR);
        v->n_clusters = (uint32_t)((v->start + (uint64_t)v->sectors * SECTOR - v->data_at) / SECTOR / v->per_cluster);
        v->next = 2;
        v->fat = mem_alloc((size_t)v->fat_sectors * SECTOR);
        return 0;
}

static void fat_set(Vvfat *v, uint32_t cluster, uint32_t value)
{
        if (v->bits == 32) {
                store_le32(v->fat + 4ULL * cluster, value & 0x0fffffff);
        } else if (v->bits == 16) {
                store_le16(v->fat + 2ULL * cluster, (uint16_t)value);
        } else {
                uint8_t *at = v->fat + cluster * 3 / 2;
                uint16_t pair = load_le16(at);

                value &= 0xfff;
                store_le16(at, cluster & 1 ? (uint16_t)((pair & 0x000f) | value << 4)
                                           : (uint16_t)((pair & 0xf000) | value));
        }
}

/* A row of clusters for so many bytes; 0 bytes take none. */
static int take_clusters(Vvfat *v, FatNode *node, uint64_t bytes, Error *err)
{
        uint64_t n = div_up(bytes, (uint64_t)v->per_cluster * SECTOR);

        if (n > v->n_clusters + 2 - v->next)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': the files do not fit on a disk of %llu bytes",
                               v->file.name, (unsigned long long)v->size);
        node->cluster = n ? v->next : 0;
        node->clusters = (uint32_t)n;
        for (uint64_t i = 0; i < n; i++, v->next++)
                fat_set(v, v->next, i + 1 < n ? v->next + 1 : UINT32_MAX);
        return 0;
}

static bool is_fixed_root(const Vvfat *v, const FatNode *node)
{
        return !node->parent && v->bits != 32;
}

static int place(Vvfat *v, FatNode *node, Error *err)
{
        if (is_fixed_root(v, node)) {
                if (fat_directory_size(node) > v->root_entries * FAT_ENTRY)
                        return err_set(err, ERR_OPERATION_FAILED,
                                       "'%s' has more files than the %u entries of a root allow", v->file.name,
                                       v->root_entries);
        } else if (take_clusters(v, node, node->directory ? fat_directory_size(node) : node->size, err) < 0) {
                return -1;
        }
        for (size_t i = 0; i < node->children.len; i++)
                if (place(v, node->children.items[i], err) < 0)
                        return -1;
        return 0;
}

/* In the order of place(), which is that of the disk. */
static void add_content(Vvfat *v, const FatNode *node)
{
        uint64_t cluster = (uint64_t)v->per_cluster * SECTOR, at = v->data_at + (node->cluster - 2) * cluster;

        if (is_fixed_root(v, node)) {
                uint8_t *data = mem_alloc(v->root_entries * FAT_ENTRY);

                fat_directory_put(node, v->label, data);
                add_piece(v, v->data_at - v->root_entries * FAT_ENTRY, v->root_entries * FAT_ENTRY, data, NULL);
        } else if (node->directory) {
                uint8_t *data = mem_alloc(node->clusters * cluster);

                fat_directory_put(node, v->label, data);
                add_piece(v, at, node->clusters * cluster, data, NULL);
        } else if (node->size) {
                add_piece(v, at, node->size, NULL, node->path);
        }
        for (size_t i = 0; i < node->children.len; i++)
                add_content(v, node->children.items[i]);
}

static uint8_t *make_boot_sector(const Vvfat *v)
{
        uint8_t *boot = mem_alloc(SECTOR), *more = boot + (v->bits == 32 ? 64 : 36);

        memcpy(boot,
               "\xeb\x3c\x90"
               "MSDOS5.0",
               11);
        store_le16(boot + 11, SECTOR);
        boot[13] = (uint8_t)v->per_cluster;
        store_le16(boot + 14, (uint16_t)v->reserved);
        boot[16] = N_FATS;
        store_le16(boot + 17, (uint16_t)v->root_entries);
        store_le16(boot + 19, v->sectors < 0x10000 ? (uint16_t)v->sectors : 0);
        boot[21] = v->floppy ? 0xf0 : 0xf8;
        store_le16(boot + 22, v->bits == 32 ? 0 : (uint16_t)v->fat_sectors);
        store_le16(boot + 24, v->floppy ? FLOPPY_PER_TRACK : PER_TRACK);
        store_le16(boot + 26, v->floppy ? FLOPPY_HEADS : HEADS);
        store_le32(boot + 28, (uint32_t)(v->start / SECTOR));
        store_le32(boot + 32, v->sectors < 0x10000 ? 0 : v->sectors);
        if (v->bits == 32) {
                store_le32(boot + 36, v->fat_sectors);
                store_le32(boot + 44, v->root->cluster);
                store_le16(boot + 48, 1);
                store_le16(boot + 50, BOOT_COPY);
        }
        more[0] = v->floppy ? 0 : 0x80;
        more[2] = 0x29;
        store_le32(more + 3, 0xfabe1afd);
        memcpy(more + 7, v->label, FAT_SHORT_NAME);
        memcpy(more + 18, v->bits == 32 ? "FAT32   " : v->bits == 16 ? "FAT16   " : "FAT12   ", 8);
        store_le16(boot + 510, 0xaa55);
        return boot;
}

static uint8_t *make_partition_table(const Vvfat *v)
{
        uint8_t *table = mem_alloc(SECTOR), *row = table + 446;
        unsigned last = CYLINDERS - 1;

        store_le32(table + 440, 0xbe1afdfa);
        row[0] = 0x80;
        row[1] = 1; /* head 1, sector 1, cylinder 0 */
        row[2] = 1;
        row[4] = v->bits == 32 ? 0x0c : 0x06;
        row[5] = HEADS - 1;
        row[6] = (uint8_t)(PER_TRACK | (last >> 8) << 6);
        row[7] = (uint8_t)last;
        store_le32(row + 8, PARTITION_START);
        store_le32(row + 12, v->sectors);
        store_le16(table + 510, 0xaa55);
        return table;
}

/* FAT32 keeps count of what is free, and a copy of its boot sector. */
static void add_fat32_extras(Vvfat *v, const uint8_t *boot)
{
        uint8_t *info = mem_alloc(SECTOR);

        memcpy(info, "RRaA", 4);
        memcpy(info + 484, "rrAa", 4);
        store_le32(info + 488, v->n_clusters + 2 - v->next);
        store_le32(info + 492, v->next);
        store_le16(info + 510, 0xaa55);
        add_piece(v, v->start + SECTOR, SECTOR, info, NULL);
        add_piece(v, v->start + BOOT_COPY * SECTOR, SECTOR, mem_dup(boot, SECTOR), NULL);
}

static int build(Vvfat *v, Error *err)
{
        uint64_t fat_at, fat_bytes;
        uint8_t *boot;

        if (choose_layout(v, err) < 0)
                return -1;
        fat_bytes = (uint64_t)v->fat_sectors * SECTOR;
        fat_at = v->start + (uint64_t)v->reserved * SECTOR;
        fat_set(v, 0, 0xffffff00 | (v->floppy ? 0xf0 : 0xf8));
        fat_set(v, 1, UINT32_MAX);
        if (place(v, v->root, err) < 0)
                return -1;
        if (!v->floppy)
                add_piece(v, 0, SECTOR, make_partition_table(v), NULL);
        boot = make_boot_sector(v);
        add_piece(v, v->start, SECTOR, boot, NULL);
        if (v->bits == 32)
                add_fat32_extras(v, boot);
        add_piece(v, fat_at, fat_bytes, mem_dup(v->fat, fat_bytes), NULL);
        add_piece(v, fat_at + fat_bytes, fat_bytes, TAKE(v->fat), NULL);
        add_content(v, v->root);
        return 0;
}

ImageFile *vvfat_open(const char *directory, const VvfatOptions *how, Error *err)
{
        AUTO(ImageFile) *file = NULL;
        const char *label = how->label ?: "DROVER FAT";
        Vvfat *v;

        if (strlen(label) > FAT_SHORT_NAME) {
                err_set(err, ERR_INVALID_ARG, "the label '%s' is longer than %d bytes", label, FAT_SHORT_NAME);
                return NULL;
        }
        v = mem_new(Vvfat);
        v->file = (ImageFile){ .ops = &vvfat_ops, .name = str_format("fat:%s", directory), .align = 1 };
        pthread_mutex_init(&v->lock, NULL);
        v->fd = -1;
        v->floppy = how->floppy;
        v->bits = how->fat_bits ? how->fat_bits : how->floppy ? 12 : 16;
        memset(v->label, ' ', sizeof(v->label));
        memcpy(v->label, label, strlen(label));
        file = &v->file;
        v->root = fat_tree_read(directory, err);
        return v->root && build(v, err) == 0 ? TAKE(file) : NULL;
}

ImageFile *vvfat_open_name(const char *name, Error *err)
{
        VvfatOptions how = { 0 };
        bool more = true;

        name += str_starts(name, "fat:") ? strlen("fat:") : 0;
        while (more) {
                more = false;
                if (str_starts(name, "floppy:")) {
                        how.floppy = more = true;
                        name += strlen("floppy:");
                }
                if (str_starts(name, "12:") || str_starts(name, "16:") || str_starts(name, "32:")) {
                        how.fat_bits = (unsigned)(name[0] - '0') * 10 + (unsigned)(name[1] - '0');
                        name += 3;
                        more = true;
                }
                if (str_starts(name, "rw:")) {
                        err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': a directory shown as a disk is read only",
                                name);
                        return NULL;
                }
        }
        return vvfat_open(name, &how, err);
}
