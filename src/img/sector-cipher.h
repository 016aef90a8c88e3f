#pragma once
/*
 * img/sector-cipher.h - a disk encrypted sector by sector
 *
 * Every sector of 512 bytes is encrypted alone, with an initialisation vector
 * made from its number. A SectorCipher may be used by several threads at once.
 */
#include "img/digest.h"
#include "img/file.h"

enum { CIPHER_SECTOR = 512, CIPHER_KEY_MAX = 64 };

typedef enum CipherMode {
        CIPHER_ECB,
        CIPHER_CBC,
        CIPHER_XTS,
        CIPHER_CTR,
} CipherMode;

typedef enum CipherIv {
        IV_NONE,
        IV_PLAIN,   /* the low 32 bits of the sector's number */
        IV_PLAIN64, /* all of it */
        IV_ESSIV,   /* all of it, encrypted with a hash of the key */
} CipherIv;

typedef struct CipherKind CipherKind; /* an algorithm with its key length */

typedef struct CipherSpec {
        const CipherKind *kind;
        CipherMode mode;
        CipherIv iv;
        const Digest *iv_digest; /* of IV_ESSIV */
} CipherSpec;

/* By qemu-img's name ("aes-256"), or by family and key length as LUKS names it. NULL: not known. */
const CipherKind *cipher_find(const char *name);
const CipherKind *cipher_find_family(const char *family, size_t key_bytes);
const char *cipher_name(const CipherKind *kind);
const char *cipher_family(const CipherKind *kind);
/* 0, or -1: no such word. */
int cipher_mode_find(const char *word, CipherMode *ret);
int cipher_iv_find(const char *word, CipherIv *ret);
const char *cipher_mode_name(CipherMode mode);
const char *cipher_iv_name(CipherIv iv);
/* The length of the key: XTS takes two. */
size_t cipher_key_bytes(const CipherSpec *spec);
/* That these go together. */
int cipher_spec_check(const CipherSpec *spec, Error *err);

typedef struct SectorCipher SectorCipher;

/* spec was checked; key: cipher_key_bytes() long. */
SectorCipher *sector_cipher_new(const CipherSpec *spec, const uint8_t *key);
SectorCipher *sector_cipher_free(SectorCipher *cipher); /* wipes the key; returns NULL */
/* n is a multiple of CIPHER_SECTOR; in place. */
void sector_encrypt(const SectorCipher *cipher, uint64_t sector, uint8_t *data, size_t n);
void sector_decrypt(const SectorCipher *cipher, uint64_t sector, uint8_t *data, size_t n);

/*
 * Read and write n bytes at `at` of a file that is encrypted; `numbered` is where the sectors' numbers say they are, as
 * far into a sector as `at`. Behind the end of the file stands what the ciphertext of zeros decrypts to. A write that
 * ends inside a sector reads the rest of it first.
 */
int sealed_read(SectorCipher *cipher, ImageFile *file, uint64_t at, uint64_t numbered, void *data, size_t n,
                Error *err);
int sealed_write(SectorCipher *cipher, ImageFile *file, uint64_t at, uint64_t numbered, const void *data, size_t n,
                 Error *err);

DEFINE_AUTO(SectorCipher, sector_cipher_free)
