/*
 * img/image.c - what is the same for every format: bounds, backing chains, closing
 */
#include "img/image.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"
#include "img/driver.h"
#include "img/lock.h"

#include <sys/stat.h>

Image *image_open(ImageFile *file, ImageFormat format, unsigned flags, Error *err)
{
        const ImageDriver *driver = image_driver_of(format);
        AUTO(ImageDescription) about = { 0 };
        Image *image;

        if (!driver->open) {
                err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': the format %s can be described, not opened",
                        file->name, driver->name);
                return NULL;
        }
        if (flags & IMAGE_WRITE && !driver->write) {
                err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': the format %s is read-only here", file->name,
                        driver->name);
                return NULL;
        }
        if (image_describe(file, format, &about, err) < 0)
                return NULL;
        image = mem_new(Image);
        *image = (Image){ .driver = driver, .file = file, .about = about, .size = about.virtual_size };
        about = (ImageDescription){ 0 };
        image->writable = flags & IMAGE_WRITE;
        image->checking = flags & IMAGE_CHECKING;
        if (driver->open(image, err) < 0) {
                luks_free(TAKE(image->luks));
                image->file = NULL;
                image->driver = &image_driver_raw;
                image_free(image);
                return NULL;
        }
        return image;
}

int image_close(Image *image, Error *err)
{
        int r = 0;

        if (!image)
                return 0;
        if (image->driver->close)
                r = image->driver->close(image, err);
        sector_cipher_free(image->cipher);
        luks_free(image->luks);
        image_free(image->backing);
        image_file_close(image->data_file);
        image_file_close(image->file);
        image_description_done(&image->about);
        vec_done(&image->attached);
        free(image);
        return r;
}

Image *image_free(Image *image)
{
        image_close(image, NULL);
        return NULL;
}

int image_unlock(Image *image, const ImageSecret *secret, Error *err)
{
        if (!image_is_locked(image) || !image->driver->unlock)
                return err_set(err, ERR_OPERATION_INVALID, "'%s' is not encrypted, or unlocked already",
                               image_name(image));
        return image->driver->unlock(image, secret, err);
}

int image_unlock_as(Image *image, const Image *other, Error *err)
{
        if (!image->luks || !other->luks || luks_unlock_as(image->luks, other->luks) < 0)
                return err_set(err, ERR_OPERATION_INVALID, "'%s' and '%s' do not have the same key",
                               image_name(image), image_name(other));
        image->cipher = luks_cipher(image->luks);
        return 0;
}

bool image_is_locked(const Image *image)
{
        return image->about.encrypted && !image->cipher;
}

const LuksHeader *image_luks(const Image *image)
{
        return image->luks ? &image->luks->header : NULL;
}

/* Nothing is read from or written to what is locked. */
static int check_unlocked(const Image *image, Error *err)
{
        return image_is_locked(image) ? err_set(err, ERR_OPERATION_INVALID,
                                                "'%s' is encrypted, and no password was given", image_name(image))
                                      : 0;
}

bool image_is_zero_when_new(const Image *image)
{
        return image->about.format != IMAGE_FORMAT_LUKS;
}

void image_set_backing(Image *image, Image *backing)
{
        image_free(image->backing);
        image->backing = backing;
        if (image->driver->backing_changed)
                image->driver->backing_changed(image);
}

int image_attach(Image *image, size_t i, ImageFile *file, Error *err)
{
        if (!image->driver->attach || i >= image->about.data_files.len)
                return err_set(err, ERR_INVALID_ARG, "'%s' names no file for its data", image_name(image));
        if (image->driver->attach(image, i, file, err) < 0)
                return -1;
        while (image->attached.len <= i)
                vec_push(&image->attached, NULL);
        image->attached.items[i] = file;
        return 0;
}

void image_skip_flush(Image *image, bool skip)
{
        image->file->skip_flush = skip;
        for (size_t i = 0; i < image->attached.len; i++)
                if (image->attached.items[i])
                        image->attached.items[i]->skip_flush = skip;
}

