#pragma once
/*
 * base/str.h - text: allocated strings, strict number parsing, word lists
 *
 * Functions returning char * give an owned string, never NULL unless they say
 * so. Number parsers accept the whole text or nothing: no leading blanks, no
 * rest, no overflow.
 */
#include "base/auto.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

char *str_dup(const char *s); /* NULL gives NULL */
char *str_dup_n(const char *s, size_t n);
char *str_format(const char *fmt, ...) PRINTF(1, 2);
char *str_vformat(const char *fmt, va_list ap) PRINTF(1, 0);
void str_replace(char **slot, const char *s); /* frees what was there; s may be NULL */

static inline bool str_eq(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}
static inline bool str_starts(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);

        return strnlen(s, n) == n && memcmp(s, prefix, n) == 0;
}
bool str_ends(const char *s, const char *suffix);
char *str_to_base64(const void *data, size_t n);
/* Blanks and line ends between the characters are passed over. ret: room for 3 bytes for each 4 of s. 0 or -1. */
int str_from_base64(const char *s, uint8_t *ret, size_t *ret_n);
bool str_is_utf8(const char *s, size_t n); /* valid, and without NUL */
/*
 * For a person to look at: control characters, of one byte and as UTF-8 has them, and bytes that are no UTF-8 stand as
 * \xNN, so that foreign text can neither move a terminal's cursor nor begin a line. Those in `keep` stay.
 */
char *str_printable(const char *s, const char *keep);

/* Base 10, or with 0x base 16 where `hex` is in the name. 0 or -1. */
int str_to_u64(const char *s, uint64_t *ret);
int str_to_i64(const char *s, int64_t *ret);
int str_to_u32(const char *s, uint32_t *ret);
int str_to_i32(const char *s, int32_t *ret);
int str_to_double(const char *s, double *ret);
int str_to_u64_hex(const char *s, uint64_t *ret);

/* Cut s at each of the separator characters; empty pieces are dropped. The list ends with NULL. */
char **str_split(const char *s, const char *separators);
void str_list_free(char **list);
size_t str_list_len(char *const *list);
typedef char *StrList;
static inline void auto_StrList(char ***list)
{
        str_list_free(*list);
}
#define AUTO_STRLIST __attribute__((cleanup(auto_StrList), unused)) char **
