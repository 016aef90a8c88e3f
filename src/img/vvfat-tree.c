/*
 * img/vvfat-tree.c - the files of a directory, with their names and entries in FAT
 *
 * Each file has a short name of eight and three characters; where that is not
 * its name, entries before it spell the name in pieces of thirteen characters.
 */
#include "img/vvfat-tree.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/bytes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
        MOST_FILES = 1 << 16,
        DEEPEST = 32,
        PIECE = 13,
        LONGEST = 255,
        ATTRIBUTE_LONG = 0x0f,
        ATTRIBUTE_LABEL = 0x08,
        ATTRIBUTE_DIRECTORY = 0x10,
        ATTRIBUTE_ARCHIVE = 0x20,
        LAST_PIECE = 0x40,
        FIRST_YEAR = 80,
        LAST_YEAR = 207,
};

FatNode *fat_node_free(FatNode *node)
{
        if (!node)
                return NULL;
        for (size_t i = 0; i < node->children.len; i++)
                fat_node_free(node->children.items[i]);
        vec_done(&node->children);
        free(node->path);
        free(node->name);
        free(node);
        return NULL;
}

static FatNode *node_new(FatNode *parent, const char *path, const char *name, const struct stat *st)
{
        FatNode *node = mem_new(FatNode);

        node->path = str_dup(path);
        node->name = str_dup(name);
        node->directory = S_ISDIR(st->st_mode);
        node->size = node->directory ? 0 : (uint32_t)st->st_size;
        node->changed = st->st_mtime;
        node->parent = parent;
        if (parent)
                vec_push(&parent->children, node);
        return node;
}

static int by_name(const void *a, const void *b)
{
        return strcmp((*(FatNode *const *)a)->name, (*(FatNode *const *)b)->name);
}

/* Characters that a short name may have. */
static bool is_plain(char c)
{
        return isupper((unsigned char)c) || isdigit((unsigned char)c) || (c && strchr("!#$%&'()-@^_`{}~", c));
}

static bool put_short(const char *name, char ret[FAT_SHORT_NAME])
{
        const char *dot = strrchr(name, '.');
        size_t stem = dot && dot != name ? (size_t)(dot - name) : strlen(name), n = 0, extension = 0;
        bool same = stem <= 8;

        memset(ret, ' ', FAT_SHORT_NAME);
        for (size_t i = 0; i < stem; i++) {
                char c = (char)toupper((unsigned char)name[i]);

                same &= is_plain(name[i]);
                if (c != '.' && c != ' ' && n < 8)
                        ret[n++] = is_plain(c) ? c : '_';
        }
        for (const char *c = name[stem] ? name + stem + 1 : ""; *c; c++) {
                same &= is_plain(*c) && extension < 3;
                if (extension < 3)
                        ret[8 + extension++] = is_plain((char)toupper((unsigned char)*c))
                                                       ? (char)toupper((unsigned char)*c)
                                                       : '_';
        }
        return same && n;
}

/* Short names, each once in its directory: NAME~1 where the name itself cannot be one. */
static void choose_short_names(FatNode *directory)
{
        AUTO(Map) *taken = map_new();

        for (size_t i = 0; i < directory->children.len; i++) {
                FatNode *node = directory->children.items[i];
                char key[FAT_SHORT_NAME + 1] = { 0 }, tail[12];
                bool same = put_short(node->name, node->short_name);

                memcpy(key, node->short_name, FAT_SHORT_NAME);
                for (unsigned number = 1; !same || map_find_text(taken, key); number++) {
                        size_t n = (size_t)snprintf(tail, sizeof(tail), "~%u", number), stem = 0;

                        while (stem < 8 - n && node->short_name[stem] != ' ')
                                stem++;
                        memcpy(key, node->short_name, FAT_SHORT_NAME);
                        memset(key + stem, ' ', 8 - stem);
                        memcpy(key + stem, tail, n);
                        same = true;
                }
                memcpy(node->short_name, key, FAT_SHORT_NAME);
                map_put_text(taken, key, node);
        }
}

static int add_entry(FatNode *directory, const char *name, unsigned depth, size_t *count, Error *err);

static int read_directory(FatNode *directory, unsigned depth, size_t *count, Error *err)
{
        DIR *stream = opendir(directory->path);
        struct dirent *entry;
        int r = 0;

        if (!stream)
                return err_errno(err, errno, "cannot open the directory '%s'", directory->path);
        if (depth > DEEPEST)
                r = err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s' is more than %d directories deep", directory->path,
                            DEEPEST);
        while (r == 0 && (entry = readdir(stream)))
                if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
                        r = add_entry(directory, entry->d_name, depth, count, err);
        closedir(stream);
        if (directory->children.len)
                qsort(directory->children.items, directory->children.len, sizeof(FatNode *), by_name);
        choose_short_names(directory);
        return r;
}

static int add_entry(FatNode *directory, const char *name, unsigned depth, size_t *count, Error *err)
{
        AUTOFREE char *path = str_format("%s/%s", directory->path, name);
        struct stat st;
        FatNode *node;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : err_errno(err, errno, "cannot look at '%s'", path);
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
                return 0;
        if (++*count > MOST_FILES)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "a FAT disk of over %d files is not made here",
                               MOST_FILES);
        if (S_ISREG(st.st_mode) && st.st_size > UINT32_MAX)
                return err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s' is too large for FAT: at most 4 GiB", path);
        node = node_new(directory, path, name, &st);
        return node->directory ? read_directory(node, depth + 1, count, err) : 0;
}

