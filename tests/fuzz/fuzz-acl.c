/*
 * tests/fuzz/fuzz-acl.c - an ACL of a file from any bytes
 *
 * The first byte says what is wanted, and of whom. What decides is a kind of rule, and it is as the answer says.
 */
#include "base/permission.h"
#include "base/str.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const gid_t groups[] = { 7, 9 };
        unsigned wanted = size ? data[0] & 7 : 0, who = size ? data[0] >> 3 & 3 : 0;
        PermissionUser user = { .uid = who, .gid = who + 6, .groups = groups, .n_groups = ARRAY_LEN(groups) };
        struct stat st = { .st_mode = 0751, .st_uid = 1, .st_gid = 8 };
        PermissionRule rule = { 0 };
        unsigned held;
        bool may;

        if (!size)
                return 0;
        may = permission_decide(&st, data + 1, size - 1, &user, wanted, &rule);
        held = rule.is_masked ? rule.allows & rule.mask : rule.allows;
        if ((!str_eq(rule.kind, "user") && !str_eq(rule.kind, "group") && !str_eq(rule.kind, "other")) ||
            rule.allows > 7 || rule.mask > 7 || may != !(wanted & ~held))
                abort();
        return 0;
}
