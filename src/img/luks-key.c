/*
 * img/luks-key.c - the key of a LUKS container in and out of its slots
 *
 * The key is split into many times its length, so that wiping any part of it
 * is enough to lose it, and the pieces are encrypted with a key made from the
 * password.
 */
#include "img/luks-header.h"

#include "base/mem.h"
#include "base/uuid.h"
#include "img/bytes.h"

enum { USUAL_ITER_TIME_MS = 2000, FEWEST_ITERATIONS = 1000, DIGEST_SHARE = 8 };

/* Hash the block piece by piece, each with its number before it. */
static void diffuse(const Digest *digest, uint8_t *block, size_t n)
{
        size_t step = digest_size(digest);

        for (size_t at = 0, i = 0; at < n; at += step, i++) {
                uint8_t numbered[4 + DIGEST_MAX], hashed[DIGEST_MAX];
                size_t part = MIN(step, n - at);

                store_be32(numbered, (uint32_t)i);
                memcpy(numbered + 4, block + at, part);
                digest_of(digest, numbered, 4 + part, hashed);
                memcpy(block + at, hashed, part);
                explicit_bzero(numbered, sizeof(numbered));
                explicit_bzero(hashed, sizeof(hashed));
        }
}

static void put_xor(uint8_t *to, const uint8_t *with, size_t n)
{
        for (size_t i = 0; i < n; i++)
                to[i] ^= with[i];
}

static void merge(const LuksHeader *h, const uint8_t *material, uint8_t *key)
{
        size_t n = cipher_key_bytes(&h->spec);

        memset(key, 0, n);
        for (size_t i = 0; i < LUKS_STRIPES - 1; i++) {
                put_xor(key, material + i * n, n);
                diffuse(h->digest, key, n);
        }
        put_xor(key, material + (LUKS_STRIPES - 1) * n, n);
}

static int split(const LuksHeader *h, const uint8_t *key, uint8_t *material, Error *err)
{
        size_t n = cipher_key_bytes(&h->spec);
        uint8_t last[CIPHER_KEY_MAX] = { 0 };

        if (random_bytes(material, n * (LUKS_STRIPES - 1), err) < 0)
                return -1;
        for (size_t i = 0; i < LUKS_STRIPES - 1; i++) {
                put_xor(last, material + i * n, n);
                diffuse(h->digest, last, n);
        }
        put_xor(last, key, n);
        memcpy(material + (LUKS_STRIPES - 1) * n, last, n);
        explicit_bzero(last, sizeof(last));
        return 0;
}

/* The cipher of a slot's material, from the password. */
static SectorCipher *slot_cipher(const LuksHeader *h, const LuksSlot *slot, const ImageSecret *secret)
{
        uint8_t key[CIPHER_KEY_MAX];
        SectorCipher *cipher;

        digest_derive(h->digest, secret->data, secret->n, slot->salt, LUKS_SALT, slot->iterations, key,
                      cipher_key_bytes(&h->spec));
        cipher = sector_cipher_new(&h->spec, key);
        explicit_bzero(key, sizeof(key));
        return cipher;
}

static void digest_key(const LuksHeader *h, const uint8_t *key, uint8_t ret[LUKS_DIGEST])
{
        digest_derive(h->digest, key, cipher_key_bytes(&h->spec), h->key_salt, LUKS_SALT, h->key_iterations, ret,
                      LUKS_DIGEST);
}

/* 1: the secret opens the slot, key says what is in it; 0: it does not. */
static int try_slot(const Luks *luks, unsigned i, const ImageSecret *secret, uint8_t key[CIPHER_KEY_MAX], Error *err)
{
        const LuksHeader *h = &luks->header;
        size_t n = luks_material_size(h);
        uint8_t digest[LUKS_DIGEST], differs = 0, *material = mem_try(n);
        SectorCipher *cipher;

        if (!material)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a key slot", luks->file->name);
        if (image_file_read_padded(luks->file, luks->base + (uint64_t)h->slots[i].material * CIPHER_SECTOR, material,
                                   n, err) < 0) {
                free(material);
                return -1;
        }
        cipher = slot_cipher(h, &h->slots[i], secret);
        sector_decrypt(cipher, 0, material, n);
        sector_cipher_free(cipher);
        merge(h, material, key);
        free_wiped(material, n);
        digest_key(h, key, digest);
        for (size_t k = 0; k < sizeof(digest); k++)
                differs |= digest[k] ^ h->key_digest[k];
        return differs == 0;
}

int luks_unlock(Luks *luks, const ImageSecret *secret, Error *err)
{
        uint8_t key[CIPHER_KEY_MAX] = { 0 };
        int r = 0;

        for (unsigned i = 0; i < LUKS_SLOTS && r == 0; i++)
                if (luks->header.slots[i].active)
                        r = try_slot(luks, i, secret, key, err);
        if (r > 0) {
                memcpy(luks->key, key, sizeof(key));
                luks->unlocked = true;
        }
        explicit_bzero(key, sizeof(key));
        if (r == 0)
                return err_set(err, ERR_OPERATION_FAILED, "'%s': Invalid password, cannot unlock any keyslot",
                               luks->file->name);
        return r < 0 ? -1 : 0;
}

