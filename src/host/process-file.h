#pragma once
/*
 * host/process-file.h - how large a file is that another process holds open
 *
 * The path by which it was opened may lead elsewhere since, or to a server that hangs: it is looked at through the process.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ProcessFile {
        int fd; /* in the process */
        uint64_t dev, inode;
} ProcessFile;

typedef struct ProcessFileSize {
        uint64_t length_bytes;    /* 0 of a device */
        uint64_t allocated_bytes; /* of the file system */
} ProcessFileSize;

/*
 * Does the process hold the file of this path, and can that be looked at without waiting (file_system_is_prompt)? Only so
 * many descriptors are gone through, 512, that a process with very many costs no time: the file counts as not found then.
 */
bool process_file_find(pid_t pid, const char *path, ProcessFile *ret);
/* As it is at this moment. False when the process holds another file there by now, or none. */
bool process_file_look(pid_t pid, const ProcessFile *file, ProcessFileSize *ret);
