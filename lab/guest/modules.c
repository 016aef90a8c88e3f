/*
 * guest/modules.c - a very small modprobe
 *
 * Loading a module twice is harmless (the kernel says EEXIST), so nothing is remembered.
 */
#include "modules.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void module_load(const char *file)
{
        char path[256];
        int fd;

        snprintf(path, sizeof(path), "/modules/%s", file);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        syscall(SYS_finit_module, fd, "", 0);
        close(fd);
}

void modules_load_for(const char *modalias)
{
        static char aliases[64 * 1024];
        static size_t length;
        char line[512], *rest;

        if (!length) {
                FILE *file = fopen("/modules/aliases", "re");

                if (!file)
                        return;
                length = fread(aliases, 1, sizeof(aliases) - 1, file);
                fclose(file);
        }

        for (const char *at = aliases; *at;) {
                size_t n = strcspn(at, "\n");

                snprintf(line, sizeof(line), "%.*s", (int)n, at);
                at += n + (at[n] == '\n');

                rest = line;
                if (fnmatch(strsep(&rest, " "), modalias, 0) != 0)
                        continue;
                for (const char *file; (file = strsep(&rest, " "));)
                        module_load(file);
        }
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        char modalias[512];
        FILE *file;
        (void)st;

        if (type != FTW_F || strcmp(path + ftw->base, "modalias") != 0)
                return 0;

        file = fopen(path, "re");
        if (!file)
                return 0;
        if (fgets(modalias, sizeof(modalias), file)) {
                modalias[strcspn(modalias, "\n")] = '\0';
                modules_load_for(modalias);
        }
        fclose(file);
        return 0;
}

void modules_load_all(void)
{
        nftw("/sys/devices", visit, 16, FTW_PHYS);
}
