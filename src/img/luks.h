#pragma once
/*
 * img/luks.h - a LUKS version 1 container: header, key slots, the key of the disk
 *
 * The disk is encrypted with one key, which stands encrypted with a password
 * in up to eight slots of the header. The header may stand anywhere in a file:
 * at the start of a container of its own, or inside a qcow2 image.
 *
 * Slots are changed so that a crash at any write leaves each slot as it was,
 * whole as it is to be, or free: key material is on disk before its slot says
 * it is in use, and a slot is free on disk before its material is wiped.
 */
#include "img/sector-cipher.h"

enum { LUKS_SLOTS = 8, LUKS_DIGEST = 20, LUKS_SALT = 32, LUKS_UUID = 40, LUKS_STRIPES = 4000 };

typedef struct LuksSlot {
        bool active;
        uint32_t iterations;
        uint8_t salt[LUKS_SALT];
        uint32_t material; /* sector where the split key begins, from the header's start */
} LuksSlot;

typedef struct LuksHeader {
        CipherSpec spec;
        const Digest *digest;
        uint32_t payload; /* sector where the disk begins */
        uint8_t key_digest[LUKS_DIGEST], key_salt[LUKS_SALT];
        uint32_t key_iterations;
        char uuid[LUKS_UUID + 1];
        LuksSlot slots[LUKS_SLOTS];
} LuksHeader;

typedef struct ImageSecret {
        const uint8_t *data; /* stays the caller's */
        size_t n;
} ImageSecret;

/* A new container. Words are those of qemu-img; NULL or 0: what it usually takes. */
typedef struct LuksOptions {
        const char *cipher, *mode, *iv, *iv_digest, *digest;
        unsigned iter_time_ms;     /* how long trying a password takes; 0: 2000 */
        const ImageSecret *secret; /* for slot 0 */
} LuksOptions;

typedef struct LuksKeyChange {
        bool activate;                 /* take new_secret in; else shut slots */
        const ImageSecret *new_secret; /* NULL when slots are shut */
        const ImageSecret *old_secret; /* shut the slots it opens; NULL: `slot` says which */
        int slot;                      /* -1: activate any free one */
        unsigned iter_time_ms;         /* 0: 2000 */
        bool force;                    /* also over a slot in use, also the last one */
} LuksKeyChange;

typedef struct Luks {
        ImageFile *file; /* stays the caller's */
        uint64_t base;
        LuksHeader header;
        bool unlocked;
        uint8_t key[CIPHER_KEY_MAX]; /* when unlocked */
} Luks;

/* Parse the header at `base`, which may reach over `room` bytes. ret is written on success only. */
int luks_header_read(ImageFile *file, uint64_t base, uint64_t room, LuksHeader *ret, Error *err);
/* The sectors of header, key slots and room between them, for these options. */
int luks_plan(const LuksOptions *options, LuksHeader *ret, Error *err);

Luks *luks_open(ImageFile *file, uint64_t base, uint64_t room, Error *err);
/* A new container: writes header and slot 0; unlocked. The file has room for it, or grows. */
Luks *luks_create(ImageFile *file, uint64_t base, const LuksOptions *options, Error *err);
Luks *luks_free(Luks *luks); /* wipes the key; returns NULL */
int luks_unlock(Luks *luks, const ImageSecret *secret, Error *err);
/* The key of another that is unlocked, when it is the same; else -1. */
int luks_unlock_as(Luks *luks, const Luks *other);
SectorCipher *luks_cipher(const Luks *luks); /* owned; the container is unlocked */
int luks_change_key(Luks *luks, const LuksKeyChange *change, Error *err);

DEFINE_AUTO(Luks, luks_free)
