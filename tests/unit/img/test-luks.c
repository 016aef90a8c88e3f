#include "test.h"

#include "memory-file.h"

#include "base/mem.h"
#include "img/image.h"
#include "img/sector-cipher.h"

#include <string.h>

enum { SIZE = 300000, QUICK_MS = 1, CRASHES = 6 };

static const ImageSecret first = { .data = (const uint8_t *)"first", .n = 5 };
static const ImageSecret second = { .data = (const uint8_t *)"second\0with a NUL", .n = 17 };
static const ImageSecret wrong = { .data = (const uint8_t *)"firsT", .n = 5 };

static Image *made(ImageFormat format, const ImageCreate *how)
{
        ImageFile *file = memory_file_new(NULL, 0);
        ImageCreate with = *how;
        Error err = { 0 };
        Image *image;

        with.size = SIZE;
        with.encrypt = format == IMAGE_FORMAT_QCOW2;
        with.luks.secret = &first;
        with.luks.iter_time_ms = QUICK_MS;
        CHECK_INT(image_create(file, format, &with, &err), 0);
        image = image_open(file, format, IMAGE_WRITE, &err);
        CHECK(image);
        CHECK(image_is_locked(image));
        return image;
}

/* A copy of what the image's file holds, opened. */
static Image *opened_again(ImageFile *from, ImageFormat format)
{
        Error err = { 0 };
        Image *image = image_open(memory_file_copy(from), format, IMAGE_WRITE, &err);

        CHECK(image);
        return image;
}

static bool opens(ImageFile *file, const ImageSecret *secret)
{
        AUTO(Image) *image = opened_again(file, IMAGE_FORMAT_LUKS);

        return image_unlock(image, secret, NULL) == 0;
}

TEST(a_locked_image_shows_its_size_and_not_its_content)
{
        AUTO(Image) *image = made(IMAGE_FORMAT_LUKS, &(ImageCreate){ 0 });
        AUTO(Error) err = { 0 };
        uint8_t byte = 0;

        CHECK_INT(image_size(image), SIZE / 512 * 512 + 512);
        CHECK_INT(image_read(image, 0, &byte, 1, &err), -1);
        CHECK_INT(image_write(image, 0, &byte, 1, NULL), -1);
        CHECK_INT(image_zero(image, 0, 1, 0, NULL), -1);
        CHECK_INT(image_change_key(image, &(LuksKeyChange){ .slot = 1 }, NULL), -1);
        CHECK_INT(image_unlock(image, &wrong, &err), -1);
        CHECK(image_is_locked(image));
        CHECK_INT(image_unlock(image, &first, NULL), 0);
        CHECK_INT(image_read(image, 0, &byte, 1, NULL), 0);
}

TEST(what_is_written_at_any_offset_comes_back_and_stands_encrypted)
{
        static const ImageFormat formats[] = { IMAGE_FORMAT_LUKS, IMAGE_FORMAT_QCOW2 };
        AUTOFREE uint8_t *model = mem_alloc(SIZE), *got = mem_alloc(SIZE);
        unsigned dice = 7;

        for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
                AUTO(Image) *image = made(formats[f], &(ImageCreate){ .cluster_size = 4096 });
                AUTO(Image) *again = NULL;
                const uint8_t *bytes;
                size_t n;

                CHECK_INT(image_unlock(image, &first, NULL), 0);
                memset(model, 0, SIZE);
                CHECK_INT(image_zero(image, 0, SIZE, 0, NULL), 0);
                for (int i = 0; i < 300; i++) {
                        size_t at, length;

                        dice = dice * 1103515245u + 12345u;
                        at = dice / 7 % SIZE;
                        length = MIN(dice / 64 % 9000 + 1, SIZE - at);
                        memset(model + at, (int)(dice >> 24), length);
                        if (i % 5 == 4)
                                memset(model + at, 0, length);
                        if (i % 5 == 4)
                                CHECK_INT(image_zero(image, at, length, 0, NULL), 0);
                        else
                                CHECK_INT(image_write(image, at, model + at, length, NULL), 0);
                }
                memcpy(model + 1000, "plain text that must not be seen", 32);
                CHECK_INT(image_write(image, 1000, model + 1000, 32, NULL), 0);
                CHECK_INT(image_flush(image, NULL), 0);
                again = opened_again(image_file(image), formats[f]);
                CHECK_INT(image_unlock(again, &first, NULL), 0);
                CHECK_INT(image_read(again, 0, got, SIZE, NULL), 0);
                CHECK(memcmp(got, model, SIZE) == 0);
                bytes = memory_file_data(image_file(image), &n);
                CHECK(!memmem(bytes, n, "plain text", 10));
        }
}

