/*
 * app/drover-img/new-image.c - a new image appears under its name when it is whole
 *
 * It is written beside its place and renamed at the end. Whatever happens
 * before - a full disk, an I/O error, Ctrl-C - no half image stands under the
 * final name, and an image that stood there is untouched. Devices, and targets
 * that must be kept (-n), are written in place. A symbolic link stays: the new
 * file stands where it leads.
 */
#include "app/drover-img/command.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/lock.h"
#include "img/nbd.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINKS = 40 };

/* What stands under the final name must not be in use; its owner and mode go over to the new file. */
static int respect_old(const char *path, ImageFile *file, const ChainPolicy *policy, Error *err)
{
        AUTO(ImageFile) *old = NULL;
        struct stat st;

        if (stat(path, &st) < 0)
                return 0;
        if (!policy->no_locks) {
                old = image_file_open(path, FILE_WRITE, err);
                if (!old || image_file_lock(old, true, err) < 0)
                        return -1;
        }
        if (fchmod(image_file_fd(file), st.st_mode & 0777) < 0 ||
            (geteuid() == 0 && fchown(image_file_fd(file), st.st_uid, st.st_gid) < 0))
                return err_errno(err, errno, "cannot give the new file the owner of '%s'", path);
        return 0;
}

/*
 * A file under a name beside path that nobody has: what stands there may be somebody's, may lead elsewhere, and may
 * hold what would then be in the image. *ret: its name, owned.
 */
static ImageFile *make_temporary(const char *path, char **ret, const ChainPolicy *policy, Error *err)
{
        AUTOFREE char *name = str_format("%s.%d.part", path, (int)getpid());
        struct stat st;

        for (unsigned n = 1; lstat(name, &st) == 0; n++) {
                free(TAKE(name));
                name = str_format("%s.%d.%u.part", path, (int)getpid(), n);
        }
        *ret = TAKE(name); /* before it is there: a signal may come that removes it */
        return image_chain_file(*ret, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, policy, err);
}

char *path_behind_links(const char *path)
{
        AUTOFREE char *at = str_dup(path);
        char next[4096];

        for (int links = 0; links < MOST_LINKS; links++) {
                ssize_t n = readlink(at, next, sizeof(next) - 1);
                AUTOFREE char *dir = directory_of(at);
                struct stat st;

                /* A link that somebody else put into a directory for all the system does not let us follow. */
                if (n < 0 || (stat(at, &st) < 0 && errno == EACCES))
                        break;
                next[n] = '\0';
                free(at);
                at = next[0] == '/' ? str_dup(next) : str_format("%s/%s", dir, next);
        }
        return TAKE(at);
}

