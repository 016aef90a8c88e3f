/*
 * img/vmdk.c - VMware disks (IMG-32)
 *
 * A disk is one or many extents: flat files, sparse files (vmdk-sparse.c), or
 * nothing but zeros. A text descriptor, in a file of its own or inside the one
 * sparse file, names them. Files beside the image, and its parent, are opened
 * by the caller.
 */
#include "img/vmdk.h"

#include "base/str.h"
#include "base/uuid.h"
#include "img/bytes.h"

#include <stdio.h>

/* Where an extent that is not there reads from: the disk's backing image, as far in as the extent is. */
typedef struct Below {
        Image image;
        Image *disk;
        uint64_t start;
} Below;

typedef struct Part {
        uint64_t start, size;
        bool zero;
        ImageFile *flat; /* owned */
        uint64_t flat_offset;
        Image *sparse; /* owned; its file too, but for the image's own */
        Below below;
} Part;

typedef struct Vmdk {
        Part *parts; /* owned */
        size_t n;
        uint64_t descriptor, descriptor_size; /* where it stands */
        bool changed;                         /* the content id says so */
        pthread_mutex_t lock;
} Vmdk;

static Vmdk *vmdk_of(const Image *image)
{
        return image->state;
}

static bool vmdk_probe(const uint8_t *head, size_t n)
{
        return vmdk_sparse_probe(head, n) || vmdk_starts_descriptor(head, n);
}

static int describe_text(ImageFile *file, uint64_t at, uint64_t n, bool embedded, ImageDescription *ret, Error *err)
{
        char text[VMDK_DESCRIPTOR_MAX + 1];

        if (n > VMDK_DESCRIPTOR_MAX)
                return image_bad_field(err, file, at, "descriptor", "is %llu bytes long, at most %d are allowed",
                                       (unsigned long long)n, VMDK_DESCRIPTOR_MAX);
        if (image_file_read(file, at, text, (size_t)n, err) < 0)
                return -1;
        text[n] = '\0';
        return vmdk_text_parse(file, text, embedded, ret, err);
}

static int describe_sparse(ImageFile *file, ImageDescription *ret, Error *err)
{
        VmdkSparse h;

        if (vmdk_sparse_read(file, &h, err) < 0)
                return -1;
        if (h.descriptor && h.descriptor_size &&
            describe_text(file, h.descriptor, h.descriptor_size, true, ret, err) < 0)
                return -1;
        /* There may be room for one that nobody wrote. */
        if (!ret->vmdk || (!ret->vmdk->create_type && !ret->vmdk->extents.len))
                return err_set(err, ERR_INVALID_ARG,
                               "'%s' has no descriptor: it is a part of a disk that another file describes",
                               file->name);
        for (size_t i = 0; i < ret->vmdk->extents.len; i++) {
                VmdkExtent *extent = &ret->vmdk->extents.items[i];

                str_replace(&extent->name, NULL);
                str_replace(&extent->kind, "");
                extent->cluster_size = h.grain;
                extent->compressed = h.compressed;
        }
        ret->virtual_size = h.capacity;
        ret->version = h.version;
        ret->cluster_size = h.grain;
        return 0;
}

static int vmdk_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        uint8_t head[VMDK_SECTOR] = { 0 };
        uint64_t size;
        size_t n;

        if (image_file_size(file, &size, err) < 0 || file->ops->read(file, 0, head, sizeof(head), &n, err) < 0)
                return -1;
        if (vmdk_sparse_probe(head, n))
                return describe_sparse(file, ret, err);
        if (!vmdk_starts_descriptor(head, n))
                return image_bad_field(err, file, 0, "magic", "is not that of a vmdk image");
        return describe_text(file, 0, MIN(size, (uint64_t)VMDK_DESCRIPTOR_MAX), false, ret, err);
}

static int below_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        Below *below = container_of(image, Below, image);

        return image_read_below(below->disk, below->start + offset, data, n, err);
}

static const ImageDriver below_driver = { .name = "vmdk", .read = below_read };

static void vmdk_backing_changed(Image *image)
{
        Vmdk *v = vmdk_of(image);

        for (size_t i = 0; i < v->n; i++)
                if (v->parts[i].sparse)
                        v->parts[i].sparse->backing = image->backing ? &v->parts[i].below.image : NULL;
}

static int add_part(Image *image, Part *part, uint64_t start, uint64_t size)
{
        part->start = start;
        part->size = size;
        part->below = (Below){ .disk = image, .start = start };
        part->below.image = (Image){ .driver = &below_driver, .size = INT64_MAX };
        return 0;
}

static int open_alone(Image *image, Vmdk *v, Error *err)
{
        v->n = 1;
        v->parts = mem_new(Part);
        add_part(image, v->parts, 0, image->size);
        v->parts[0].sparse = vmdk_sparse_open(image->file, image->writable, image->checking, err);
        return v->parts[0].sparse ? 0 : -1;
}