/* XTS-AES-128, vector 4 of IEEE 1619: keys, sector 0, the bytes 0 to 255 twice. */
TEST(xts_gives_what_the_standard_says)
{
        static const uint8_t key[32] = { 0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60,
                                         0x28, 0x74, 0x71, 0x35, 0x26, 0x31, 0x41, 0x59, 0x26, 0x53, 0x58,
                                         0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95 };
        static const uint8_t begins[16] = { 0x27, 0xa7, 0x47, 0x9b, 0xef, 0xa1, 0xd4, 0x76,
                                            0x48, 0x9f, 0x30, 0x8c, 0xd4, 0xcf, 0xa6, 0xe2 };
        CipherSpec spec = { .kind = cipher_find("aes-128"), .mode = CIPHER_XTS, .iv = IV_PLAIN64 };
        AUTO(SectorCipher) *cipher = sector_cipher_new(&spec, key);
        uint8_t sector[CIPHER_SECTOR];

        for (size_t i = 0; i < sizeof(sector); i++)
                sector[i] = (uint8_t)i;
        sector_encrypt(cipher, 0, sector, sizeof(sector));
        CHECK(memcmp(sector, begins, sizeof(begins)) == 0);
        sector_decrypt(cipher, 0, sector, sizeof(sector));
        for (size_t i = 0; i < sizeof(sector); i++)
                CHECK_INT(sector[i], (uint8_t)i);
}

TEST(every_cipher_takes_back_what_it_did)
{
        static const char *const names[] = { "aes-192",     "cast5-128",   "serpent-128", "serpent-256",
                                             "twofish-128", "twofish-256", "aes-256" };
        uint8_t key[CIPHER_KEY_MAX], data[3 * CIPHER_SECTOR], before[sizeof(data)];

        for (size_t i = 0; i < sizeof(key); i++)
                key[i] = (uint8_t)(3 * i + 1);
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                for (CipherMode mode = CIPHER_ECB; mode <= CIPHER_CTR; mode++) {
                        CipherSpec spec = { .kind = cipher_find(names[i]), .mode = mode, .iv = IV_PLAIN };
                        SectorCipher *cipher;

                        if (cipher_spec_check(&spec, NULL) < 0)
                                continue;
                        memset(data, 0x5a, sizeof(data));
                        memcpy(before, data, sizeof(data));
                        cipher = sector_cipher_new(&spec, key);
                        sector_encrypt(cipher, 41, data, sizeof(data));
                        CHECK(memcmp(data, before, sizeof(data)) != 0);
                        /* Sectors that hold the same are not the same, unless nothing numbers them. */
                        CHECK((memcmp(data, data + CIPHER_SECTOR, CIPHER_SECTOR) == 0) == (mode == CIPHER_ECB));
                        sector_decrypt(cipher, 41, data, sizeof(data));
                        CHECK(memcmp(data, before, sizeof(data)) == 0);
                        sector_cipher_free(cipher);
                }
        }
}