bool path_is_device(const char *path)
{
        struct stat st;

        return nbd_is_name(path) || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

/* The files that hold the disk beside the image itself, under temporary names too. */
static int make_files(NewImage *made, ImageFormat format, ImageCreate *how, const ChainPolicy *policy, Error *err)
{
        AUTO_STRLIST names = NULL;
        AUTOFREE char *dir = directory_of(how->path); /* there they are looked for, also when that is a link */

        if (image_plan_files(format, how, &names, err) < 0)
                return -1;
        made->files = mem_new_array(ImageFile *, str_list_len(names) + 1);
        made->file_paths = mem_new_array(char *, str_list_len(names) + 1);
        made->file_temporaries = mem_new_array(char *, str_list_len(names) + 1);
        for (char **name = names; *name; name++) {
                size_t i = made->n_files;

                AUTOFREE char *path = str_format("%s/%s", dir, *name);

                made->file_paths[i] = path_behind_links(path);
                made->n_files++;
                made->files[i] = make_temporary(made->file_paths[i], &made->file_temporaries[i], policy, err);
                if (!made->files[i])
                        return -1;
        }
        how->files = made->files;
        how->n_files = made->n_files;
        return 0;
}

static int attach_files(NewImage *made, Image *image, Error *err)
{
        for (size_t i = 0; i < made->n_files; i++) {
                if (image_attach(image, i, made->files[i], err) < 0)
                        return -1;
                made->files[i] = NULL;
        }
        if (made->data_file && image_attach(image, 0, made->data_file, err) < 0)
                return -1;
        made->data_file = NULL;
        return 0;
}

/* What the file system may not know is of no consequence, as with qemu-img. */
static void set_hints(const ImageFile *file, const ImageCreate *how)
{
        struct fsxattr attributes;
        int fd = image_file_fd(file), flags;

        if (how->nocow && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
                flags |= FS_NOCOW_FL;
                ioctl(fd, FS_IOC_SETFLAGS, &flags);
        }
        if (how->extent_size_hint && how->extent_size_hint <= UINT32_MAX &&
            ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0) {
                attributes.fsx_xflags |= FS_XFLAG_EXTSIZE;
                attributes.fsx_extsize = (uint32_t)how->extent_size_hint;
                ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
        }
}

static int make_data_file(NewImage *made, ImageCreate *how, bool in_place, const ChainPolicy *policy, Error *err)
{
        AUTOFREE char *path = NULL;

        if (!how->data_file_name)
                return 0;
        path = image_path_beside("", how->data_file_name, err);
        if (!path)
                return -1;
        made->data_path = path_behind_links(path);
        if (!in_place && !path_is_device(made->data_path))
                made->data_file = make_temporary(made->data_path, &made->data_temporary, policy, err);
        else
                made->data_file = image_chain_file(made->data_path, FILE_WRITE | FILE_CREATE, policy, err);
        how->data_file = made->data_file;
        if (!made->data_file)
                return -1;
        return made->data_temporary ? respect_old(made->data_path, made->data_file, policy, err) : 0;
}

Image *new_image_make(NewImage *made, const char *path, ImageFormat format, ImageCreate *how, bool in_place,
                      const ChainPolicy *policy, Error *err)
{
        AUTO(Image) *image = NULL;
        ImageFile *file;

        made->path = path_behind_links(path);
        made->durable = !policy->skip_flush;
        interrupt_removes(made);
        how->path = path;
        in_place = in_place || path_is_device(path);
        if (make_data_file(made, how, in_place, policy, err) < 0 ||
            image_look_at_parent(&made->parent, format, path, how, err) < 0 ||
            make_files(made, format, how, policy, err) < 0)
                return NULL;
        file = in_place ? image_chain_file(path, FILE_WRITE | FILE_CREATE, policy, err)
                        : make_temporary(made->path, &made->temporary, policy, err);
        if (!file)
                return NULL;
        if (made->temporary)
                set_hints(file, how);
        if ((made->temporary && respect_old(made->path, file, policy, err) < 0) ||
            image_create(file, format, how, err) < 0) {
                image_file_close(file);
                return NULL;
        }
        image = image_open(file, format, IMAGE_WRITE, err);
        if (!image) {
                image_file_close(file);
                return NULL;
        }
        return attach_files(made, image, err) < 0 ? NULL : TAKE(image);
}

/* durable: the file is flushed, and so is its name when this returns. */
static int give_name(char **temporary, const char *path, bool durable, Error *err)
{
        if (!*temporary)
                return 0;
        if (rename(*temporary, path) < 0)
                return err_errno(err, errno, "cannot rename '%s' to '%s'", *temporary, path);
        free(TAKE(*temporary));
        return durable ? file_sync_directory(path, err) : 0;
}

int new_image_keep(NewImage *made, Error *err)
{
        for (size_t i = 0; i < made->n_files; i++)
                if (give_name(&made->file_temporaries[i], made->file_paths[i], made->durable, err) < 0)
                        return -1;
        if (give_name(&made->data_temporary, made->data_path, made->durable, err) < 0)
                return -1;
        return give_name(&made->temporary, made->path, made->durable, err);
}

void new_image_unlink(const NewImage *made)
{
        if (made->temporary)
                unlink(made->temporary);
        if (made->data_temporary)
                unlink(made->data_temporary);
        for (size_t i = 0; i < made->n_files; i++)
                if (made->file_temporaries[i])
                        unlink(made->file_temporaries[i]);
}

void new_image_done(NewImage *made)
{
        new_image_unlink(made);
        interrupt_removes(NULL);
        for (size_t i = 0; i < made->n_files; i++) {
                image_file_close(made->files[i]);
                free(made->file_paths[i]);
                free(made->file_temporaries[i]);
        }
        free(made->files);
        free(made->file_paths);
        free(made->file_temporaries);
        image_file_close(made->data_file);
        free(made->data_path);
        free(made->data_temporary);
        image_description_done(&made->parent);
        free(made->temporary);
        free(made->path);
        *made = (NewImage){ 0 };
}