static void open_many(Image *image, Vmdk *v)
{
        const VmdkDescription *about = image->about.vmdk;
        uint64_t start = 0;

        v->n = about->extents.len;
        v->parts = mem_new_array(Part, MAX(v->n, (size_t)1));
        for (size_t i = 0; i < v->n; i++) {
                add_part(image, &v->parts[i], start, about->extents.items[i].size);
                v->parts[i].zero = !about->extents.items[i].name;
                v->parts[i].flat_offset = about->extents.items[i].offset;
                start += about->extents.items[i].size;
        }
}

static void vmdk_free(Image *image)
{
        Vmdk *v = vmdk_of(image);

        for (size_t i = 0; i < v->n; i++) {
                Part *part = &v->parts[i];

                if (part->sparse) {
                        block_map_close(part->sparse, NULL);
                        part->sparse->backing = NULL;
                        if (part->sparse->file == image->file)
                                part->sparse->file = NULL;
                        image_free(part->sparse);
                }
                image_file_close(part->flat);
        }
        pthread_mutex_destroy(&v->lock);
        free(v->parts);
        free(v);
        image->state = NULL;
}

static int vmdk_open(Image *image, Error *err)
{
        uint8_t magic[4];
        VmdkSparse h;
        Vmdk *v;
        int r = 0;

        if (image_file_read(image->file, 0, magic, sizeof(magic), err) < 0)
                return -1;
        v = mem_new(Vmdk);
        pthread_mutex_init(&v->lock, NULL);
        image->state = v;
        if (vmdk_sparse_probe(magic, sizeof(magic))) {
                r = vmdk_sparse_read(image->file, &h, err);
                if (r == 0) {
                        v->descriptor = h.descriptor;
                        v->descriptor_size = h.descriptor_size;
                        r = open_alone(image, v, err);
                }
        } else {
                v->descriptor_size = VMDK_DESCRIPTOR_MAX;
                open_many(image, v);
        }
        if (r == 0)
                return 0;
        vmdk_free(image);
        return -1;
}

/* The part whose file is the i-th that is named. */
static Part *part_of_file(Image *image, size_t i, VmdkExtent **extent)
{
        Vmdk *v = vmdk_of(image);

        for (size_t k = 0; k < v->n; k++) {
                *extent = &image->about.vmdk->extents.items[k];
                if (!v->parts[k].zero && i-- == 0)
                        return &v->parts[k];
        }
        return NULL;
}

static int vmdk_attach(Image *image, size_t i, ImageFile *file, Error *err)
{
        VmdkExtent *extent;
        Part *part = part_of_file(image, i, &extent);

        if (!part || part->flat || part->sparse)
                return err_set(err, ERR_INTERNAL, "'%s' has no extent %zu", image_name(image), i);
        if (str_eq(extent->kind, "FLAT") || str_eq(extent->kind, "VMFS")) {
                part->flat = file;
                return 0;
        }
        part->sparse = vmdk_sparse_open(file, image->writable, image->checking, err);
        if (!part->sparse)
                return -1;
        extent->cluster_size = part->sparse->about.cluster_size;
        extent->compressed = vmdk_sparse_is_compressed(part->sparse);
        image->about.cluster_size = MAX(image->about.cluster_size, extent->cluster_size);
        vmdk_backing_changed(image);
        if (part->sparse->size >= part->size)
                return 0;
        part->sparse->file = NULL;
        part->sparse->backing = NULL;
        part->sparse = image_free(part->sparse);
        return err_set(err, ERR_OPERATION_FAILED, "'%s' holds fewer bytes than '%s' says", file->name,
                       image_name(image));
}

static uint64_t vmdk_disk_usage(const Image *image)
{
        const Vmdk *v = vmdk_of(image);
        uint64_t sum = 0;

        for (size_t i = 0; i < v->n; i++) {
                const ImageFile *file = v->parts[i].sparse ? v->parts[i].sparse->file : v->parts[i].flat;

                sum += file && file != image->file ? image_file_disk_usage(file) : 0;
        }
        return sum;
}

/* The part that holds offset, and how much of [offset, offset + length) it holds. */
static Part *part_at(Image *image, uint64_t offset, uint64_t *length, Error *err)
{
        Vmdk *v = vmdk_of(image);
        size_t low = 0, high = v->n;
        Part *part;

        while (high - low > 1) {
                size_t middle = low + (high - low) / 2;

                if (v->parts[middle].start <= offset)
                        low = middle;
                else
                        high = middle;
        }
        part = &v->parts[low];
        if (!part->zero && !part->flat && !part->sparse) {
                err_set(err, ERR_OPERATION_INVALID, "'%s': the file of its extent %zu was not opened",
                        image_name(image), low);
                return NULL;
        }
        *length = MIN(*length, part->start + part->size - offset);
        return part;
}

