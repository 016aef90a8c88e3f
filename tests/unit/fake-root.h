#pragma once
/*
 * tests/unit/fake-root.h - a directory that looks like a machine's /: files of /sys, /proc and /etc that a test puts there
 *
 * One at a time in a program; its path is fake_root. Whoever makes it removes it.
 */
#include "base/file.h"
#include "base/str.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char fake_root[64];

static inline void fake_root_make(void)
{
        snprintf(fake_root, sizeof(fake_root), "/tmp/drover-test-XXXXXX");
        CHECK(mkdtemp(fake_root));
}

static inline void fake_root_remove(void)
{
        AUTOFREE char *command = str_format("rm -rf %s", fake_root);

        CHECK_INT(system(command), 0);
}

/* The path below the root, in a directory that is there. Owned. */
static inline char *fake_root_place(const char *path)
{
        char *full = str_format("%s%s", fake_root, path);
        AUTOFREE char *dir = str_dup_n(full, (size_t)(strrchr(full, '/') - full));

        CHECK_INT(dir_make(dir, 0755, NULL), 0);
        return full;
}

static inline void fake_root_put(const char *path, const char *text)
{
        AUTOFREE char *full = fake_root_place(path);

        CHECK_INT(file_write_atomic(full, text, strlen(text), 0755, NULL), 0);
}

static inline void fake_root_link(const char *path, const char *target)
{
        AUTOFREE char *full = fake_root_place(path);

        CHECK_INT(symlink(target, full), 0);
}
