#pragma once
/*
 * img/bytes.h - integers as they stand in image headers, and checked arithmetic on them
 *
 * Loads and stores work on bytes at any alignment. What a header claims is
 * added and multiplied with the checked functions only.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load_le16(const void *p)
{
        const uint8_t *b = p;

        return (uint16_t)(b[0] | b[1] << 8);
}
static inline uint32_t load_le32(const void *p)
{
        uint32_t v;

        memcpy(&v, p, sizeof(v));
        return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap32(v);
}
static inline uint64_t load_le64(const void *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof(v));
        return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
}
static inline uint16_t load_be16(const void *p)
{
        return __builtin_bswap16(load_le16(p));
}
static inline uint32_t load_be32(const void *p)
{
        return __builtin_bswap32(load_le32(p));
}
static inline uint64_t load_be64(const void *p)
{
        return __builtin_bswap64(load_le64(p));
}
static inline void store_le16(void *p, uint16_t v)
{
        uint8_t *b = p;

        b[0] = (uint8_t)v;
        b[1] = (uint8_t)(v >> 8);
}
static inline void store_le32(void *p, uint32_t v)
{
        store_le16(p, (uint16_t)v);
        store_le16((uint8_t *)p + 2, (uint16_t)(v >> 16));
}
static inline void store_le64(void *p, uint64_t v)
{
        store_le32(p, (uint32_t)v);
        store_le32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}
static inline void store_be16(void *p, uint16_t v)
{
        store_le16(p, __builtin_bswap16(v));
}
static inline void store_be32(void *p, uint32_t v)
{
        store_le32(p, __builtin_bswap32(v));
}
static inline void store_be64(void *p, uint64_t v)
{
        v = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap64(v) : v;
        memcpy(p, &v, sizeof(v));
}

/* True when the result does not fit; *ret is then not to be used. */
static inline bool add_overflows(uint64_t a, uint64_t b, uint64_t *ret)
{
        return __builtin_add_overflow(a, b, ret);
}
static inline bool mul_overflows(uint64_t a, uint64_t b, uint64_t *ret)
{
        return __builtin_mul_overflow(a, b, ret);
}
static inline uint64_t round_down(uint64_t n, uint64_t power_of_two)
{
        return n & ~(power_of_two - 1);
}
static inline uint64_t round_up(uint64_t n, uint64_t power_of_two)
{
        return round_down(n + power_of_two - 1, power_of_two);
}
static inline uint64_t div_up(uint64_t n, uint64_t by)
{
        return n / by + (n % by ? 1 : 0);
}
