/*
 * tests/system/hold-open.c - a library to preload: a file is slow to open
 *
 * Whoever opens a path that ends with HOLD_NAME waits as long as the file HOLD_WHILE is there. Looking at such a path takes
 * no longer than ever.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int Open(const char *path, int flags, ...);

static void wait_for(const char *path)
{
        const char *name = getenv("HOLD_NAME"), *mark = getenv("HOLD_WHILE");
        size_t len = strlen(path);

        if (!name || !mark || len < strlen(name) || strcmp(path + len - strlen(name), name) != 0)
                return;
        while (access(mark, F_OK) == 0)
                usleep(10 * 1000);
}

static mode_t mode_of(int flags, va_list ap)
{
        return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
        Open *next = (Open *)dlsym(RTLD_NEXT, "open");
        va_list ap;
        mode_t mode;

        va_start(ap, flags);
        mode = mode_of(flags, ap);
        va_end(ap);
        wait_for(path);
        return next(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
        Open *next = (Open *)dlsym(RTLD_NEXT, "open64");
        va_list ap;
        mode_t mode;

        va_start(ap, flags);
        mode = mode_of(flags, ap);
        va_end(ap);
        wait_for(path);
        return next(path, flags, mode);
}
