/*
 * qemu/save-image.c - the head of a file that holds a saved guest
 *
 *      0  8  "DRSAVED\n"
 *      8  4  version, 1
 *     12  4  length of the head, a multiple of 4096
 *     16  4  flags: 1 the guest is to stay paused
 *     20  4  length of the XML
 *     24  8  length of the state
 *     32  8  check sum of the head with this field zero
 *     40 24  zero
 *     64     XML, then zeros
 */
#include "qemu/save-image.h"

#include "base/hash.h"

#include <string.h>

static const char magic[8] = { 'D', 'R', 'S', 'A', 'V', 'E', 'D', '\n' };

enum {
        VERSION = 1,
        FLAG_PAUSED = 1,
        AT_VERSION = 8,
        AT_HEAD_BYTES = 12,
        AT_FLAGS = 16,
        AT_XML_BYTES = 20,
        AT_STATE_BYTES = 24,
        AT_SUM = 32,
        AT_ZERO = 40,
};

static void put_u32(uint8_t *at, uint32_t value)
{
        for (int i = 0; i < 4; i++)
                at[i] = (uint8_t)(value >> 8 * i);
}

static void put_u64(uint8_t *at, uint64_t value)
{
        put_u32(at, (uint32_t)value);
        put_u32(at + 4, (uint32_t)(value >> 32));
}

static uint32_t get_u32(const uint8_t *at)
{
        return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get_u64(const uint8_t *at)
{
        return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

/* Finds accidents, and a head that was edited by hand; the sum itself counts as zeros. */
static uint64_t sum_of(const uint8_t *head, size_t n)
{
        static const uint8_t zero[AT_ZERO - AT_SUM];
        uint64_t sum = hash_fnv1a(HASH_FNV1A_EMPTY, head, AT_SUM);

        sum = hash_fnv1a(sum, zero, sizeof(zero));
        return hash_fnv1a(sum, head + AT_ZERO, n - AT_ZERO);
}

static uint32_t round_up(uint32_t n)
{
        return (n + SAVE_IMAGE_BLOCK - 1) / SAVE_IMAGE_BLOCK * SAVE_IMAGE_BLOCK;
}

int save_image_format(const SaveImage *image, Buf *ret, Error *err)
{
        uint32_t head_bytes;
        uint8_t *head;

        if (image->xml_bytes > SAVE_IMAGE_MOST_XML)
                return err_set(err, ERR_INTERNAL, "the definition is too large for a save image");
        head_bytes = round_up(SAVE_IMAGE_FIXED + image->xml_bytes);
        head = buf_reserve(ret, head_bytes);
        memset(head, 0, head_bytes);
        memcpy(head, magic, sizeof(magic));
        put_u32(head + AT_VERSION, VERSION);
        put_u32(head + AT_HEAD_BYTES, head_bytes);
        put_u32(head + AT_FLAGS, image->paused ? FLAG_PAUSED : 0);
        put_u32(head + AT_XML_BYTES, image->xml_bytes);
        put_u64(head + AT_STATE_BYTES, image->state_bytes);
        if (image->xml_bytes)
                memcpy(head + SAVE_IMAGE_FIXED, image->xml, image->xml_bytes);
        put_u64(head + AT_SUM, sum_of(head, head_bytes));
        buf_grow(ret, head_bytes);
        return 0;
}

uint32_t save_image_head_bytes(const void *data, size_t n, Error *err)
{
        const uint8_t *head = data;
        uint32_t bytes, xml;

        if (n < SAVE_IMAGE_FIXED || memcmp(head, magic, sizeof(magic)) != 0) {
                err_set(err, ERR_OPERATION_FAILED, "this is no save image of drover");
                return 0;
        }
        if (get_u32(head + AT_VERSION) != VERSION) {
                err_set(err, ERR_OPERATION_FAILED, "the save image has version %u, this drover knows version %d",
                        get_u32(head + AT_VERSION), VERSION);
                return 0;
        }
        bytes = get_u32(head + AT_HEAD_BYTES);
        xml = get_u32(head + AT_XML_BYTES);
        if (xml > SAVE_IMAGE_MOST_XML || bytes != round_up(SAVE_IMAGE_FIXED + xml)) {
                err_set(err, ERR_OPERATION_FAILED, "the save image is damaged: its sizes contradict each other");
                return 0;
        }
        return bytes;
}

int save_image_parse(const void *data, size_t n, SaveImage *ret, Error *err)
{
        const uint8_t *head = data;
        uint32_t bytes = save_image_head_bytes(data, n, err);

        if (!bytes)
                return -1;
        if (n < bytes)
                return err_set(err, ERR_OPERATION_FAILED, "the save image is cut short in its head");
        if (get_u64(head + AT_SUM) != sum_of(head, bytes))
                return err_set(err, ERR_OPERATION_FAILED, "the save image is damaged: its check sum is wrong");
        *ret = (SaveImage){ .head_bytes = bytes,
                            .paused = get_u32(head + AT_FLAGS) & FLAG_PAUSED,
                            .state_bytes = get_u64(head + AT_STATE_BYTES),
                            .xml = (const char *)head + SAVE_IMAGE_FIXED,
                            .xml_bytes = get_u32(head + AT_XML_BYTES) };
        if (!ret->state_bytes)
                return err_set(err, ERR_OPERATION_FAILED, "the save image was never finished");
        if (memchr(ret->xml, '\0', ret->xml_bytes))
                return err_set(err, ERR_OPERATION_FAILED, "the save image is damaged: its definition is no text");
        return 0;
}
