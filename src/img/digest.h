#pragma once
/*
 * img/digest.h - hashes, keys made from passwords, random bytes and what wipes them
 */
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_MAX = 64, SHORTEST_TIMING_MS = 40 };

typedef struct nettle_hash Digest;

const Digest *digest_find(const char *name); /* NULL: not known */
const char *digest_name(const Digest *digest);
size_t digest_size(const Digest *digest);
/* ret: room for DIGEST_MAX. */
void digest_of(const Digest *digest, const void *data, size_t n, uint8_t *ret);

/* PBKDF2 with HMAC; takes as long as the iterations ask for. */
void digest_derive(const Digest *digest, const void *password, size_t password_n, const uint8_t *salt, size_t salt_n,
                   uint32_t iterations, uint8_t *ret, size_t n);
/* How many iterations for n bytes this processor does in this time. Works for about SHORTEST_TIMING_MS. */
uint32_t digest_iterations(const Digest *digest, size_t n, unsigned ms);

int random_bytes(void *ret, size_t n, Error *err);
/* Wiped, then freed. */
void free_wiped(void *p, size_t n);
