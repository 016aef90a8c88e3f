/*
 * img/qcow2-crypt.c - encrypted qcow2 images
 *
 * New ones hold a LUKS header in clusters of their own; its sectors are
 * numbered by their place in the file. The old kind (AES in CBC mode, keyed
 * with the password itself, numbered as the guest sees them) protects little:
 * it can be read, to be converted, and not be written.
 */
#include "img/qcow2.h"

#include "img/bytes.h"

enum { OLD_KEY_BYTES = 16 };

int qcow2_crypt_open(Qcow2 *q, Error *err)
{
        if (!q->h.crypt)
                return 0;
        if (q->h.crypt == QCOW2_CRYPT_AES) {
                if (!q->image->writable)
                        return 0;
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "'%s' is encrypted in the old way (aes), which can only be read: convert it to "
                               "encrypt.format=luks",
                               q->file->name);
        }
        if (!q->h.crypto_offset)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': LUKS encryption, but no place of its header",
                               q->file->name);
        q->image->luks = luks_open(q->file, q->h.crypto_offset, q->h.crypto_length, err);
        return q->image->luks ? 0 : -1;
}

static SectorCipher *old_cipher(const ImageSecret *secret)
{
        CipherSpec spec = { .kind = cipher_find("aes-128"), .mode = CIPHER_CBC, .iv = IV_PLAIN64 };
        uint8_t key[OLD_KEY_BYTES] = { 0 };
        SectorCipher *cipher;

        memcpy(key, secret->data, MIN(secret->n, sizeof(key)));
        cipher = sector_cipher_new(&spec, key);
        explicit_bzero(key, sizeof(key));
        return cipher;
}

int qcow2_unlock(Image *image, const ImageSecret *secret, Error *err)
{
        if (!image->luks) {
                image->cipher = old_cipher(secret);
                return 0;
        }
        if (luks_unlock(image->luks, secret, err) < 0)
                return -1;
        image->cipher = luks_cipher(image->luks);
        return 0;
}

int qcow2_crypt_create(Image *image, const LuksOptions *options, Error *err)
{
        Qcow2 *q = qcow2_of(image);
        LuksHeader planned;
        uint64_t length;
        int r;

        if (luks_plan(options, &planned, err) < 0 || qcow2_begin_writing(q, err) < 0)
                return -1;
        length = (uint64_t)planned.payload * CIPHER_SECTOR;
        pthread_mutex_lock(&q->lock);
        r = qcow2_alloc(q, div_up(length, q->cluster), &q->h.crypto_offset, err);
        if (r == 0)
                r = qcow2_commit(q, err);
        pthread_mutex_unlock(&q->lock);
        if (r < 0)
                return -1;
        q->file_end = MAX(q->file_end, q->h.crypto_offset + round_up(length, q->cluster));
        if (image_file_truncate(q->file, q->file_end, err) < 0)
                return -1;
        image->luks = luks_create(q->file, q->h.crypto_offset, options, err);
        if (!image->luks)
                return -1;
        q->h.crypto_length = length;
        q->h.crypt = QCOW2_CRYPT_LUKS;
        return qcow2_header_store(q, err);
}

static uint64_t numbered(const Qcow2 *q, uint64_t host, uint64_t guest)
{
        return q->h.crypt == QCOW2_CRYPT_LUKS ? host : guest;
}

int qcow2_data_read(Qcow2 *q, uint64_t host, uint64_t guest, void *data, size_t n, Error *err)
{
        if (!q->image->cipher)
                return image_file_read_padded(qcow2_data_file(q), host, data, n, err);
        return sealed_read(q->image->cipher, qcow2_data_file(q), host, numbered(q, host, guest), data, n, err);
}

int qcow2_data_write(Qcow2 *q, uint64_t host, uint64_t guest, const void *data, size_t n, Error *err)
{
        if (!q->image->cipher)
                return image_file_write(qcow2_data_file(q), host, data, n, err);
        return sealed_write(q->image->cipher, qcow2_data_file(q), host, numbered(q, host, guest), data, n, err);
}