int image_lock(Image *image, bool write, Error *err)
{
        if (image_file_lock(image->file, write, err) < 0)
                return -1;
        for (size_t i = 0; i < image->attached.len; i++)
                if (image->attached.items[i] && image_file_lock(image->attached.items[i], write, err) < 0)
                        return -1;
        return 0;
}

Image *image_take_backing(Image *image)
{
        Image *backing = TAKE(image->backing);

        if (image->driver->backing_changed)
                image->driver->backing_changed(image);
        return backing;
}

ImageFormat image_format(const Image *image)
{
        return image->about.format;
}

bool image_name_is_protocol(const char *name)
{
        return str_eq(name, "file") || str_eq(name, "host_device");
}

int image_format_or_protocol(const char *name, ImageFormat *ret, Error *err)
{
        if (!image_name_is_protocol(name))
                return image_format_from_name(name, ret, err);
        *ret = IMAGE_FORMAT_RAW;
        return 0;
}

int image_set_protocol(Image *image, const char *name, Error *err)
{
        bool device = str_eq(name, "host_device");
        int fd = image_file_fd(image_file_place(image->file, &(uint64_t){ 0 }));
        struct stat st;

        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) == device)
                return err_set(err, ERR_INVALID_ARG, "'%s' driver requires '%s' to be %s", name, image_name(image),
                               device ? "either a character or block device" : "a regular file");
        image->protocol = device ? "host_device" : "file";
        return 0;
}

const char *image_protocol(const Image *image)
{
        return image->protocol;
}

const char *image_name(const Image *image)
{
        return image->file->name;
}

uint64_t image_size(const Image *image)
{
        return image->size;
}

uint64_t image_cluster_size(const Image *image)
{
        return image->about.cluster_size;
}

bool image_is_writable(const Image *image)
{
        return image->writable;
}

uint64_t image_disk_usage(const Image *image)
{
        return image_file_disk_usage(image->file) +
               (image->driver->disk_usage ? image->driver->disk_usage(image) : 0);
}

Image *image_backing(const Image *image)
{
        return image->backing;
}

ImageFile *image_file(const Image *image)
{
        return image->file;
}

const ImageDescription *image_description(const Image *image)
{
        return &image->about;
}

int image_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        size_t inside = offset >= image->size ? 0 : (size_t)MIN(image->size - offset, (uint64_t)n);

        if (check_unlocked(image, err) < 0 || (inside && image->driver->read(image, offset, data, inside, err) < 0))
                return -1;
        memset((char *)data + inside, 0, n - inside);
        return 0;
}

int image_read_below(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        if (!image->backing) {
                memset(data, 0, n);
                return 0;
        }
        return image_read(image->backing, offset, data, n, err);
}

int image_read_by_map(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        while (n) {
                ImageExtent extent;
                size_t step;
                int r = 0;

                if (image->driver->map(image, offset, n, &extent, err) < 0)
                        return -1;
                step = (size_t)extent.length;
                if (!extent.present)
                        r = image_read_below(image, offset, data, step, err);
                else if (extent.zero)
                        memset(data, 0, step);
                else
                        r = image_file_read_padded(image->file, extent.offset, data, step, err);
                if (r < 0)
                        return -1;
                offset += step;
                data = (char *)data + step;
                n -= step;
        }
        return 0;
}

/* A change of [offset, offset + length) is allowed. */
static int check_range(const Image *image, uint64_t offset, uint64_t length, Error *err)
{
        if (!image->writable)
                return err_set(err, ERR_OPERATION_DENIED, "'%s' is open for reading only", image_name(image));
        if (offset > image->size || length > image->size - offset)
                return err_set(err, ERR_INVALID_ARG, "%llu bytes at offset %llu reach over the end of '%s'",
                               (unsigned long long)length, (unsigned long long)offset, image_name(image));
        return 0;
}

int image_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err)
{
        if (check_range(image, offset, n, err) < 0 || check_unlocked(image, err) < 0)
                return -1;
        return n ? image->driver->write(image, offset, data, n, err) : 0;
}

