/*
 * img/vmdk.c - VMware disks (IMG-32)
 *
 * A text descriptor, in a file of its own or inside a sparse file, names the
 * extents; or a lone sparse extent stands for itself (versions 3 and 4). The
 * names of extents and of the parent are for the caller to authorise.
 */
#include "img/block-map.h"

#include "base/str.h"
#include "img/bytes.h"

#include <strings.h>

enum {
        V3_HEADER = 28,
        V4_HEADER = 79,
        AT_V3_SECTORS = 12,
        AT_V3_GRANULARITY = 16,
        AT_CAPACITY = 12,
        AT_GRAIN = 20,
        AT_DESCRIPTOR = 28,
        AT_DESCRIPTOR_SIZE = 36,
        AT_TABLE_ENTRIES = 44,
        AT_DIRECTORY = 56,
        AT_COMPRESSION = 77,
        DESCRIPTOR_MAX = 64 << 10,
        MAX_EXTENTS = 4096,
};

static bool starts_descriptor(const uint8_t *head, size_t n)
{
        const char *text = (const char *)head;
        size_t at = 0;

        /* Comments and empty lines may stand first; then comes a version. */
        while (at < n && (text[at] == '#' || text[at] == ' ' || text[at] == '\n' || text[at] == '\r')) {
                const char *end = memchr(text + at, '\n', n - at);

                if (n - at > 21 && strncasecmp(text + at, "# Disk DescriptorFile", 21) == 0)
                        return true;
                if (!end)
                        return false;
                at = (size_t)(end - text) + 1;
        }
        return n - at >= 9 && (strncmp(text + at, "version=1", 9) == 0 || strncmp(text + at, "version=2", 9) == 0 ||
                               strncmp(text + at, "version=3", 9) == 0);
}

static bool vmdk_probe(const uint8_t *head, size_t n)
{
        return n >= 4 && (memcmp(head, "KDMV", 4) == 0 || memcmp(head, "COWD", 4) == 0 || starts_descriptor(head, n));
}

/* What stands between the first pair of quotes. */
static char *quoted(const char *line)
{
        const char *open = strchr(line, '"');
        const char *end = open ? strchr(open + 1, '"') : NULL;

        return end && end - open - 1 <= IMAGE_NAME_MAX ? str_dup_n(open + 1, (size_t)(end - open - 1)) : NULL;
}

/* ACCESS SECTORS KIND "name" [offset] */
static int add_extent(const ImageFile *file, const char *line, bool embedded, ImageDescription *ret, Error *err)
{
        AUTO_STRLIST words = str_split(line, " \t");
        uint64_t sectors, bytes;
        char *name;

        if (str_list_len(words) < 3 || str_to_u64(words[1], &sectors) < 0 || mul_overflows(sectors, 512, &bytes) ||
            add_overflows(ret->virtual_size, bytes, &ret->virtual_size))
                return err_set(err, ERR_OPERATION_FAILED, "'%s': the extent line '%.200s' is wrong", file->name,
                               line);
        if (embedded || strcmp(words[2], "ZERO") == 0)
                return 0;
        name = quoted(line);
        if (!name)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': the extent line '%.200s' has no file name",
                               file->name, line);
        vec_push(&ret->data_files, name);
        if (ret->data_files.len > MAX_EXTENTS)
                return err_set(err, ERR_OPERATION_FAILED, "'%s' has over %d extents", file->name, MAX_EXTENTS);
        return 0;
}

static int describe_text(const ImageFile *file, char *text, bool embedded, ImageDescription *ret, Error *err)
{
        AUTO_STRLIST lines = str_split(text, "\r\n");

        for (char **line = lines; *line; line++) {
                if (str_starts(*line, "RW ") || str_starts(*line, "RDONLY ") || str_starts(*line, "NOACCESS ")) {
                        if (add_extent(file, *line, embedded, ret, err) < 0)
                                return -1;
                } else if (str_starts(*line, "parentFileNameHint")) {
                        free(ret->backing_file);
                        ret->backing_file = quoted(*line);
                        str_replace(&ret->backing_format, "vmdk");
                }
        }
        return 0;
}

static int read_descriptor(ImageFile *file, uint64_t at, uint64_t n, bool embedded, ImageDescription *ret, Error *err)
{
        char text[DESCRIPTOR_MAX + 1];

        if (n > DESCRIPTOR_MAX)
                return image_bad_field(err, file, at, "descriptor", "is %llu bytes long, at most %d are allowed",
                                       (unsigned long long)n, DESCRIPTOR_MAX);
        if (image_file_read(file, at, text, (size_t)n, err) < 0)
                return -1;
        text[n] = '\0';
        return describe_text(file, text, embedded, ret, err);
}

