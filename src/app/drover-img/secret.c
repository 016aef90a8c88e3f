/*
 * app/drover-img/secret.c - passwords: --object secret,id=,data=|file=,format=,keyid=,iv=
 *
 * They are kept for the time of the command, as qemu-img keeps its objects,
 * and wiped at its end.
 */
#include "app/drover-img/command.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <nettle/aes.h>
#include <nettle/cbc.h>

enum { LARGEST_SECRET = 1 << 20, MASTER_KEY_SIZE = 32 };

typedef struct Secret {
        char *id;
        uint8_t *data; /* room bytes */
        size_t n, room;
        ImageSecret shown;
        struct Secret *next;
} Secret;

static Secret *secrets;

static void secret_free(Secret *secret)
{
        free(secret->id);
        free_wiped(secret->data, secret->room);
        free(secret);
}

void secrets_wipe(void)
{
        while (secrets) {
                Secret *next = secrets->next;

                secret_free(secrets);
                secrets = next;
        }
}

const ImageSecret *secret_find(const char *id, Error *err)
{
        for (Secret *each = secrets; each; each = each->next)
                if (str_eq(each->id, id))
                        return &each->shown;
        err_set(err, ERR_INVALID_ARG, "No secret with id '%s'", id);
        return NULL;
}

static void hold(Secret *secret, const void *data, size_t n)
{
        secret->room = n + 4; /* decoding writes in threes */
        secret->data = mem_alloc(secret->room);
        memcpy(secret->data, data, n);
        secret->n = n;
}

static int load(Secret *secret, Options *options, Error *err)
{
        const char *data = options_take(options, "data"), *file = options_take(options, "file");
        Buf content = { 0 };
        int r;

        if ((data != NULL) == (file != NULL))
                return err_set(err, ERR_INVALID_ARG,
                               data ? "'file' and 'data' are mutually exclusive" : "Must provide 'file' or 'data'");
        if (data) {
                hold(secret, data, strlen(data));
                return 0;
        }
        r = file_read(file, LARGEST_SECRET, &content, err);
        if (r == 0)
                hold(secret, buf_text(&content), content.len);
        if (content.data)
                explicit_bzero(content.data, content.room);
        buf_done(&content);
        return r;
}

static int decode(Secret *secret, Error *err)
{
        uint8_t *text = mem_alloc(secret->n + 1);
        int r;

        memcpy(text, secret->data, secret->n);
        r = memchr(text, '\0', secret->n) ? -1 : str_from_base64((char *)text, secret->data, &secret->n);
        free_wiped(text, secret->n + 1);
        return r < 0 ? err_set(err, ERR_INVALID_ARG, "Base64 data of the secret '%s' is not valid", secret->id) : 0;
}

/* It was encrypted with another secret (AES-256, CBC, padded as PKCS#7 does). */
static int decrypt(Secret *secret, const char *key_id, const char *iv_text, Error *err)
{
        uint8_t iv[AES_BLOCK_SIZE + 2], padding;
        const ImageSecret *key = secret_find(key_id, err);
        struct aes256_ctx context;
        size_t iv_n = 0;

        if (!key)
                return -1;
        if (key->n != MASTER_KEY_SIZE)
                return err_set(err, ERR_INVALID_ARG, "Key should be %d bytes in length", MASTER_KEY_SIZE);
        if (!iv_text || strlen(iv_text) != (AES_BLOCK_SIZE + 2) / 3 * 4 || str_from_base64(iv_text, iv, &iv_n) < 0 ||
            iv_n != AES_BLOCK_SIZE)
                return err_set(err, ERR_INVALID_ARG, "IV should be %d bytes in length", AES_BLOCK_SIZE);
        if (secret->n == 0 || secret->n % AES_BLOCK_SIZE)
                return err_set(err, ERR_INVALID_ARG, "the secret '%s' is not a whole number of blocks", secret->id);
        aes256_set_decrypt_key(&context, key->data);
        cbc_decrypt(&context, (nettle_cipher_func *)aes256_decrypt, AES_BLOCK_SIZE, iv, secret->n, secret->data,
                    secret->data);
        explicit_bzero(&context, sizeof(context));
        padding = secret->data[secret->n - 1];
        if (padding == 0 || padding > AES_BLOCK_SIZE)
                return err_set(err, ERR_INVALID_ARG, "Incorrect number of padding bytes (%u) found on decrypted data",
                               padding);
        secret->n -= padding;
        return 0;
}

static int fill(Secret *secret, Options *options, Error *err)
{
        const char *format = options_take(options, "format") ?: "raw", *id = options_take(options, "id");
        const char *key_id = options_take(options, "keyid"), *iv = options_take(options, "iv");
        bool coded = str_eq(format, "base64");

        if (!id)
                return err_set(err, ERR_INVALID_ARG, "Parameter 'id' is missing");
        if (!coded && !str_eq(format, "raw"))
                return err_set(err, ERR_INVALID_ARG, "Invalid parameter '%s' for format", format);
        secret->id = str_dup(id);
        if (load(secret, options, err) < 0)
                return -1;
        if (options_unused(options))
                return err_set(err, ERR_INVALID_ARG, "Property 'secret.%s' not found", options_unused(options)->name);
        if ((coded || key_id) && decode(secret, err) < 0)
                return -1;
        if (key_id && decrypt(secret, key_id, iv, err) < 0)
                return -1;
        secret->shown = (ImageSecret){ .data = secret->data, .n = secret->n };
        return 0;
}

int secret_add(Options *options, Error *err)
{
        Secret *secret = mem_new(Secret);

        if (fill(secret, options, err) < 0) {
                secret_free(secret);
                return -1;
        }
        secret->next = secrets;
        secrets = secret;
        return 0;
}
