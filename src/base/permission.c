/*
 * base/permission.c - what keeps this process from a file
 *
 * The kernel says only that it was refused. Mode and ACL are read as acl(5) says they are applied; where they would have
 * let the process in, a security module or the server of the file system did not.
 */
#include "base/permission.h"

#include "base/auto.h"
#include "base/str.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MOST_ACL_BYTES = 4096, MOST_GROUPS = 256, MOST_LABEL = 256 };

typedef struct posix_acl_xattr_entry AclEntry;
typedef struct posix_acl_xattr_header AclHeader;

/* --- mode and ACL --- */

static bool is_member(const PermissionUser *user, gid_t group)
{
        if (user->gid == group)
                return true;
        for (size_t i = 0; i < user->n_groups; i++) {
                if (user->groups[i] == group)
                        return true;
        }
        return false;
}

static bool has_acl(const void *acl, size_t n)
{
        AclHeader header;

        if (n < sizeof(header) + sizeof(AclEntry) || (n - sizeof(header)) % sizeof(AclEntry))
                return false;
        memcpy(&header, acl, sizeof(header));
        return le32toh(header.a_version) == POSIX_ACL_XATTR_VERSION;
}

/* Entry i, in the host's order; false: there are no more. */
static bool entry_at(const void *acl, size_t n, size_t i, AclEntry *ret)
{
        size_t at = sizeof(AclHeader) + i * sizeof(*ret);

        if (at + sizeof(*ret) > n)
                return false;
        memcpy(ret, (const char *)acl + at, sizeof(*ret));
        ret->e_tag = le16toh(ret->e_tag);
        ret->e_perm = le16toh(ret->e_perm) & (ACL_READ | ACL_WRITE | ACL_EXECUTE);
        ret->e_id = le32toh(ret->e_id);
        return true;
}

static bool grants(const PermissionRule *rule, unsigned wanted)
{
        return (wanted & ~(rule->is_masked ? rule->allows & rule->mask : rule->allows)) == 0;
}

/* Whether an entry is about a user who does not own the file, and as what it is written. */
static bool concerns(const AclEntry *entry, const struct stat *st, const PermissionUser *user, PermissionRule *ret)
{
        bool by_name = entry->e_tag == ACL_USER && entry->e_id == user->uid;
        bool by_group = (entry->e_tag == ACL_GROUP && is_member(user, entry->e_id)) ||
                        (entry->e_tag == ACL_GROUP_OBJ && is_member(user, st->st_gid));

        if (!by_name && !by_group)
                return false;
        *ret = (PermissionRule){ .kind = by_name ? "user" : "group",
                                 .named = entry->e_tag != ACL_GROUP_OBJ,
                                 .id = entry->e_id,
                                 .allows = entry->e_perm };
        return true;
}

/* The entry that decides: by name, else the group that grants it, else one that does not. false: none is about the user. */
static bool find_entry(const struct stat *st, const void *acl, size_t n, const PermissionUser *user, unsigned wanted,
                       PermissionRule *ret)
{
        bool has_mask = false, found = false, by_name = false, granted = false;
        unsigned mask = 0;
        PermissionRule rule;
        AclEntry entry;

        for (size_t i = 0; entry_at(acl, n, i, &entry); i++) {
                if (entry.e_tag == ACL_MASK) {
                        has_mask = true;
                        mask = entry.e_perm;
                }
        }
        for (size_t i = 0; entry_at(acl, n, i, &entry) && !by_name; i++) {
                if (!concerns(&entry, st, user, &rule))
                        continue;
                rule.is_masked = has_mask;
                rule.mask = mask;
                by_name = entry.e_tag == ACL_USER;
                if (by_name || !found || (!granted && grants(&rule, wanted)))
                        *ret = rule;
                found = true;
                granted = granted || grants(&rule, wanted);
        }
        return found;
}

bool permission_decide(const struct stat *st, const void *acl, size_t n, const PermissionUser *user, unsigned wanted,
                       PermissionRule *ret)
{
        unsigned mode = st->st_mode;
        bool listed = has_acl(acl, n);

        if (user->uid == st->st_uid) {
                *ret = (PermissionRule){ .kind = "user", .allows = mode >> 6 & 7 };
        } else if (!listed || !find_entry(st, acl, n, user, wanted, ret)) {
                /* with an ACL, the mode's middle bits are its mask */
                if (!listed && is_member(user, st->st_gid))
                        *ret = (PermissionRule){ .kind = "group", .allows = mode >> 3 & 7 };
                else
                        *ret = (PermissionRule){ .kind = "other", .allows = mode & 7 };
        }
        return grants(ret, wanted);
}

