#pragma once
/*
 * img/lock.h - tell QEMU, and be told by it, that an image is in use
 *
 * QEMU marks what it does with an image, and what it tolerates from others, by
 * locks on single bytes of the file that belong to the open file description.
 * Taking the same ones makes an image that a guest has open refused here, and
 * the reverse. The locks go with the descriptor.
 */
#include "img/file.h"

/* Files that are no files on this host are left alone. */
int image_file_lock(ImageFile *file, bool write, Error *err);
/*
 * The same for who overwrites the bytes of a file, whatever they are an image of: refused while somebody does not share
 * writing. Never blocks; fd is open for writing, and what is locked lasts as long as it.
 */
int image_fd_lock_bytes(int fd, const char *name, Error *err);
