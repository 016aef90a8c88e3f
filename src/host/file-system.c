/*
 * host/file-system.c - what is known about file systems without touching them
 */
#include "host/file-system.h"

#include "base/file.h"
#include "base/str.h"

enum { LARGEST_TABLE = 16 * 1024 * 1024 };

static const char *const shared_types[] = { "nfs",   "nfs4",   "cifs",      "smb3",   "gfs2",
                                            "ocfs2", "ceph",   "afs",       "lustre", "fuse.glusterfs",
                                            "gpfs",  "beegfs", "fuse.ceph", "9p",     "virtiofs",
                                            NULL };
/* Of these the kernel has what it tells of a file in memory. */
static const char *const prompt_types[] = {
        "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "devtmpfs", NULL
};

static bool is_one_of(const char *const *types, const char *type)
{
        for (; *types; types++) {
                if (str_eq(type, *types))
                        return true;
        }
        return false;
}

/* Is path at or below this mount point? */
static bool is_below(const char *path, const char *mount)
{
        size_t n = strlen(mount);

        if (str_eq(mount, "/"))
                return true;
        return strncmp(path, mount, n) == 0 && (path[n] == '/' || !path[n]);
}

/* "\\040" stands for an octet in octal, where it would end a word. */
static void put_octet(const char **at, Buf *ret)
{
        const char *c = *at;

        if (c[0] == '\\' && strspn(c + 1, "01234567") >= 3) {
                buf_put_char(ret, (char)((c[1] - '0') * 64 + (c[2] - '0') * 8 + (c[3] - '0')));
                *at += 4;
        } else {
                buf_put_char(ret, *c);
                *at += 1;
        }
}

/* A line of mountinfo: "id parent dev root MOUNTPOINT options [optional] - TYPE source options" */
static bool is_on_one_of(const char *const *types, const char *mountinfo, const char *path)
{
        AUTO_STRLIST lines = str_split(mountinfo, "\n");
        size_t longest = 0;
        bool found = false;

        for (char **line = lines; *line; line++) {
                AUTO_STRLIST words = str_split(*line, " ");
                size_t n = str_list_len(words), dash = 5;
                AUTO(Buf) mount = { 0 };

                while (dash < n && !str_eq(words[dash], "-"))
                        dash++;
                if (n < 6 || dash + 1 >= n)
                        continue;
                for (const char *at = words[4]; *at;)
                        put_octet(&at, &mount);
                /* later mounts cover earlier ones of the same place */
                if (is_below(path, buf_text(&mount)) && mount.len >= longest) {
                        longest = mount.len;
                        found = is_one_of(types, words[dash + 1]);
                }
        }
        return found;
}

bool file_system_is_shared_in(const char *mountinfo, const char *path)
{
        return is_on_one_of(shared_types, mountinfo, path);
}

bool file_system_is_prompt_in(const char *mountinfo, const char *path)
{
        return is_on_one_of(prompt_types, mountinfo, path);
}

static bool read_mounts(Buf *ret)
{
        return file_read("/proc/self/mountinfo", LARGEST_TABLE, ret, NULL) == 0;
}

bool file_system_is_shared(const char *path)
{
        AUTO(Buf) table = { 0 };

        return read_mounts(&table) && file_system_is_shared_in(buf_text(&table), path);
}

bool file_system_is_prompt(const char *path)
{
        AUTO(Buf) table = { 0 };

        return read_mounts(&table) && file_system_is_prompt_in(buf_text(&table), path);
}

/* The first word of a line of exports: in quotes where it holds blanks. Returns what comes after it. */
static const char *put_exported(const char *line, Buf *ret)
{
        bool quoted;

        line += strspn(line, " \t");
        quoted = *line == '"';
        for (line += quoted; *line && (quoted ? *line != '"' : !strchr(" \t#", *line));)
                put_octet(&line, ret);
        return quoted && *line ? line + 1 : line;
}

bool file_system_is_exported_in(const char *exports, const char *path)
{
        AUTO_STRLIST lines = str_split(exports, "\n");

        for (char **line = lines; *line; line++) {
                AUTO(Buf) exported = { 0 };

                put_exported(*line, &exported);
                while (exported.len > 1 && exported.data[exported.len - 1] == '/')
                        exported.data[--exported.len] = '\0';
                if (exported.len && exported.data[0] == '/' && is_below(path, buf_text(&exported)))
                        return true;
        }
        return false;
}

/* What is exported now, and what will be. */
static const char *const tables[] = { "/var/lib/nfs/etab", "/etc/exports" };

bool file_system_is_exported(const char *path)
{
        for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
                AUTO(Buf) text = { 0 };

                if (file_read(tables[i], LARGEST_TABLE, &text, NULL) == 0 &&
                    file_system_is_exported_in(buf_text(&text), path))
                        return true;
        }
        return false;
}

/* Whether the option stands among those of any client, "host(rw,async)", or of all, "-async". */
static bool has_option(const char *clients, const char *wanted)
{
        size_t n = strlen(wanted);
        bool options = false;

        for (const char *at = clients; *at && *at != '#';) {
                size_t word = strcspn(at, " \t(),#");

                if (*at == '-' && !options) {
                        options = true;
                        at++;
                        continue;
                }
                if (options && word == n && strncmp(at, wanted, n) == 0)
                        return true;
                at += word;
                if (*at == '(')
                        options = true;
                else if (*at == ')' || *at == ' ' || *at == '\t')
                        options = false;
                at += *at && *at != '#';
        }
        return false;
}

void file_system_find_async_in(const char *exports, Buf *ret)
{
        AUTO_STRLIST lines = str_split(exports, "\n");

        for (char **line = lines; *line; line++) {
                AUTO(Buf) exported = { 0 };
                const char *clients = put_exported(*line, &exported);

                if (exported.len && exported.data[0] == '/' && has_option(clients, "async"))
                        buf_format(ret, "%s\n", buf_text(&exported));
        }
}

void file_system_find_async(Buf *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
                AUTO(Buf) text = { 0 };

                if (file_read(tables[i], LARGEST_TABLE, &text, NULL) == 0 && text.len) {
                        file_system_find_async_in(buf_text(&text), ret);
                        return;
                }
        }
}
