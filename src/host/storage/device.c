/*
 * host/storage/device.c - what pools on devices have in common
 */
#include "host/storage/backend.h"

#include "base/str.h"

#include <dirent.h>
#include <unistd.h>

/* blkid: 0 it found something, 2 nothing is there; 8 it found too much. */
int storage_find_content(const char *device, char **ret, Error *err)
{
        enum { FOUND = 0, NOTHING = 2, AMBIGUOUS = 8 };
        AUTO(Buf) found = { 0 };
        int status;

        *ret = NULL;
        if (STORAGE_ASK(&found, &status, err, "blkid", "-p", "-o", "value", "-s", "TYPE", "-s", "PTTYPE", device) < 0)
                return -1;
        if (status == NOTHING)
                return 0;
        if (status != FOUND && status != AMBIGUOUS)
                return err_set(err, ERR_OPERATION_FAILED,
                               "blkid cannot tell what '%s' holds: it exited with status %d", device, status);
        if (found.len)
                found.data[strcspn(found.data, "\n")] = '\0';
        *ret = str_dup(found.len ? buf_text(&found) : "something that cannot be told");
        return 0;
}

int storage_check_blank(const char *device, Error *err)
{
        AUTOFREE char *content = NULL;

        if (storage_find_content(device, &content, err) < 0)
                return -1;
        return content ? err_set(err, ERR_OPERATION_INVALID,
                                 "'%s' already holds %s; build it with --overwrite to lose that", device, content)
                       : 0;
}

char *storage_stable_path(const PoolDef *pool, const char *node)
{
        const char *target = pool->target_path;
        char *found = NULL;
        DIR *dir;

        if (!target || str_eq(target, "/dev"))
                return str_dup(node);
        dir = opendir(target);
        for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
                AUTOFREE char *path = str_format("%s/%s", target, entry->d_name);
                AUTOFREE char *real = entry->d_type == DT_LNK ? realpath(path, NULL) : NULL;

                if (str_eq(real, node))
                        found = TAKE(path);
        }
        if (dir)
                closedir(dir);
        return found;
}

void storage_settle(void)
{
        if (access("/run/udev/control", F_OK) == 0)
                STORAGE_RUN(NULL, NULL, "udevadm", "settle");
}