/* --- in words --- */

typedef struct Words {
        char *text;
        size_t room, len;
} Words;

static void put(Words *words, const char *fmt, ...) PRINTF(2, 3);
static void put(Words *words, const char *fmt, ...)
{
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(words->text + words->len, words->room - words->len, fmt, ap);
        va_end(ap);
        if (n > 0)
                words->len = MIN(words->len + (size_t)n, words->room - 1);
}

static void put_bits(Words *words, unsigned bits)
{
        put(words, "%c%c%c", bits & R_OK ? 'r' : '-', bits & W_OK ? 'w' : '-', bits & X_OK ? 'x' : '-');
}

static void put_rule(Words *words, const PermissionRule *rule, unsigned wanted)
{
        put(words, ": its ACL says %s:", rule->kind);
        if (rule->named)
                put(words, "%u", rule->id);
        put(words, ":");
        put_bits(words, rule->allows);
        if (rule->is_masked && !(wanted & ~rule->allows)) {
                put(words, ", but mask::");
                put_bits(words, rule->mask);
        }
}

/* The first line of a file; text is "" when there is none. */
static void read_line(const char *path, char text[MOST_LABEL])
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, MOST_LABEL - 1);

        if (fd >= 0)
                close(fd);
        text[MAX(n, 0)] = '\0';
        text[strcspn(text, "\n")] = '\0';
}

/* Which other rules this process is under. */
static void put_module(Words *words, const char *path)
{
        char enforces[MOST_LABEL], own[MOST_LABEL], label[MOST_LABEL];
        ssize_t n;

        put(words, ": mode and ACL would let it, ");
        read_line("/sys/fs/selinux/enforce", enforces);
        if (str_eq(enforces, "1")) {
                read_line("/proc/self/attr/current", own);
                n = getxattr(path, "security.selinux", label, sizeof(label) - 1);
                label[MAX(n, 0)] = '\0';
                put(words,
                    "SELinux does not let %s near %s; restorecon gives the path the label that the policy has for it",
                    own, *label ? label : "what has no label");
                return;
        }
        read_line("/proc/self/attr/apparmor/current", own);
        if (*own && !str_eq(own, "unconfined"))
                put(words, "the AppArmor profile %s does not", own);
        else
                put(words, "the file system or its server does not");
}

/* wanted 0: it is known already that mode and ACL allow it. */
static bool explain_one(const char *path, unsigned wanted, const char *what, Words *words)
{
        char acl[MOST_ACL_BYTES];
        gid_t groups[MOST_GROUPS];
        PermissionUser user = { .uid = geteuid(), .gid = getegid(), .groups = groups };
        PermissionRule rule;
        struct stat st;
        int n_groups = getgroups(MOST_GROUPS, groups);
        ssize_t n;

        if (stat(path, &st) < 0)
                return false;
        user.n_groups = n_groups > 0 ? (size_t)n_groups : 0;
        n = getxattr(path, "system.posix_acl_access", acl, sizeof(acl));
        put(words, "may not %s '%s' (mode %04o, owner %u, group %u)", what, path, st.st_mode & 07777U, st.st_uid,
            st.st_gid);
        /* root is asked for neither */
        if (user.uid == 0 || permission_decide(&st, acl, n > 0 ? (size_t)n : 0, &user, wanted, &rule))
                put_module(words, path);
        else if (n > 0)
                put_rule(words, &rule, wanted);
        return true;
}

bool permission_explain(const char *path, unsigned wanted, char *at, char *text, size_t room)
{
        Words words = { .text = text, .room = room };
        char dir[PATH_MAX];

        for (const char *slash = strchr(path + 1, '/'); slash && slash - path < PATH_MAX;
             slash = strchr(slash + 1, '/')) {
                memcpy(dir, path, (size_t)(slash - path));
                dir[slash - path] = '\0';
                if (access(dir, X_OK) == 0 || errno != EACCES)
                        continue;
                if (at)
                        memcpy(at, dir, (size_t)(slash - path) + 1);
                return explain_one(dir, X_OK, "pass the directory", &words);
        }
        if (strlen(path) >= PATH_MAX || access(path, (int)wanted) == 0 || errno != EACCES)
                return false;
        if (at)
                memcpy(at, path, strlen(path) + 1);
        return explain_one(path, wanted, wanted & W_OK ? "write" : wanted & R_OK ? "read" : "pass", &words);
}

bool permission_suspect(const char *path, char *text, size_t room)
{
        Words words = { .text = text, .room = room };

        return explain_one(path, 0, "use", &words);
}
