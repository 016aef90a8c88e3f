/*
 * img/luks.c - the luks format: a disk behind a LUKS header
 */
#include "img/luks.h"

#include "img/bytes.h"
#include "img/driver.h"

enum { ZEROS_AT_ONCE = 1 << 20 };

static bool luks_probe(const uint8_t *head, size_t n)
{
        return n >= 8 && memcmp(head, "LUKS\xba\xbe", 6) == 0 && load_be16(head + 6) == 1;
}

static uint64_t payload_of(const LuksHeader *h)
{
        return (uint64_t)h->payload * CIPHER_SECTOR;
}

static int luks_describe(ImageFile *file, ImageDescription *ret, Error *err)
{
        LuksHeader h;
        uint64_t size;

        if (image_file_size(file, &size, err) < 0 || luks_header_read(file, 0, size, &h, err) < 0)
                return -1;
        ret->version = 1;
        ret->encrypted = true;
        ret->virtual_size = round_down(size - payload_of(&h), CIPHER_SECTOR);
        return 0;
}

static int luks_image_open(Image *image, Error *err)
{
        uint64_t size;

        if (image_file_size(image->file, &size, err) < 0)
                return -1;
        image->luks = luks_open(image->file, 0, size, err);
        return image->luks ? 0 : -1;
}

/* Where a byte of the disk stands. Sectors are numbered from the start of the disk. */
static uint64_t place(const Image *image, uint64_t offset)
{
        return payload_of(&image->luks->header) + offset;
}

static int luks_map(Image *image, uint64_t offset, uint64_t length, ImageExtent *ret, Error *err)
{
        (void)image, (void)err;
        *ret = (ImageExtent){ .start = offset, .length = length, .present = true, .data = true };
        return 0;
}

static int luks_read(Image *image, uint64_t offset, void *data, size_t n, Error *err)
{
        return sealed_read(image->cipher, image->file, place(image, offset), offset, data, n, err);
}

static int luks_write(Image *image, uint64_t offset, const void *data, size_t n, Error *err)
{
        return sealed_write(image->cipher, image->file, place(image, offset), offset, data, n, err);
}

/* Zeros are data like any other; what is discarded keeps what stood there. */
static int luks_zero(Image *image, uint64_t offset, uint64_t length, unsigned flags, Error *err)
{
        size_t step = (size_t)MIN(length, (uint64_t)ZEROS_AT_ONCE);
        AUTOFREE uint8_t *zeros = NULL;

        if (flags & IMAGE_ZERO_DROP)
                return 0;
        zeros = image_buffer_try(step);
        if (!zeros)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for zeros", image_name(image));
        for (uint64_t done = 0; done < length; done += step) {
                step = (size_t)MIN(length - done, (uint64_t)ZEROS_AT_ONCE);
                if (luks_write(image, offset + done, zeros, step, err) < 0)
                        return -1;
        }
        return 0;
}

static int luks_flush(Image *image, Error *err)
{
        return image_file_flush(image->file, err);
}

static int reserve(ImageFile *file, uint64_t from, uint64_t to, ImagePreallocation room, Error *err)
{
        if (room == PREALLOCATE_FALLOC)
                return image_file_reserve(file, from, to - from, err);
        return room == PREALLOCATE_FULL ? image_file_write_zeros(file, from, to - from, err) : 0;
}

static int luks_resize(Image *image, uint64_t size, ImagePreallocation room, Error *err)
{
        uint64_t from = place(image, image->size), to = place(image, size);

        if (room == PREALLOCATE_METADATA)
                return err_set(err, ERR_INVALID_ARG, "Unsupported preallocation mode 'metadata'");
        if (add_overflows(place(image, 0), size, &to) || to > INT64_MAX)
                return err_set(err, ERR_OVERFLOW, "The requested file size is too large");
        if (image_file_resize(image->file, to, err) < 0)
                return -1;
        return to > from ? reserve(image->file, from, to, room, err) : 0;
}

static int luks_image_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        AUTO(Luks) *luks = NULL;
        uint64_t size = round_up(how->size, CIPHER_SECTOR), payload;
        LuksHeader planned;

        if (luks_plan(&how->luks, &planned, err) < 0)
                return -1;
        payload = payload_of(&planned);
        if (size > INT64_MAX - payload)
                return err_set(err, ERR_OVERFLOW, "The requested file size is too large");
        if (image_file_truncate(file, payload + size, err) < 0)
                return -1;
        luks = luks_create(file, 0, &how->luks, err);
        return luks ? reserve(file, payload, payload + size, how->preallocation, err) : -1;
}

static int luks_image_unlock(Image *image, const ImageSecret *secret, Error *err)
{
        if (luks_unlock(image->luks, secret, err) < 0)
                return -1;
        image->cipher = luks_cipher(image->luks);
        return 0;
}

const ImageDriver image_driver_luks = {
        .name = "luks",
        .probe = luks_probe,
        .describe = luks_describe,
        .open = luks_image_open,
        .unlock = luks_image_unlock,
        .map = luks_map,
        .read = luks_read,
        .write = luks_write,
        .zero = luks_zero,
        .flush = luks_flush,
        .resize = luks_resize,
        .create = luks_image_create,
};
