/*
 * host/process-file.c - how large a file is that another process holds open
 */
#include "host/process-file.h"

#include "base/mem.h"
#include "base/str.h"
#include "host/file-system.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { BYTES_A_BLOCK = 512, MOST_FDS = 512 };

static bool look(pid_t pid, int fd, ProcessFile *ret, ProcessFileSize *ret_size)
{
        AUTOFREE char *path = str_format("/proc/%d/fd/%d", pid, fd);
        struct statx stat;

        if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO | STATX_SIZE | STATX_BLOCKS, &stat) < 0)
                return false;
        *ret = (ProcessFile){ fd, makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino };
        *ret_size = (ProcessFileSize){ stat.stx_size, stat.stx_blocks * BYTES_A_BLOCK };
        return true;
}

static bool is_link_to(int dir, const char *name, const char *path)
{
        char target[PATH_MAX];
        ssize_t n = readlinkat(dir, name, target, sizeof(target));

        return n > 0 && (size_t)n == strlen(path) && memcmp(target, path, (size_t)n) == 0;
}

bool process_file_find(pid_t pid, const char *path, ProcessFile *ret)
{
        AUTOFREE char *fds = str_format("/proc/%d/fd", pid);
        ProcessFileSize size;
        DIR *dir = opendir(fds);
        struct dirent *entry;
        bool found = false;
        int fd;

        if (!dir)
                return false;
        for (unsigned i = 0; !found && i < MOST_FDS && (entry = readdir(dir)); i++) {
                /* a link shows the path without links of its own: that it is prompt holds for the file */
                if (str_to_i32(entry->d_name, &fd) < 0 || !is_link_to(dirfd(dir), entry->d_name, path))
                        continue;
                found = file_system_is_prompt(path) && look(pid, fd, ret, &size);
                break;
        }
        closedir(dir);
        return found;
}

bool process_file_look(pid_t pid, const ProcessFile *file, ProcessFileSize *ret)
{
        ProcessFile now;

        return look(pid, file->fd, &now, ret) && now.dev == file->dev && now.inode == file->inode;
}
