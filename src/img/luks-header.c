/*
 * img/luks-header.c - parse and format the header of a LUKS container
 *
 * Everything it claims is checked here once: names that are known, slots that
 * lie between header and disk and do not overlap.
 */
#include "img/luks-header.h"

#include "base/str.h"
#include "img/bytes.h"
#include "img/driver.h"

enum {
        AT_VERSION = 6,
        AT_CIPHER = 8,
        AT_MODE = 40,
        AT_HASH = 72,
        AT_PAYLOAD = 104,
        AT_KEY_BYTES = 108,
        AT_DIGEST = 112,
        AT_DIGEST_SALT = 132,
        AT_DIGEST_ITERATIONS = 164,
        AT_UUID = 168,
        AT_SLOTS = 208,
        NAME_SIZE = 32,

        SLOT_ITERATIONS = 4,
        SLOT_SALT = 8,
        SLOT_MATERIAL = 40,
        SLOT_STRIPES = 44,

        SLOT_ALIGN = 4096 / CIPHER_SECTOR,
};
#define MAGIC         "LUKS\xba\xbe"
#define SLOT_ACTIVE   0x00ac71f3U
#define SLOT_INACTIVE 0x0000deadU

uint64_t luks_slot_at(unsigned slot)
{
        return AT_SLOTS + (uint64_t)slot * LUKS_SLOT_SIZE;
}

size_t luks_material_size(const LuksHeader *header)
{
        return round_up(cipher_key_bytes(&header->spec) * LUKS_STRIPES, CIPHER_SECTOR);
}

/* A name that ends inside its room. */
static int get_name(const ImageFile *file, const uint8_t *head, unsigned at, const char *field, char ret[NAME_SIZE],
                    Error *err)
{
        if (!memchr(head + at, '\0', NAME_SIZE))
                return image_bad_field(err, file, at, field, "does not end");
        memcpy(ret, head + at, NAME_SIZE);
        return 0;
}

/* "xts-plain64", "cbc-essiv:sha256" */
static int parse_mode(const ImageFile *file, char *text, CipherSpec *ret, Error *err)
{
        char *iv = strchr(text, '-'), *digest;

        if (iv)
                *iv++ = '\0';
        digest = iv ? strchr(iv, ':') : NULL;
        if (digest)
                *digest++ = '\0';
        if (cipher_mode_find(text, &ret->mode) < 0 || !iv || cipher_iv_find(iv, &ret->iv) < 0)
                return image_bad_field(err, file, AT_MODE, "cipher mode", "is not known");
        ret->iv_digest = digest ? digest_find(digest) : NULL;
        if (digest && !ret->iv_digest)
                return image_bad_field(err, file, AT_MODE, "hash of the cipher mode", "is not known");
        return 0;
}

static int parse_names(const ImageFile *file, const uint8_t *head, LuksHeader *h, Error *err)
{
        char cipher[NAME_SIZE], mode[NAME_SIZE], hash[NAME_SIZE];
        uint32_t key_bytes = load_be32(head + AT_KEY_BYTES);

        if (get_name(file, head, AT_CIPHER, "cipher name", cipher, err) < 0 ||
            get_name(file, head, AT_MODE, "cipher mode", mode, err) < 0 ||
            get_name(file, head, AT_HASH, "hash name", hash, err) < 0 || parse_mode(file, mode, &h->spec, err) < 0)
                return -1;
        h->digest = digest_find(hash);
        if (!h->digest)
                return image_bad_field(err, file, AT_HASH, "hash name", "is not known");
        if (key_bytes > CIPHER_KEY_MAX || (h->spec.mode == CIPHER_XTS && key_bytes % 2))
                return image_bad_field(err, file, AT_KEY_BYTES, "key length", "is %u", key_bytes);
        h->spec.kind = cipher_find_family(cipher, h->spec.mode == CIPHER_XTS ? key_bytes / 2 : key_bytes);
        if (!h->spec.kind)
                return image_bad_field(err, file, AT_CIPHER, "cipher name", "with a key of %u bytes is not known",
                                       key_bytes);
        if (cipher_spec_check(&h->spec, err) < 0)
                return err_prefix(err, "'%s'", file->name);
        return 0;
}