static int map_flat(Part *part, uint64_t inside, uint64_t length, ImageExtent *ret, Error *err)
{
        FileExtentKind kind = FILE_EXTENT_HOLE;
        uint64_t at = part->flat_offset + inside, run = length, size;

        if (image_file_size(part->flat, &size, err) < 0 ||
            (at < size && image_file_extent(part->flat, at, &kind, &run, err) < 0))
                return -1;
        *ret = (ImageExtent){ .length = MIN(run, length), .present = true, .has_offset = true, .offset = at };
        ret->data = true; /* room was taken, whatever the file system made of it */
        ret->zero = kind != FILE_EXTENT_DATA;
        ret->file = part->flat;
        return 0;
}

static int vmdk_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        Part *part = part_at(image, offset, &length, err);
        int r = 0;

        if (!part)
                return -1;
        if (part->zero)
                *ret = (ImageExtent){ .length = length, .present = true, .zero = true };
        else if (part->flat)
                r = map_flat(part, offset - part->start, length, ret, err);
        else
                r = image_map(part->sparse, offset - part->start, length, ret, err);
        if (r == 0 && part->sparse && ret->has_offset)
                ret->file = part->sparse->file;
        ret->start = offset;
        return r;
}

static int vmdk_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        while (n) {
                uint64_t length = n, inside;
                Part *part = part_at(image, offset, &length, err);
                int r = 0;

                if (!part)
                        return -1;
                inside = offset - part->start;
                if (part->zero)
                        memset(data, 0, length);
                else if (part->flat)
                        r = image_file_read_padded(part->flat, part->flat_offset + inside, data, length, err);
                else
                        r = image_read(part->sparse, inside, data, length, err);
                if (r < 0)
                        return -1;
                offset += length;
                data = (char *)data + length;
                n -= length;
        }
        return 0;
}

/* The content id changes with the first write, so that images on top of this one notice. */
static int change_cid(Image *image, Error *err)
{
        const Vmdk *v = vmdk_of(image);
        char text[VMDK_DESCRIPTOR_MAX + 1], digits[16], *found;
        Uuid random;
        size_t n;

        if (image->file->ops->read(image->file, v->descriptor, text, v->descriptor_size, &n, err) < 0)
                return -1;
        text[n] = '\0';
        found = strstr(text, "\nCID=");
        if (!found || found + 13 > text + n)
                return 0;
        uuid_new_random(&random);
        image->about.vmdk->cid = load_le32(random.bytes) & 0x7fffffff;
        snprintf(digits, sizeof(digits), "%08x", image->about.vmdk->cid);
        return image_file_write(image->file, v->descriptor + (uint64_t)(found + 5 - text), digits, 8, err);
}

static int begin_change(Image *image, Error *err)
{
        Vmdk *v = vmdk_of(image);
        int r = 0;

        pthread_mutex_lock(&v->lock);
        if (!v->changed)
                r = change_cid(image, err);
        v->changed = r == 0;
        pthread_mutex_unlock(&v->lock);
        return r;
}

static int store_packed(Image *image, Part *part, uint64_t inside, void *packed, size_t n, Error *err)
{
        ImageExtent extent;

        if (image_map(part->sparse, inside, 1, &extent, err) < 0)
                return -1;
        if (extent.present)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "'%s' is compressed: what is written cannot be changed", image_name(image));
        store_le64(packed, inside / 512);
        return block_map_write_packed(part->sparse, inside, packed, n, err);
}

/* Whole grains, each compressed. */
static int write_compressed(Image *image, Part *part, uint64_t inside, const void *data, size_t n, Error *err)
{
        uint64_t grain = part->sparse->about.cluster_size;
        AUTOFREE uint8_t *whole = mem_try(grain), *packed = mem_try(VMDK_PACKED_MAX);

        if (!whole || !packed)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a grain", image_name(image));
        if (inside % grain || (n % grain && inside + n != part->size) || grain > VMDK_PACKED_MAX - 1024)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s' is compressed: only whole grains can be written",
                               image_name(image));
        for (size_t at = 0; at < n; at += grain) {
                size_t length;

                memset(whole, 0, grain);
                memcpy(whole, (const char *)data + at, MIN((size_t)grain, n - at));
                length = vmdk_sparse_pack(part->sparse, inside + at, whole, packed);
                if (!length)
                        return err_set(err, ERR_INTERNAL, "'%s': a grain cannot be packed", image_name(image));
                if (store_packed(image, part, inside + at, packed, length, err) < 0)
                        return -1;
        }
        return 0;
}