bool image_can_compress(const Image *image)
{
        return image->driver->pack && !image->about.encrypted &&
               (!image->driver->is_compressed || image->driver->is_compressed(image));
}

bool image_must_compress(const Image *image)
{
        return image->driver->is_compressed && image->driver->is_compressed(image);
}

void image_compress_best(Image *image)
{
        image->best_compression = true;
}

size_t image_pack(Image *image, const void *data, void *packed)
{
        return image->driver->pack(image, data, packed);
}

int image_write_packed(Image *image, uint64_t offset, const void *packed, const uint32_t *lengths, size_t count,
                       Error *err)
{
        uint64_t cluster = image->about.cluster_size;
        const uint8_t *bytes = packed;

        if (check_range(image, offset, (count - 1) * cluster + 1, err) < 0)
                return -1;
        if (image->driver->write_packed_run)
                return image->driver->write_packed_run(image, offset, packed, lengths, count, err);
        for (size_t i = 0; i < count; i++) {
                if (image->driver->write_packed(image, offset + i * cluster, bytes, lengths[i], err) < 0)
                        return -1;
                bytes += lengths[i];
        }
        return 0;
}

int image_write_compressed(Image *image, uint64_t offset, const void *data, size_t n, Error *err)
{
        uint64_t cluster = image->about.cluster_size;
        AUTOFREE uint8_t *whole = NULL, *packed = NULL;
        uint32_t length;

        if (check_range(image, offset, n, err) < 0)
                return -1;
        if (!image_can_compress(image))
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Compression not supported for this file format");
        if (offset % cluster || n > cluster || (n < cluster && offset + n != image->size))
                return err_set(err, ERR_INVALID_ARG, "'%s': only whole clusters can be compressed",
                               image_name(image));
        whole = mem_try(cluster);
        packed = mem_try(cluster);
        if (!whole || !packed)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a cluster", image_name(image));
        memcpy(whole, data, n);
        length = (uint32_t)image_pack(image, whole, packed);
        return length ? image_write_packed(image, offset, packed, &length, 1, err)
                      : image_write(image, offset, data, n, err);
}

int image_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err)
{
        if (check_range(image, offset, length, err) < 0 || check_unlocked(image, err) < 0)
                return -1;
        return length ? image->driver->zero(image, offset, length, flags, err) : 0;
}

bool image_zeroes_fast(const Image *image)
{
        if (image->about.format == IMAGE_FORMAT_QCOW2)
                return image->about.version >= 3 && !image->data_file;
        return image->about.format == IMAGE_FORMAT_RAW && image_file_zeroes_fast(image->file);
}

int image_flush(Image *image, Error *err)
{
        return image->writable ? image->driver->flush(image, err) : 0;
}

int image_resize(Image *image, uint64_t size, ImagePreallocation room, Error *err)
{
        if (check_range(image, 0, 0, err) < 0)
                return -1;
        if (!image->driver->resize)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Image format driver does not support resize");
        if (size > INT64_MAX - 511)
                return err_set(err, ERR_OVERFLOW, "a disk of %llu bytes is too large", (unsigned long long)size);
        if (image->driver->resize(image, size, room, err) < 0)
                return -1;
        image->size = image->about.virtual_size = size;
        return 0;
}

int image_set_backing_name(Image *image, const char *name, const char *format, Error *err)
{
        if (check_range(image, 0, 0, err) < 0)
                return -1;
        if (!image->driver->set_backing_name)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': the format %s has no backing files",
                               image_name(image), image->driver->name);
        if (image->driver->set_backing_name(image, name, format, err) < 0)
                return -1;
        str_replace(&image->about.backing_file, name);
        str_replace(&image->about.backing_format, format);
        return 0;
}

int image_amend(Image *image, const ImageCreate *how, Error *err)
{
        if (check_range(image, 0, 0, err) < 0)
                return -1;
        if (!image->driver->amend)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Format driver '%s' does not support option amendment",
                               image->driver->name);
        return image->driver->amend(image, how, err);
}