static int parse_slot(const ImageFile *file, const uint8_t *head, unsigned i, LuksHeader *h, Error *err)
{
        const uint8_t *at = head + luks_slot_at(i);
        uint32_t state = load_be32(at), size = (uint32_t)(luks_material_size(h) / CIPHER_SECTOR);
        LuksSlot *slot = &h->slots[i];

        slot->active = state == SLOT_ACTIVE;
        slot->iterations = load_be32(at + SLOT_ITERATIONS);
        slot->material = load_be32(at + SLOT_MATERIAL);
        memcpy(slot->salt, at + SLOT_SALT, LUKS_SALT);
        if (state != SLOT_ACTIVE && state != SLOT_INACTIVE)
                return image_bad_field(err, file, luks_slot_at(i), "state of a key slot", "is 0x%x", state);
        if (load_be32(at + SLOT_STRIPES) != LUKS_STRIPES)
                return image_bad_field(err, file, luks_slot_at(i) + SLOT_STRIPES, "stripes of a key slot",
                                       "are %u: must be %d", load_be32(at + SLOT_STRIPES), LUKS_STRIPES);
        if (slot->active && slot->iterations == 0)
                return image_bad_field(err, file, luks_slot_at(i) + SLOT_ITERATIONS, "iterations of a key slot",
                                       "are 0");
        if (slot->material < div_up(LUKS_HEADER_SIZE, CIPHER_SECTOR) || slot->material > h->payload ||
            size > h->payload - slot->material)
                return image_bad_field(err, file, luks_slot_at(i) + SLOT_MATERIAL, "place of a key slot",
                                       "is sector %u: not between header and disk", slot->material);
        for (unsigned k = 0; k < i; k++)
                if (slot->material < h->slots[k].material + size && h->slots[k].material < slot->material + size)
                        return image_bad_field(err, file, luks_slot_at(i) + SLOT_MATERIAL, "place of a key slot",
                                               "is sector %u: overlaps slot %u", slot->material, k);
        return 0;
}

int luks_header_read(ImageFile *file, uint64_t base, uint64_t room, LuksHeader *ret, Error *err)
{
        uint8_t head[LUKS_HEADER_SIZE];
        LuksHeader h = { 0 };

        if (room < sizeof(head))
                return err_set(err, ERR_OPERATION_FAILED, "'%s': %llu bytes are too few for a LUKS header",
                               file->name, (unsigned long long)room);
        if (image_file_read(file, base, head, sizeof(head), err) < 0)
                return -1;
        if (memcmp(head, MAGIC, strlen(MAGIC)) != 0)
                return image_bad_field(err, file, base, "magic", "is not that of a LUKS container");
        if (load_be16(head + AT_VERSION) != 1)
                return image_bad_field(err, file, base + AT_VERSION, "version", "is %u: 1 is known",
                                       load_be16(head + AT_VERSION));
        h.payload = load_be32(head + AT_PAYLOAD);
        if (h.payload < div_up(LUKS_HEADER_SIZE, CIPHER_SECTOR) || (uint64_t)h.payload * CIPHER_SECTOR > room)
                return image_bad_field(err, file, base + AT_PAYLOAD, "payload offset",
                                       "is sector %u in a container of %llu bytes", h.payload,
                                       (unsigned long long)room);
        if (parse_names(file, head, &h, err) < 0)
                return -1;
        memcpy(h.key_digest, head + AT_DIGEST, LUKS_DIGEST);
        memcpy(h.key_salt, head + AT_DIGEST_SALT, LUKS_SALT);
        h.key_iterations = load_be32(head + AT_DIGEST_ITERATIONS);
        if (h.key_iterations == 0)
                return image_bad_field(err, file, base + AT_DIGEST_ITERATIONS, "iterations of the key digest",
                                       "are 0");
        memcpy(h.uuid, head + AT_UUID, LUKS_UUID);
        for (unsigned i = 0; i < LUKS_SLOTS; i++)
                if (parse_slot(file, head, i, &h, err) < 0)
                        return -1;
        *ret = h;
        return 0;
}