TEST(key_slots_are_filled_and_shut)
{
        AUTO(Image) *image = made(IMAGE_FORMAT_LUKS, &(ImageCreate){ 0 });
        LuksKeyChange add = { .activate = true, .new_secret = &second, .slot = -1, .iter_time_ms = QUICK_MS };
        LuksKeyChange shut = { .old_secret = &first, .slot = -1 };
        ImageFile *file = image_file(image);

        CHECK_INT(image_unlock(image, &first, NULL), 0);
        CHECK_INT(image_change_key(image, &shut, NULL), -1); /* the last one */
        CHECK_INT(image_change_key(image, &add, NULL), 0);
        CHECK(image_luks(image)->slots[1].active);
        CHECK(opens(file, &first) && opens(file, &second));
        add.slot = 0;
        CHECK_INT(image_change_key(image, &add, NULL), -1); /* in use */
        add.slot = LUKS_SLOTS;
        CHECK_INT(image_change_key(image, &add, NULL), -1);
        CHECK_INT(image_change_key(image, &shut, NULL), 0);
        CHECK(!opens(file, &first) && opens(file, &second));
        CHECK_INT(image_change_key(image, &shut, NULL), -1); /* opens none */
        shut = (LuksKeyChange){ .slot = 1 };
        CHECK_INT(image_change_key(image, &shut, NULL), -1);
        shut.force = true;
        CHECK_INT(image_change_key(image, &shut, NULL), 0);
        CHECK(!opens(file, &second));
}

/* At every cut: the image opens, the password that stays opens it, and the slot that changes is whole or free. */
static void check_crashes(const LuksKeyChange *change, bool shuts)
{
        ImageFile *base;
        Image *image = made(IMAGE_FORMAT_LUKS, &(ImageCreate){ 0 });
        LuksKeyChange add = { .activate = true, .new_secret = &second, .slot = 6, .iter_time_ms = QUICK_MS };

        CHECK_INT(image_unlock(image, &first, NULL), 0);
        if (shuts)
                CHECK_INT(image_change_key(image, &add, NULL), 0);
        base = image_file(image);
        memory_file_record(base);
        CHECK_INT(image_change_key(image, change, NULL), 0);
        for (size_t cut = 0; cut <= memory_file_changes(base); cut++) {
                for (unsigned seed = 0; seed < CRASHES; seed++) {
                        AUTO(ImageFile) *left = memory_file_after_crash(base, cut, seed * 7919);
                        AUTO(Image) *after = opened_again(left, IMAGE_FORMAT_LUKS);

                        CHECK_INT(image_unlock(after, &first, NULL), 0);
                        if (image_luks(after)->slots[6].active && !shuts)
                                CHECK(opens(left, &second));
                }
        }
        image_free(image);
}

TEST(a_crash_while_keys_change_leaves_each_slot_whole_or_free)
{
        LuksKeyChange add = { .activate = true, .new_secret = &second, .slot = 6, .iter_time_ms = QUICK_MS };
        LuksKeyChange shut = { .slot = 6 };

        check_crashes(&add, false); /* slot 6 crosses the end of a sector */
        check_crashes(&shut, true);
}

TEST(qcow2_places_made_ahead_read_as_zeros)
{
        AUTO(Image) *image = made(IMAGE_FORMAT_QCOW2, &(ImageCreate){ .preallocation = PREALLOCATE_FULL });
        AUTOFREE uint8_t *data = mem_alloc(SIZE);
        AUTO(Error) err = { 0 };
        ImageCheck found = { 0 };

        CHECK_INT(image_unlock(image, &first, NULL), 0);
        memset(data, 1, SIZE);
        CHECK_INT(image_read(image, 0, data, SIZE, NULL), 0);
        for (size_t i = 0; i < SIZE; i++)
                CHECK_INT(data[i], 0);
        CHECK_INT(image_check(image, REPAIR_NONE, &found, &err), 0);
        CHECK_INT(found.corruptions + found.leaks, 0);
        CHECK(!image_can_compress(image));
}
