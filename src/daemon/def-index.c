/*
 * daemon/def-index.c - which definitions were in their files when these were read last
 *
 * "drover-definitions 1 HASH", a line of facts, then "UUID INODE SIZE MTIME CTIME NAME" for each, by name. The hash is of
 * everything behind the first line, so a file that was cut or damaged is not taken for a shorter one.
 */
#include "daemon/def-index.h"

#include "base/hash.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

#define MAGIC "drover-definitions 1 "

enum { HASH_DIGITS = 16, HEAD_LEN = sizeof(MAGIC) - 1 + HASH_DIGITS + 1 };

static const int64_t SECOND_NS = 1000000000;

FileStamp file_stamp_of(const struct stat *st)
{
        return (FileStamp){ .inode = st->st_ino,
                            .size = (uint64_t)st->st_size,
                            .mtime_ns = st->st_mtim.tv_sec * SECOND_NS + st->st_mtim.tv_nsec,
                            .ctime_ns = st->st_ctim.tv_sec * SECOND_NS + st->st_ctim.tv_nsec };
}

bool file_stamp_eq(const FileStamp *a, const FileStamp *b)
{
        return a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

/* Some file systems keep whole seconds only, or even ones; the others' clocks tick at least a hundred times a second. */
bool file_stamp_is_settled(const FileStamp *stamp, int64_t now_ns)
{
        int64_t ticks_ns = stamp->ctime_ns % SECOND_NS ? SECOND_NS / 10 : SECOND_NS * 5 / 2;

        return stamp->ctime_ns < now_ns - ticks_ns;
}

/* Against accidents, not against somebody who can write here. */
static uint64_t hash(const char *text, size_t len)
{
        return hash_fnv1a(HASH_FNV1A_EMPTY, text, len);
}

/* --- reading --- */

/* The text up to the mark, which becomes its end; NULL: there is no such mark. */
static char *cut(char **at, char mark)
{
        char *text = *at, *end = strchr(text, mark);

        if (!end)
                return NULL;
        *end = '\0';
        *at = end + 1;
        return text;
}

static int parse_row(char *line, IndexRow *ret)
{
        const char *uuid = cut(&line, ' '), *inode = uuid ? cut(&line, ' ') : NULL;
        const char *size = inode ? cut(&line, ' ') : NULL, *mtime = size ? cut(&line, ' ') : NULL;
        const char *ctime = mtime ? cut(&line, ' ') : NULL;

        ret->name = line;
        return ctime && *line && strlen(uuid) == UUID_TEXT_LEN && uuid_parse(uuid, &ret->uuid) == 0 &&
                               str_to_u64(inode, &ret->stamp.inode) == 0 && str_to_u64(size, &ret->stamp.size) == 0 &&
                               str_to_i64(mtime, &ret->stamp.mtime_ns) == 0 &&
                               str_to_i64(ctime, &ret->stamp.ctime_ns) == 0
                       ? 0
                       : -1;
}

/* The end of the first line, when what follows is what it says. */
static char *check_head(const Buf *text)
{
        char digits[HASH_DIGITS + 1] = { 0 };

        if (text->len < HEAD_LEN || memcmp(text->data, MAGIC, strlen(MAGIC)) != 0 ||
            text->data[HEAD_LEN - 1] != '\n' || memchr(text->data, '\0', text->len))
                return NULL;
        snprintf(digits, sizeof(digits), "%016" PRIx64, hash(text->data + HEAD_LEN, text->len - HEAD_LEN));
        return memcmp(text->data + strlen(MAGIC), digits, HASH_DIGITS) == 0 ? text->data + HEAD_LEN : NULL;
}

static int parse_rows(char *at, const char *facts, DefIndex *ret)
{
        const char *line = cut(&at, '\n');

        if (!str_eq(line, facts))
                return -1;
        while (*at) {
                char *text = cut(&at, '\n');
                const IndexRow *last = ret->rows.len ? &ret->rows.items[ret->rows.len - 1] : NULL;
                IndexRow row;

                if (!text || parse_row(text, &row) < 0 || (last && strcmp(last->name, row.name) >= 0))
                        return -1;
                vec_push(&ret->rows, row);
        }
        return 0;
}

int def_index_parse(Buf *text, const char *facts, DefIndex *ret)
{
        AUTO(DefIndex) index = { .text = *text };
        char *rows;

        *text = (Buf){ 0 };
        *ret = (DefIndex){ 0 };
        buf_text(&index.text); /* ends with a NUL */
        rows = check_head(&index.text);
        if (!rows || parse_rows(rows, facts, &index) < 0)
                return -1;
        *ret = index;
        index = (DefIndex){ 0 };
        return 0;
}

const IndexRow *def_index_find(const DefIndex *index, const char *name)
{
        size_t first = 0, end = index->rows.len;

        while (first < end) {
                size_t middle = first + (end - first) / 2;
                int order = strcmp(name, index->rows.items[middle].name);

                if (order == 0)
                        return &index->rows.items[middle];
                if (order < 0)
                        end = middle;
                else
                        first = middle + 1;
        }
        return NULL;
}

void def_index_done(DefIndex *index)
{
        buf_done(&index->text);
        vec_done(&index->rows);
}

/* --- writing --- */

void def_index_begin(Buf *ret, const char *facts)
{
        buf_format(ret, MAGIC "%0*d\n%s\n", HASH_DIGITS, 0, facts);
}

void def_index_put(Buf *ret, const IndexRow *row)
{
        char uuid[UUID_TEXT_LEN + 1];

        buf_format(ret, "%s %" PRIu64 " %" PRIu64 " %" PRIi64 " %" PRIi64 " %s\n", uuid_format(&row->uuid, uuid),
                   row->stamp.inode, row->stamp.size, row->stamp.mtime_ns, row->stamp.ctime_ns, row->name);
}

void def_index_end(Buf *ret)
{
        char digits[HASH_DIGITS + 1];

        snprintf(digits, sizeof(digits), "%016" PRIx64, hash(ret->data + HEAD_LEN, ret->len - HEAD_LEN));
        memcpy(ret->data + strlen(MAGIC), digits, HASH_DIGITS);
}