int luks_unlock_as(Luks *luks, const Luks *other)
{
        const LuksHeader *a = &luks->header, *b = &other->header;

        if (!other->unlocked || memcmp(a->key_digest, b->key_digest, sizeof(a->key_digest)) != 0 ||
            memcmp(a->key_salt, b->key_salt, sizeof(a->key_salt)) != 0)
                return -1;
        memcpy(luks->key, other->key, sizeof(luks->key));
        luks->unlocked = true;
        return 0;
}

SectorCipher *luks_cipher(const Luks *luks)
{
        return sector_cipher_new(&luks->header.spec, luks->key);
}

Luks *luks_open(ImageFile *file, uint64_t base, uint64_t room, Error *err)
{
        LuksHeader header;
        Luks *luks;

        if (luks_header_read(file, base, room, &header, err) < 0)
                return NULL;
        luks = mem_new(Luks);
        *luks = (Luks){ .file = file, .base = base, .header = header };
        return luks;
}

Luks *luks_free(Luks *luks)
{
        free_wiped(luks, sizeof(*luks));
        return NULL;
}

static int write_material(const Luks *luks, const LuksSlot *slot, const ImageSecret *secret, Error *err)
{
        const LuksHeader *h = &luks->header;
        size_t n = luks_material_size(h);
        uint8_t *material = mem_try(n);
        SectorCipher *cipher;
        int r;

        if (!material)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a key slot", luks->file->name);
        r = split(h, luks->key, material, err);
        if (r == 0) {
                cipher = slot_cipher(h, slot, secret);
                sector_encrypt(cipher, 0, material, n);
                sector_cipher_free(cipher);
                r = image_file_write(luks->file, luks->base + (uint64_t)slot->material * CIPHER_SECTOR, material, n,
                                     err);
        }
        free_wiped(material, n);
        return r;
}

static int write_slot(Luks *luks, unsigned i, const LuksSlot *slot, Error *err)
{
        uint8_t bytes[LUKS_SLOT_SIZE];

        luks_slot_format(slot, bytes);
        if (image_file_write(luks->file, luks->base + luks_slot_at(i), bytes, sizeof(bytes), err) < 0 ||
            image_file_flush(luks->file, err) < 0)
                return -1;
        luks->header.slots[i] = *slot;
        return 0;
}

static uint32_t iterations_for(const LuksHeader *h, size_t n, unsigned iter_time_ms, unsigned share)
{
        uint32_t found = digest_iterations(h->digest, n, iter_time_ms ? iter_time_ms : USUAL_ITER_TIME_MS) / share;

        return MAX(found, (uint32_t)FEWEST_ITERATIONS);
}

/* A slot whose description is not whole on disk must not say it is in use, and it may cross a sector's end. */
static int fill_slot(Luks *luks, unsigned i, const ImageSecret *secret, unsigned iter_time_ms, Error *err)
{
        const LuksHeader *h = &luks->header;
        LuksSlot slot = { .material = h->slots[i].material };

        slot.iterations = iterations_for(h, cipher_key_bytes(&h->spec), iter_time_ms, 1);
        if (random_bytes(slot.salt, sizeof(slot.salt), err) < 0)
                return -1;
        if (h->slots[i].active && write_slot(luks, i, &(LuksSlot){ .material = slot.material }, err) < 0)
                return -1;
        if (write_material(luks, &slot, secret, err) < 0 || write_slot(luks, i, &slot, err) < 0)
                return -1;
        slot.active = true;
        return write_slot(luks, i, &slot, err);
}

Luks *luks_create(ImageFile *file, uint64_t base, const LuksOptions *options, Error *err)
{
        AUTO(Luks) *luks = mem_new(Luks);
        uint8_t bytes[LUKS_HEADER_SIZE];
        LuksHeader *h = &luks->header;
        Uuid uuid;

        *luks = (Luks){ .file = file, .base = base };
        if (luks_plan(options, h, err) < 0)
                return NULL;
        if (!options->secret) {
                err_set(err, ERR_INVALID_ARG, "Parameter 'key-secret' is required for cipher");
                return NULL;
        }
        uuid_new_random(&uuid);
        uuid_format(&uuid, h->uuid);
        if (random_bytes(h->key_salt, sizeof(h->key_salt), err) < 0 ||
            random_bytes(luks->key, cipher_key_bytes(&h->spec), err) < 0)
                return NULL;
        luks->unlocked = true;
        h->key_iterations = iterations_for(h, LUKS_DIGEST, options->iter_time_ms, DIGEST_SHARE);
        digest_key(h, luks->key, h->key_digest);
        luks_header_format(h, bytes);
        if (image_file_write(file, base, bytes, sizeof(bytes), err) < 0 ||
            fill_slot(luks, 0, options->secret, options->iter_time_ms, err) < 0)
                return NULL;
        return TAKE(luks);
}