static int vmdk_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err)
{
        if (begin_change(image, err) < 0)
                return -1;
        while (n) {
                uint64_t length = n, inside;
                Part *part = part_at(image, offset, &length, err);
                int r;

                if (!part)
                        return -1;
                inside = offset - part->start;
                if (part->zero)
                        r = err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': an extent of zeros cannot be written",
                                    image_name(image));
                else if (part->flat)
                        r = image_file_write(part->flat, part->flat_offset + inside, data, length, err);
                else if (vmdk_sparse_is_compressed(part->sparse))
                        r = write_compressed(image, part, inside, data, length, err);
                else
                        r = image_write(part->sparse, inside, data, length, err);
                if (r < 0)
                        return -1;
                offset += length;
                data = (const char *)data + length;
                n -= length;
        }
        return 0;
}

static int vmdk_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err)
{
        if (begin_change(image, err) < 0)
                return -1;
        while (length) {
                uint64_t step = length, inside;
                Part *part = part_at(image, offset, &step, err);
                int r = 0;

                if (!part)
                        return -1;
                inside = offset - part->start;
                if (part->flat)
                        r = image_file_zero(part->flat, part->flat_offset + inside, step,
                                            !(flags & (IMAGE_ZERO_UNMAP | IMAGE_ZERO_DROP)), err);
                else if (part->sparse && !vmdk_sparse_is_compressed(part->sparse))
                        r = image_zero(part->sparse, inside, step, flags, err);
                else if (part->sparse) { /* what is not there yet is zeros already */
                        ImageExtent extent;

                        r = image_map(part->sparse, inside, step, &extent, err);
                        if (r == 0 && extent.present)
                                r = err_set(err, ERR_OPERATION_UNSUPPORTED,
                                            "'%s' is compressed: what is written cannot be changed",
                                            image_name(image));
                        step = extent.length;
                }
                if (r < 0)
                        return -1;
                offset += step;
                length -= step;
        }
        return 0;
}

static bool vmdk_is_compressed(const Image *image)
{
        const Vmdk *v = vmdk_of(image);

        return v->n && v->parts[0].sparse && vmdk_sparse_is_compressed(v->parts[0].sparse);
}

static size_t vmdk_pack(Image *image, const void *data, void *packed)
{
        Image *sparse = vmdk_of(image)->parts[0].sparse;
        AUTOFREE uint8_t *wrapped = mem_try(VMDK_PACKED_MAX);
        size_t n;

        if (!wrapped || sparse->about.cluster_size > VMDK_PACKED_MAX - 1024)
                return 0;
        sparse->best_compression = image->best_compression;
        n = vmdk_sparse_pack(sparse, 0, data, wrapped);
        if (n > sparse->about.cluster_size)
                return 0;
        memcpy(packed, wrapped, n);
        return n;
}

static int vmdk_write_packed(Image *image, uint64_t offset, const void *packed, size_t n, Error *err)
{
        AUTOFREE uint8_t *copy = mem_dup(packed, n);
        uint64_t length = 1;
        Part *part = part_at(image, offset, &length, err);

        if (!part || begin_change(image, err) < 0)
                return -1;
        return store_packed(image, part, offset - part->start, copy, n, err);
}

static int vmdk_flush(Image *image, Error *err)
{
        const Vmdk *v = vmdk_of(image);

        for (size_t i = 0; i < v->n; i++)
                if ((v->parts[i].flat && image_file_flush(v->parts[i].flat, err) < 0) ||
                    (v->parts[i].sparse && image_flush(v->parts[i].sparse, err) < 0))
                        return -1;
        return image_file_flush(image->file, err);
}

static int vmdk_close(Image *image, Error *err)
{
        int r = vmdk_of(image)->changed ? vmdk_flush(image, err) : 0;

        vmdk_free(image);
        return r;
}

static int vmdk_check(Image *image, ImageRepair repair, ImageCheck *ret, Error *err)
{
        const Vmdk *v = vmdk_of(image);

        for (size_t i = 0; i < v->n; i++)
                if (v->parts[i].sparse && image_check(v->parts[i].sparse, repair, ret, err) < 0)
                        return -1;
        return 0;
}

const ImageDriver image_driver_vmdk = {
        .name = "vmdk",
        .probe = vmdk_probe,
        .describe = vmdk_describe,
        .open = vmdk_open,
        .close = vmdk_close,
        .attach = vmdk_attach,
        .backing_changed = vmdk_backing_changed,
        .disk_usage = vmdk_disk_usage,
        .map = vmdk_map,
        .read = vmdk_read,
        .write = vmdk_write,
        .is_compressed = vmdk_is_compressed,
        .pack = vmdk_pack,
        .write_packed = vmdk_write_packed,
        .zero = vmdk_zero,
        .flush = vmdk_flush,
        .plan_files = vmdk_plan_files,
        .create = vmdk_create,
        .check = vmdk_check,
};