FatNode *fat_tree_read(const char *directory, Error *err)
{
        AUTO(FatNode) *root = NULL;
        struct stat st;
        size_t count = 0;

        if (stat(directory, &st) < 0 || !S_ISDIR(st.st_mode)) {
                err_errno(err, S_ISDIR(st.st_mode) ? errno : ENOTDIR, "cannot show '%s' as a FAT disk", directory);
                return NULL;
        }
        root = node_new(NULL, directory, "", &st);
        return read_directory(root, 0, &count, err) < 0 ? NULL : TAKE(root);
}

/* One character of UTF-8; what is none is a question mark. */
static uint32_t next_character(const char **text)
{
        const uint8_t *p = (const uint8_t *)*text;
        unsigned more = p[0] < 0x80             ? 0
                        : (p[0] & 0xe0) == 0xc0 ? 1
                        : (p[0] & 0xf0) == 0xe0 ? 2
                        : (p[0] & 0xf8) == 0xf0 ? 3
                                                : 9;
        uint32_t c = more == 0 ? p[0] : p[0] & (0x3f >> more);

        for (unsigned i = 1; more < 9 && i <= more; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        more = 9;
                else
                        c = c << 6 | (p[i] & 0x3f);
        }
        *text += more < 9 ? 1 + more : 1;
        return more < 9 ? c : '?';
}

static size_t to_utf16(const char *name, uint16_t units[LONGEST])
{
        size_t n = 0;

        while (*name && n < LONGEST - 1) {
                uint32_t c = next_character(&name);

                if (c >= 0x10000) {
                        units[n++] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
                        c = 0xdc00 + ((c - 0x10000) & 0x3ff);
                }
                units[n++] = (uint16_t)c;
        }
        return n;
}

static bool needs_long(const FatNode *node)
{
        char is[FAT_SHORT_NAME];

        return !put_short(node->name, is) || memcmp(is, node->short_name, sizeof(is)) != 0;
}

static size_t entries_of(const FatNode *node)
{
        uint16_t units[LONGEST];

        return 1 + (needs_long(node) ? div_up(to_utf16(node->name, units), PIECE) : 0);
}

uint32_t fat_directory_size(const FatNode *node)
{
        size_t n = node->parent ? 2 : 1; /* "." and "..", or the label */

        for (size_t i = 0; i < node->children.len; i++)
                n += entries_of(node->children.items[i]);
        return (uint32_t)(n * FAT_ENTRY);
}

static uint8_t *put_entry(uint8_t *at, const char name[FAT_SHORT_NAME], unsigned attribute, const FatNode *node,
                          uint32_t cluster)
{
        struct tm tm;
        uint16_t date, clock;

        localtime_r(&node->changed, &tm);
        tm.tm_year = MAX(FIRST_YEAR, MIN(LAST_YEAR, tm.tm_year));
        date = (uint16_t)((tm.tm_year - FIRST_YEAR) << 9 | (tm.tm_mon + 1) << 5 | tm.tm_mday);
        clock = (uint16_t)(tm.tm_hour << 11 | tm.tm_min << 5 | MIN(tm.tm_sec, 59) / 2);
        memcpy(at, name, FAT_SHORT_NAME);
        at[11] = (uint8_t)attribute;
        store_le16(at + 14, clock);
        store_le16(at + 16, date);
        store_le16(at + 18, date);
        store_le16(at + 20, (uint16_t)(cluster >> 16));
        store_le16(at + 22, clock);
        store_le16(at + 24, date);
        store_le16(at + 26, (uint16_t)cluster);
        store_le32(at + 28, attribute & ATTRIBUTE_ARCHIVE ? node->size : 0);
        return at + FAT_ENTRY;
}

/* The pieces of a long name, the last one first. */
static uint8_t *put_long(uint8_t *at, const FatNode *node)
{
        static const uint8_t places[PIECE] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
        uint16_t units[LONGEST];
        size_t n = to_utf16(node->name, units), pieces = div_up(n, PIECE);
        uint8_t sum = 0;

        for (size_t i = 0; i < FAT_SHORT_NAME; i++)
                sum = (uint8_t)((sum << 7 | sum >> 1) + (uint8_t)node->short_name[i]);
        for (size_t piece = pieces; piece > 0; piece--) {
                at[0] = (uint8_t)(piece | (piece == pieces ? LAST_PIECE : 0));
                at[11] = ATTRIBUTE_LONG;
                at[13] = sum;
                for (size_t i = 0; i < PIECE; i++) {
                        size_t unit = (piece - 1) * PIECE + i;

                        store_le16(at + places[i], unit < n ? units[unit] : unit == n ? 0 : 0xffff);
                }
                at += FAT_ENTRY;
        }
        return at;
}

void fat_directory_put(const FatNode *node, const char label[FAT_SHORT_NAME], uint8_t *data)
{
        static const char here[] = ".          ", above[] = "..         ";

        if (node->parent) {
                data = put_entry(data, here, ATTRIBUTE_DIRECTORY, node, node->cluster);
                data = put_entry(data, above, ATTRIBUTE_DIRECTORY, node->parent,
                                 node->parent->parent ? node->parent->cluster : 0);
        } else {
                data = put_entry(data, label, ATTRIBUTE_LABEL, node, 0);
        }
        for (size_t i = 0; i < node->children.len; i++) {
                const FatNode *child = node->children.items[i];

                if (needs_long(child))
                        data = put_long(data, child);
                data = put_entry(data, child->short_name, child->directory ? ATTRIBUTE_DIRECTORY : ATTRIBUTE_ARCHIVE,
                                 child, child->cluster);
        }
}