static int add_key(Luks *luks, const LuksKeyChange *change, Error *err)
{
        int slot = change->slot;

        if (!change->new_secret)
                return err_set(err, ERR_INVALID_ARG, "'new-secret' is required to activate a keyslot");
        if (change->old_secret)
                return err_set(err, ERR_INVALID_ARG, "'old-secret' must not be given when activating keyslots");
        for (int i = 0; slot < 0 && i < LUKS_SLOTS; i++)
                if (!luks->header.slots[i].active)
                        slot = i;
        if (slot < 0)
                return err_set(err, ERR_OPERATION_FAILED, "Can't add a keyslot - all keyslots are in use");
        if (luks->header.slots[slot].active && !change->force)
                return err_set(err, ERR_OPERATION_INVALID,
                               "Refusing to overwrite active keyslot %d - please erase it first", slot);
        return fill_slot(luks, (unsigned)slot, change->new_secret, change->iter_time_ms, err);
}

/* First nobody takes the slot for one in use, then what was in it is overwritten. */
static int empty_slot(Luks *luks, unsigned i, Error *err)
{
        LuksSlot slot = { .material = luks->header.slots[i].material };
        size_t n = luks_material_size(&luks->header);
        AUTOFREE uint8_t *noise = mem_try(n);

        if (!noise)
                return err_set(err, ERR_NO_MEMORY, "'%s': no memory for a key slot", luks->file->name);
        if (random_bytes(noise, n, err) < 0 || write_slot(luks, i, &slot, err) < 0 ||
            image_file_write(luks->file, luks->base + (uint64_t)slot.material * CIPHER_SECTOR, noise, n, err) < 0)
                return -1;
        return image_file_flush(luks->file, err);
}

/* The slots to be shut, as a mask. */
static int slots_to_erase(Luks *luks, const LuksKeyChange *change, unsigned *ret, Error *err)
{
        unsigned first = change->slot < 0 ? 0 : (unsigned)change->slot;
        unsigned last = change->slot < 0 ? LUKS_SLOTS - 1 : first;
        uint8_t key[CIPHER_KEY_MAX];

        *ret = 0;
        for (unsigned i = first; i <= last; i++) {
                int r = luks->header.slots[i].active;

                if (r && change->old_secret)
                        r = try_slot(luks, i, change->old_secret, key, err);
                explicit_bzero(key, sizeof(key));
                if (r < 0)
                        return -1;
                *ret |= r ? 1u << i : 0;
        }
        if (*ret)
                return 0;
        if (!change->old_secret)
                return change->force ? 0
                                     : err_set(err, ERR_OPERATION_INVALID,
                                               "Given keyslot %u is already erased "
                                               "(inactive)",
                                               first);
        return err_set(err, ERR_OPERATION_FAILED, "No keyslots match given (old) password for erase operation");
}

static int erase_keys(Luks *luks, const LuksKeyChange *change, Error *err)
{
        unsigned erased, held = 0;

        if (change->new_secret)
                return err_set(err, ERR_INVALID_ARG, "'new-secret' must not be given when erasing keyslots");
        if (change->iter_time_ms)
                return err_set(err, ERR_INVALID_ARG, "'iter-time' must not be given when erasing keyslots");
        if (change->slot < 0 && !change->old_secret)
                return err_set(err, ERR_INVALID_ARG,
                               "To erase keyslot(s), either explicit keyslot index or the password currently "
                               "contained in them must be given");
        if (slots_to_erase(luks, change, &erased, err) < 0)
                return -1;
        for (unsigned i = 0; i < LUKS_SLOTS; i++)
                held |= luks->header.slots[i].active ? 1u << i : 0;
        if (erased && !(held & ~erased) && !change->force)
                return err_set(err, ERR_OPERATION_INVALID,
                               "Attempt to erase the only active keyslot which will erase all the data in the image "
                               "irreversibly - refusing operation");
        for (unsigned i = 0; i < LUKS_SLOTS; i++)
                if (erased & 1u << i && empty_slot(luks, i, err) < 0)
                        return -1;
        return 0;
}

int luks_change_key(Luks *luks, const LuksKeyChange *change, Error *err)
{
        if (!luks->unlocked)
                return err_set(err, ERR_OPERATION_INVALID, "'%s' is not unlocked", luks->file->name);
        if (change->slot >= LUKS_SLOTS)
                return err_set(err, ERR_INVALID_ARG, "Invalid slot %d specified, must be between 0 and %d",
                               change->slot, LUKS_SLOTS - 1);
        return change->activate ? add_key(luks, change, err) : erase_keys(luks, change, err);
}