void luks_slot_format(const LuksSlot *slot, uint8_t ret[LUKS_SLOT_SIZE])
{
        store_be32(ret, slot->active ? SLOT_ACTIVE : SLOT_INACTIVE);
        store_be32(ret + SLOT_ITERATIONS, slot->iterations);
        memcpy(ret + SLOT_SALT, slot->salt, LUKS_SALT);
        store_be32(ret + SLOT_MATERIAL, slot->material);
        store_be32(ret + SLOT_STRIPES, LUKS_STRIPES);
}

void luks_header_format(const LuksHeader *h, uint8_t ret[LUKS_HEADER_SIZE])
{
        AUTOFREE char *mode = str_format("%s-%s%s%s", cipher_mode_name(h->spec.mode), cipher_iv_name(h->spec.iv),
                                         h->spec.iv_digest ? ":" : "",
                                         h->spec.iv_digest ? digest_name(h->spec.iv_digest) : "");

        memset(ret, 0, LUKS_HEADER_SIZE);
        memcpy(ret, MAGIC, strlen(MAGIC));
        store_be16(ret + AT_VERSION, 1);
        /* The names are ours: they fit. */
        memcpy(ret + AT_CIPHER, cipher_family(h->spec.kind), strlen(cipher_family(h->spec.kind)));
        memcpy(ret + AT_MODE, mode, strlen(mode));
        memcpy(ret + AT_HASH, digest_name(h->digest), strlen(digest_name(h->digest)));
        store_be32(ret + AT_PAYLOAD, h->payload);
        store_be32(ret + AT_KEY_BYTES, (uint32_t)cipher_key_bytes(&h->spec));
        memcpy(ret + AT_DIGEST, h->key_digest, LUKS_DIGEST);
        memcpy(ret + AT_DIGEST_SALT, h->key_salt, LUKS_SALT);
        store_be32(ret + AT_DIGEST_ITERATIONS, h->key_iterations);
        memcpy(ret + AT_UUID, h->uuid, strlen(h->uuid));
        for (unsigned i = 0; i < LUKS_SLOTS; i++)
                luks_slot_format(&h->slots[i], ret + luks_slot_at(i));
}

static int plan_spec(const LuksOptions *o, LuksHeader *h, Error *err)
{
        const char *cipher = o->cipher ?: "aes-256", *mode = o->mode ?: "xts", *iv = o->iv ?: "plain64";
        const char *digest = o->digest ?: "sha256", *iv_digest = o->iv_digest;

        h->spec.kind = cipher_find(cipher);
        if (!h->spec.kind)
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for cipher-alg", cipher);
        if (cipher_mode_find(mode, &h->spec.mode) < 0)
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for cipher-mode", mode);
        if (cipher_iv_find(iv, &h->spec.iv) < 0)
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for ivgen-alg", iv);
        h->digest = digest_find(digest);
        if (!h->digest)
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for hash-alg", digest);
        if (!iv_digest && h->spec.iv == IV_ESSIV)
                iv_digest = "sha256";
        h->spec.iv_digest = iv_digest ? digest_find(iv_digest) : NULL;
        if (iv_digest && !h->spec.iv_digest)
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for ivgen-hash-alg", iv_digest);
        return cipher_spec_check(&h->spec, err);
}

int luks_plan(const LuksOptions *options, LuksHeader *ret, Error *err)
{
        LuksHeader h = { 0 };
        uint32_t size;

        if (plan_spec(options, &h, err) < 0)
                return -1;
        size = (uint32_t)round_up(luks_material_size(&h) / CIPHER_SECTOR, SLOT_ALIGN);
        for (unsigned i = 0; i < LUKS_SLOTS; i++)
                h.slots[i].material = SLOT_ALIGN + i * size;
        h.payload = SLOT_ALIGN + LUKS_SLOTS * size;
        *ret = h;
        return 0;
}
