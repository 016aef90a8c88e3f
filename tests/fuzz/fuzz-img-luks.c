/*
 * tests/fuzz/fuzz-img-luks.c - hostile LUKS headers: opened, tried with a password, read, written, slots changed
 *
 * A header may ask for as many iterations as it likes, which is the time its
 * owner wants a password to take; here they are cut down before it is used.
 */
#include "memory-file.h"

#include "img/bytes.h"
#include "img/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ROOM = 1060000, FEW = 4, SLOTS_AT = 208, SLOT_SIZE = 48, DIGEST_ITERATIONS_AT = 164 };

static void cut_down(ImageFile *file, uint64_t at)
{
        uint8_t word[4];

        if (image_file_read(file, at, word, sizeof(word), NULL) < 0 || load_be32(word) <= FEW)
                return;
        store_be32(word, FEW);
        image_file_write(file, at, word, sizeof(word), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const ImageSecret secret = { .data = (const uint8_t *)"secret", .n = 6 };
        static uint8_t buffer[3000];
        ImageFile *file = memory_file_new(data, n);
        Image *image;

        /* Room for key slots and a disk behind a header that fits in the corpus. */
        if (n < ROOM)
                image_file_truncate(file, ROOM, NULL);
        cut_down(file, DIGEST_ITERATIONS_AT);
        for (uint64_t i = 0; i < LUKS_SLOTS; i++)
                cut_down(file, SLOTS_AT + i * SLOT_SIZE + 4);
        image = image_open(file, IMAGE_FORMAT_LUKS, IMAGE_WRITE, NULL);
        if (!image) {
                image_file_close(file);
                return 0;
        }
        if (image_unlock(image, &secret, NULL) == 0) {
                image_read(image, 100, buffer, sizeof(buffer), NULL);
                if (image_size(image) > sizeof(buffer) + 7)
                        image_write(image, 7, buffer, sizeof(buffer), NULL);
                image_change_key(image, &(LuksKeyChange){ .old_secret = &secret, .slot = -1, .force = true }, NULL);
        }
        image_free(image);
        return 0;
}
