#include "test.h"

#include "base/permission.h"

#include <limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { OWNER = 100, QEMU = 200, STRANGER = 300, STAFF = 20, DISK = 6 };

typedef struct Acl {
        struct posix_acl_xattr_header header;
        struct posix_acl_xattr_entry entries[8];
} Acl;

/* In the order that the kernel keeps them in. */
static const Acl acl = {
        .header = { POSIX_ACL_XATTR_VERSION },
        .entries = { { ACL_USER_OBJ, 7, ACL_UNDEFINED_ID },
                     { ACL_USER, ACL_READ | ACL_WRITE, QEMU },
                     { ACL_GROUP_OBJ, ACL_READ, ACL_UNDEFINED_ID },
                     { ACL_GROUP, 0, STAFF },
                     { ACL_GROUP, ACL_READ | ACL_EXECUTE, DISK },
                     { ACL_MASK, ACL_READ | ACL_EXECUTE, ACL_UNDEFINED_ID },
                     { ACL_OTHER, ACL_EXECUTE, ACL_UNDEFINED_ID } },
};
enum { ACL_BYTES = sizeof(struct posix_acl_xattr_header) + 7 * sizeof(struct posix_acl_xattr_entry) };

static const struct stat file = { .st_mode = 0751, .st_uid = OWNER, .st_gid = 50 };

static bool may(uid_t uid, gid_t gid, gid_t other, unsigned wanted, size_t n, PermissionRule *rule)
{
        PermissionUser user = { .uid = uid, .gid = gid, .groups = &other, .n_groups = 1 };

        return permission_decide(&file, &acl, n, &user, wanted, rule);
}

TEST(without_an_acl_the_mode_decides)
{
        PermissionRule rule;

        CHECK(may(OWNER, 1, 1, R_OK | W_OK, 0, &rule));
        CHECK_STR(rule.kind, "user");
        CHECK(may(STRANGER, 1, 50, R_OK, 0, &rule));
        CHECK_STR(rule.kind, "group");
        CHECK(!may(STRANGER, 50, 1, W_OK, 0, &rule));
        CHECK(!may(STRANGER, 1, 1, R_OK, 0, &rule));
        CHECK_STR(rule.kind, "other");
        CHECK(may(STRANGER, 1, 1, X_OK, 0, &rule));
}

TEST(an_entry_with_the_users_name_decides_within_the_mask)
{
        PermissionRule rule;

        CHECK(may(QEMU, 1, 1, R_OK, ACL_BYTES, &rule));
        CHECK(!may(QEMU, 1, 1, W_OK, ACL_BYTES, &rule));
        CHECK_STR(rule.kind, "user");
        CHECK(rule.named && rule.is_masked);
        CHECK_INT(rule.id, QEMU);
        CHECK_INT(rule.mask, R_OK | X_OK);
        /* it is not asked further when that refuses */
        CHECK(!may(QEMU, DISK, 1, X_OK, ACL_BYTES, &rule));
        CHECK(may(OWNER, 1, 1, W_OK, ACL_BYTES, &rule));
}

TEST(any_group_of_the_user_may_let_it_in_and_others_are_not_asked_then)
{
        PermissionRule rule;

        CHECK(may(STRANGER, STAFF, DISK, R_OK, ACL_BYTES, &rule));
        CHECK_INT(rule.id, DISK);
        CHECK(!may(STRANGER, STAFF, 1, X_OK, ACL_BYTES, &rule));
        CHECK_STR(rule.kind, "group");
        CHECK_INT(rule.id, STAFF);
        CHECK(!may(STRANGER, 50, 1, X_OK, ACL_BYTES, &rule));
        CHECK(!rule.named);
        CHECK(may(STRANGER, 1, 1, X_OK, ACL_BYTES, &rule));
        CHECK_STR(rule.kind, "other");
}

TEST(what_is_no_acl_counts_for_nothing)
{
        PermissionRule rule;

        CHECK(!may(QEMU, 1, 1, R_OK, ACL_BYTES - 1, &rule));
        CHECK_STR(rule.kind, "other");
        CHECK(!may(QEMU, 1, 1, R_OK, 3, &rule));
}

/* What a process without rights is told of a directory with this ACL; "" where it may pass. */
static void told(const char *path, char *text, size_t room)
{
        int ends[2];
        pid_t child;
        ssize_t n;

        CHECK_INT(pipe(ends), 0);
        child = fork();
        if (child == 0) {
                if (setgid(QEMU) == 0 && setuid(QEMU) == 0 && permission_explain(path, R_OK, NULL, text, room) &&
                    write(ends[1], text, strlen(text)) < 0)
                        _exit(1);
                _exit(0);
        }
        close(ends[1]);
        n = read(ends[0], text, room - 1);
        text[n > 0 ? n : 0] = '\0';
        close(ends[0]);
        waitpid(child, NULL, 0);
}

TEST(a_directory_on_the_way_is_named_with_the_entry_that_blocks)
{
        char dir[] = "/tmp/drover-permission-XXXXXX", path[PATH_MAX], text[1024];
        struct posix_acl_xattr_entry entries[] = { { ACL_USER_OBJ, 7, ACL_UNDEFINED_ID },
                                                   { ACL_USER, ACL_EXECUTE, QEMU },
                                                   { ACL_GROUP_OBJ, 5, ACL_UNDEFINED_ID },
                                                   { ACL_MASK, ACL_READ, ACL_UNDEFINED_ID },
                                                   { ACL_OTHER, 5, ACL_UNDEFINED_ID } };
        Acl masked = { .header = { POSIX_ACL_XATTR_VERSION } };

        if (geteuid() != 0)
                skip();
        CHECK(mkdtemp(dir) != NULL);
        snprintf(path, sizeof(path), "%s/image", dir);
        told(path, text, sizeof(text));
        CHECK(strstr(text, "may not pass the directory") && strstr(text, "(mode 0700, owner 0, group 0)"));
        CHECK(!strstr(text, "ACL"));
        memcpy(masked.entries, entries, sizeof(entries));
        if (setxattr(dir, "system.posix_acl_access", &masked, sizeof(masked.header) + sizeof(entries), 0) == 0) {
                told(path, text, sizeof(text));
                CHECK(strstr(text, ": its ACL says user:200:--x, but mask::r--") != NULL);
                CHECK_INT(removexattr(dir, "system.posix_acl_access"), 0);
        }
        CHECK_INT(chmod(dir, 0755), 0);
        told(path, text, sizeof(text));
        CHECK_STR(text, "");
        CHECK(permission_suspect(dir, text, sizeof(text)));
        CHECK(strstr(text, "may not use") && strstr(text, "mode and ACL would let it"));
        CHECK_INT(rmdir(dir), 0);
}
