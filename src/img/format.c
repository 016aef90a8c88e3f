/*
 * img/format.c - the table of formats, description and probing
 */
#include "img/format.h"

#include "base/buf.h"
#include "base/str.h"
#include "img/driver.h"

#include <stdarg.h>

enum { PROBE_SIZE = 2048, TAIL_SIZE = 512 };

static const ImageDriver *const drivers[IMAGE_FORMAT_COUNT] = {
        [IMAGE_FORMAT_RAW] = &image_driver_raw,
        [IMAGE_FORMAT_QCOW2] = &image_driver_qcow2,
        [IMAGE_FORMAT_QCOW] = &image_driver_qcow,
        [IMAGE_FORMAT_QED] = &image_driver_qed,
        [IMAGE_FORMAT_VMDK] = &image_driver_vmdk,
        [IMAGE_FORMAT_VDI] = &image_driver_vdi,
        [IMAGE_FORMAT_VPC] = &image_driver_vpc,
        [IMAGE_FORMAT_VHDX] = &image_driver_vhdx,
        [IMAGE_FORMAT_PARALLELS] = &image_driver_parallels,
        [IMAGE_FORMAT_LUKS] = &image_driver_luks,
        [IMAGE_FORMAT_BOCHS] = &image_driver_bochs,
        [IMAGE_FORMAT_CLOOP] = &image_driver_cloop,
        [IMAGE_FORMAT_DMG] = &image_driver_dmg,
        [IMAGE_FORMAT_COW] = &image_driver_cow,
};

const ImageDriver *image_driver_of(ImageFormat format)
{
        return drivers[format];
}

const char *image_format_name(ImageFormat format)
{
        return drivers[format]->name;
}

int image_format_from_name(const char *name, ImageFormat *ret, Error *err)
{
        AUTO(Buf) known = { 0 };

        for (ImageFormat f = 0; f < IMAGE_FORMAT_COUNT; f++) {
                if (str_eq(drivers[f]->name, name)) {
                        *ret = f;
                        return 0;
                }
                buf_format(&known, "%s%s", f ? " " : "", drivers[f]->name);
        }
        return err_set(err, ERR_INVALID_ARG, "Unknown driver '%s' (there are: %s)", name, buf_text(&known));
}

int image_describe(ImageFile *file, ImageFormat format, ImageDescription *ret, Error *err)
{
        AUTO(ImageDescription) what = { .format = format };

        if (drivers[format]->describe(file, &what, err) < 0)
                return -1;
        if (what.virtual_size > INT64_MAX)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': the disk size %llu is too large", file->name,
                               (unsigned long long)what.virtual_size);
        *ret = what;
        what = (ImageDescription){ 0 };
        return 0;
}

int image_probe(ImageFile *file, ImageFormat *ret, Error *err)
{
        uint8_t head[PROBE_SIZE], tail[TAIL_SIZE];
        uint64_t size;
        size_t n;

        if (image_file_size(file, &size, err) < 0)
                return -1;
        n = (size_t)MIN(size, (uint64_t)sizeof(head));
        if (image_file_read(file, 0, head, n, err) < 0)
                return -1;
        if (size >= sizeof(tail) && image_file_read(file, size - sizeof(tail), tail, sizeof(tail), err) < 0)
                return -1;
        *ret = IMAGE_FORMAT_RAW;
        for (ImageFormat f = 0; f < IMAGE_FORMAT_COUNT; f++) {
                if ((drivers[f]->probe && drivers[f]->probe(head, n)) ||
                    (drivers[f]->probe_tail && size >= sizeof(tail) && drivers[f]->probe_tail(tail, sizeof(tail)))) {
                        *ret = f;
                        break;
                }
        }
        return 0;
}

static void vmdk_description_free(VmdkDescription *vmdk)
{
        for (size_t i = 0; vmdk && i < vmdk->extents.len; i++) {
                free(vmdk->extents.items[i].kind);
                free(vmdk->extents.items[i].name);
        }
        if (vmdk) {
                vec_done(&vmdk->extents);
                free(vmdk->create_type);
        }
        free(vmdk);
}

void image_description_done(ImageDescription *what)
{
        vmdk_description_free(what->vmdk);
        free(what->vpc);
        free(what->vhdx);
        free(what->backing_file);
        free(what->backing_format);
        for (size_t i = 0; i < what->data_files.len; i++)
                free(what->data_files.items[i]);
        vec_done(&what->data_files);
        *what = (ImageDescription){ 0 };
}

int image_bad_field(Error *err, const ImageFile *file, uint64_t offset, const char *field, const char *fmt, ...)
{
        AUTOFREE char *why = NULL;
        va_list ap;

        va_start(ap, fmt);
        why = str_vformat(fmt, ap);
        va_end(ap);
        return err_set(err, ERR_OPERATION_FAILED, "'%s': %s at offset %llu %s", file->name, field,
                       (unsigned long long)offset, why);
}

char *image_read_name(ImageFile *file, uint64_t offset, uint64_t n, const char *field, Error *err)
{
        char name[IMAGE_NAME_MAX];

        if (n > sizeof(name)) {
                image_bad_field(err, file, offset, field, "is %llu bytes long, at most %d are allowed",
                                (unsigned long long)n, IMAGE_NAME_MAX);
                return NULL;
        }
        if (image_file_read(file, offset, name, (size_t)n, err) < 0)
                return NULL;
        if (memchr(name, '\0', (size_t)n)) {
                image_bad_field(err, file, offset, field, "has a NUL byte inside");
                return NULL;
        }
        return str_dup_n(name, (size_t)n);
}
