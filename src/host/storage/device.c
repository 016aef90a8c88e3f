/*
 * host/storage/device.c - what pools on devices have in common
 */
#include "host/storage/backend.h"

#include "base/map.h"
#include "base/str.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
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

/* --- names that stay --- */

enum { SETTLED_S = 2, UNSETTLED_MS = 100 };

/*
 * Where the links of a directory lead to. They are many, and are asked for once for each of as many devices; so they
 * are read again only when the directory has changed, or may have within what its times tell apart.
 */
static struct {
        char *dir;
        struct stat st;
        struct timespec read_at;
        bool settled; /* it had not changed for so long then that a change shows */
        Map *names;   /* of a node: owned text, the path of the first link to it */
} links;

static int64_t ms_since(const struct timespec *when)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)(now.tv_sec - when->tv_sec) * 1000 + (now.tv_nsec - when->tv_nsec) / 1000000;
}

static bool links_are_current(const char *dir)
{
        struct stat st;

        if (!str_eq(links.dir, dir) || stat(dir, &st) < 0 || st.st_ino != links.st.st_ino ||
            st.st_dev != links.st.st_dev || st.st_mtim.tv_sec != links.st.st_mtim.tv_sec ||
            st.st_mtim.tv_nsec != links.st.st_mtim.tv_nsec)
                return false;
        return links.settled || ms_since(&links.read_at) < UNSETTLED_MS;
}

static void forget_links(void)
{
        size_t at = 0;

        for (void *text; links.names && (text = map_next(links.names, &at));)
                free(text);
        links.names = map_free(links.names);
}

static void read_links(const char *path)
{
        struct timespec now;
        DIR *dir;

        forget_links();
        links.names = map_new();
        str_replace(&links.dir, path);
        clock_gettime(CLOCK_MONOTONIC, &links.read_at);
        clock_gettime(CLOCK_REALTIME, &now);
        if (stat(path, &links.st) < 0)
                str_replace(&links.dir, NULL);
        links.settled = links.st.st_mtim.tv_sec < now.tv_sec - SETTLED_S;
        dir = opendir(path);
        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                AUTOFREE char *link = str_format("%s/%s", path, entry->d_name);
                AUTOFREE char *node = entry->d_type == DT_LNK ? realpath(link, NULL) : NULL;

                if (node && !map_find_text(links.names, node))
                        map_put_text(links.names, node, TAKE(link));
        }
        if (dir)
                closedir(dir);
}

char *storage_stable_path(const PoolDef *pool, const char *node)
{
        const char *target = pool->target_path;

        if (!target || str_eq(target, "/dev"))
                return str_dup(node);
        if (!links_are_current(target))
                read_links(target);
        return str_dup(map_find_text(links.names, node));
}

void storage_settle(void)
{
        if (access("/run/udev/control", F_OK) == 0)
                STORAGE_RUN(NULL, NULL, "udevadm", "settle");
}
