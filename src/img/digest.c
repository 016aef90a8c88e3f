/*
 * img/digest.c - hashes and keys made from passwords, by nettle
 */
#include "img/digest.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <nettle/hmac.h>
#include <nettle/nettle-meta.h>
#include <nettle/pbkdf2.h>
#include <sys/random.h>
#include <time.h>

static const struct nettle_hash *const known[] = {
        &nettle_sha256, &nettle_sha1, &nettle_sha512, &nettle_sha384, &nettle_sha224, &nettle_ripemd160, &nettle_md5,
};

const Digest *digest_find(const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
                if (str_eq(known[i]->name, name))
                        return known[i];
        return NULL;
}

const char *digest_name(const Digest *digest)
{
        return digest->name;
}

size_t digest_size(const Digest *digest)
{
        return digest->digest_size;
}

void digest_of(const Digest *digest, const void *data, size_t n, uint8_t *ret)
{
        void *context = mem_alloc(digest->context_size);

        digest->init(context);
        digest->update(context, n, data);
        digest->digest(context, digest->digest_size, ret);
        free_wiped(context, digest->context_size);
}

/* HMAC with a hash chosen at run time, in the shape that pbkdf2() calls. */
typedef struct Mac {
        const struct nettle_hash *hash;
        uint8_t *outer, *inner, *state; /* one block, inner's */
} Mac;

static void mac_update(void *arg, size_t n, const uint8_t *data)
{
        Mac *mac = arg;

        hmac_update(mac->state, mac->hash, n, data);
}

static void mac_digest(void *arg, size_t n, uint8_t *ret)
{
        Mac *mac = arg;

        hmac_digest(mac->outer, mac->inner, mac->state, mac->hash, n, ret);
}

void digest_derive(const Digest *digest, const void *password, size_t password_n, const uint8_t *salt, size_t salt_n,
                   uint32_t iterations, uint8_t *ret, size_t n)
{
        size_t size = (digest->context_size + 15) / 16 * 16;
        Mac mac = { .hash = digest, .outer = mem_alloc(3 * size) };

        mac.inner = mac.outer + size;
        mac.state = mac.inner + size;
        hmac_set_key(mac.outer, mac.inner, mac.state, digest, password_n, password);
        pbkdf2(&mac, mac_update, mac_digest, digest->digest_size, iterations, salt_n, salt, n, ret);
        free_wiped(mac.outer, 3 * size);
}

static double processor_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

uint32_t digest_iterations(const Digest *digest, size_t n, unsigned ms)
{
        uint8_t salt[32] = { 0 }, key[256];
        double spent = 0, wanted;

        for (uint32_t tried = 1 << 14;; tried *= 2) {
                double begun = processor_ms();

                digest_derive(digest, "password", 8, salt, sizeof(salt), tried, key, MIN(n, sizeof(key)));
                spent = processor_ms() - begun;
                if (spent < SHORTEST_TIMING_MS && tried < 1U << 30)
                        continue;
                wanted = (double)tried * ms / spent;
                return wanted > UINT32_MAX ? UINT32_MAX : (uint32_t)wanted;
        }
}

int random_bytes(void *ret, size_t n, Error *err)
{
        char *at = ret;

        while (n) {
                ssize_t got = getrandom(at, n, 0);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return err_errno(err, errno, "no random numbers");
                at += got;
                n -= (size_t)got;
        }
        return 0;
}

void free_wiped(void *p, size_t n)
{
        if (p)
                explicit_bzero(p, n);
        free(p);
}