static int describe_v4(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[V4_HEADER];
        uint64_t capacity, grain, at, n;

        if (image_file_read(file, 0, head, sizeof(head), err) < 0)
                return -1;
        capacity = load_le64(head + AT_CAPACITY);
        grain = load_le64(head + AT_GRAIN);
        at = load_le64(head + AT_DESCRIPTOR);
        n = load_le64(head + AT_DESCRIPTOR_SIZE);
        if (grain < 1 || grain > 0x200000 || (grain & (grain - 1)))
                return image_bad_field(err, file, AT_GRAIN, "granularity", "is %llu sectors",
                                       (unsigned long long)grain);
        if (at && n) {
                if (at > INT64_MAX / 512 || n > DESCRIPTOR_MAX)
                        return image_bad_field(err, file, AT_DESCRIPTOR, "descriptor",
                                               "stands at sector %llu for %llu", (unsigned long long)at,
                                               (unsigned long long)n);
                if (read_descriptor(file, at * 512, n * 512, true, ret, err) < 0)
                        return -1;
        }
        if (mul_overflows(capacity, 512, &ret->virtual_size))
                return image_bad_field(err, file, AT_CAPACITY, "capacity", "is %llu sectors",
                                       (unsigned long long)capacity);
        ret->version = load_le32(head + 4);
        ret->cluster_size = grain * 512;
        return 0;
}

static int vmdk_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[512] = { 0 };
        uint64_t size;
        size_t n;

        if (image_file_size(file, &size, err) < 0 || file->ops->read(file, 0, head, sizeof(head), &n, err) < 0)
                return -1;
        if (n >= V4_HEADER && memcmp(head, "KDMV", 4) == 0)
                return describe_v4(file, ret, err);
        if (n >= V3_HEADER && memcmp(head, "COWD", 4) == 0) {
                ret->version = 3;
                ret->virtual_size = 512ULL * load_le32(head + AT_V3_SECTORS);
                ret->cluster_size = 512ULL * load_le32(head + AT_V3_GRANULARITY);
                return 0;
        }
        if (!starts_descriptor(head, n))
                return image_bad_field(err, file, 0, "magic", "is not that of a vmdk image");
        return read_descriptor(file, 0, MIN(size, (uint64_t)DESCRIPTOR_MAX), false, ret, err);
}

typedef struct Vmdk {
        uint64_t directory_at;
        uint32_t per_table;
} Vmdk;

static int vmdk_load(Image *image, uint64_t part, uint64_t *entries, Error *err)
{
        const Vmdk *v = block_map_of(image)->more;
        AUTOFREE uint8_t *table = NULL;
        uint8_t directory[4];
        uint64_t at;

        if (image_file_read(image->file, v->directory_at + 4 * part, directory, sizeof(directory), err) < 0)
                return -1;
        at = load_le32(directory) * 512ULL;
        if (!at)
                return 1;
        table = block_map_read_table(image, at, v->per_table, 4, err);
        for (uint64_t i = 0; table && i < v->per_table; i++) {
                uint32_t sector = load_le32(table + 4 * i);

                if (sector == 1)
                        entries[i] = BLOCK_ZERO;
                else if (sector && block_map_placed(image, sector * 512ULL, at + 4 * i, &entries[i], err) < 0)
                        return -1;
        }
        return table ? 0 : -1;
}

static const BlockMapOps vmdk_ops = { .load = vmdk_load };

static int vmdk_open(Image *image, Error *err)
{
        uint8_t head[V4_HEADER] = { 0 };
        size_t n;
        Vmdk *v;

        if (image->file->ops->read(image->file, 0, head, sizeof(head), &n, err) < 0)
                return -1;
        if (memcmp(head, "KDMV", 4) != 0 || image->about.backing_file)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "'%s': of vmdk only images in one sparse file, without a parent, are read here",
                               image_name(image));
        if (load_le16(head + AT_COMPRESSION) != 0)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': compressed vmdk images are not read here",
                               image_name(image));
        if (load_le32(head + AT_TABLE_ENTRIES) == 0 || load_le32(head + AT_TABLE_ENTRIES) > 512)
                return image_bad_field(err, image->file, AT_TABLE_ENTRIES, "num_gtes_per_gt", "is %u",
                                       load_le32(head + AT_TABLE_ENTRIES));
        if (load_le64(head + AT_DIRECTORY) > INT64_MAX / 1024)
                return image_bad_field(err, image->file, AT_DIRECTORY, "gd_offset", "is too large");
        v = mem_new(Vmdk);
        *v = (Vmdk){ load_le64(head + AT_DIRECTORY) * 512, load_le32(head + AT_TABLE_ENTRIES) };
        return block_map_new(image, &vmdk_ops, image->about.cluster_size, v->per_table, v, err) ? 0 : -1;
}

const ImageDriver image_driver_vmdk = {
        .name = "vmdk",
        .probe = vmdk_probe,
        .describe = vmdk_describe,
        .open = vmdk_open,
        .close = block_map_close,
        .map = block_map_map,
        .read = block_map_read,
};