int image_plan_files(ImageFormat format, const ImageCreate *how, char ***ret, Error *err)
{
        const ImageDriver *driver = image_driver_of(format);

        if (driver->plan_files)
                return driver->plan_files(how, ret, err);
        *ret = mem_new(char *);
        return 0;
}

int image_change_key(Image *image, const LuksKeyChange *change, Error *err)
{
        if (check_range(image, 0, 0, err) < 0)
                return -1;
        if (!image->luks)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s' has no LUKS header", image_name(image));
        return luks_change_key(image->luks, change, err);
}

bool image_can_create(ImageFormat format)
{
        return image_driver_of(format)->create;
}

int image_create(ImageFile *file, ImageFormat format, const ImageCreate *how, Error *err)
{
        const ImageDriver *driver = image_driver_of(format);

        if (!driver->create)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "Format driver '%s' does not support image creation",
                               driver->name);
        if (how->size > INT64_MAX - 511)
                return err_set(err, ERR_OVERFLOW, "Image size must be less than 8 EiB!");
        if (image_file_truncate(file, 0, err) < 0)
                return -1;
        return driver->create(file, how, err);
}

bool image_can_check(const Image *image)
{
        return image->driver->check;
}

int image_check(Image *image, ImageRepair repair, ImageCheck *ret, Error *err)
{
        if (!image->driver->check)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "This image format does not support checks");
        return image->driver->check(image, repair, ret, err);
}

int image_snapshots(Image *image, ImageSnapshots *ret, Error *err)
{
        *ret = (ImageSnapshots){ 0 };
        return image->driver->snapshots ? image->driver->snapshots(image, ret, err) : 0;
}

void image_snapshots_done(ImageSnapshots *snapshots)
{
        for (size_t i = 0; i < snapshots->len; i++) {
                free(snapshots->items[i].id);
                free(snapshots->items[i].name);
        }
        vec_done(snapshots);
}

static int no_snapshots(const Image *image, Error *err)
{
        return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': the format %s has no snapshots", image_name(image),
                       image->driver->name);
}

int image_snapshot_create(Image *image, const ImageSnapshot *what, Error *err)
{
        if (!image->driver->snapshot_create)
                return no_snapshots(image, err);
        return image->driver->snapshot_create(image, what, err);
}

int image_snapshot_apply(Image *image, const char *id_or_name, Error *err)
{
        if (!image->driver->snapshot_apply)
                return no_snapshots(image, err);
        return image->driver->snapshot_apply(image, id_or_name, err);
}

int image_snapshot_show(Image *image, const char *id_or_name, Error *err)
{
        if (!image->driver->snapshot_show)
                return no_snapshots(image, err);
        return image->driver->snapshot_show(image, id_or_name, err);
}

int image_make_empty(Image *image, Error *err)
{
        if (!image->driver->make_empty)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s': the format %s cannot be emptied",
                               image_name(image), image->driver->name);
        return image->driver->make_empty(image, err);
}

int image_snapshot_delete(Image *image, const char *name, Error *err)
{
        if (!image->driver->snapshot_delete)
                return no_snapshots(image, err);
        return image->driver->snapshot_delete(image, name, err);
}

int image_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        if (offset >= image->size) {
                *ret = (ImageExtent){ .start = offset, .length = length, .present = true, .zero = true };
                return 0;
        }
        return image->driver->map(image, offset, MIN(length, image->size - offset), ret, err);
}

int image_map_chain(Image *image, const Image *until, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        for (unsigned depth = 0;; depth++) {
                ImageExtent found;

                if (image_map(image, offset, length, &found, err) < 0)
                        return -1;
                found.depth = depth;
                if (found.present || !image->backing || image->backing == until) {
                        if (!found.present && !image->backing)
                                found.zero = true;
                        *ret = found;
                        return 0;
                }
                length = MIN(length, found.length);
                image = image->backing;
        }
}
