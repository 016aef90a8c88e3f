/*
 * app/drover-img/new-image.c - a new image appears under its name when it is whole
 *
 * It is written beside its place and renamed at the end. Whatever happens
 * before - a full disk, an I/O error, Ctrl-C - no half image stands under the
 * final name, and an image that stood there is untouched. Devices, and targets
 * that must be kept (-n), are written in place.
 */
#include "app/drover-img/command.h"

#include "base/mem.h"
#include "base/str.h"
#include "img/lock.h"
#include "img/nbd.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

bool path_is_device(const char *path)
{
        struct stat st;

        return nbd_is_name(path) || (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

/* The files that hold the disk beside the image itself, under temporary names too. */
static int make_files(NewImage *made, ImageFormat format, ImageCreate *how, const ChainPolicy *policy, Error *err)
{
        AUTO_STRLIST names = NULL;
        AUTOFREE char *dir = directory_of(made->path);

        if (image_plan_files(format, how, &names, err) < 0)
                return -1;
        made->files = mem_new_array(ImageFile *, str_list_len(names) + 1);
        made->file_paths = mem_new_array(char *, str_list_len(names) + 1);
        made->file_temporaries = mem_new_array(char *, str_list_len(names) + 1);
        for (char **name = names; *name; name++) {
                size_t i = made->n_files;

                made->file_paths[i] = str_format("%s/%s", dir, *name);
                made->n_files++;
                made->files[i] = make_temporary(made->file_paths[i], &made->file_temporaries[i], policy, err);
                if (!made->files[i])
                        return -1;
        }
        how->files = made->files;
        how->n_files = made->n_files;
        return 0;
}

/* An image on top of a vmdk or vpc image notes what that is. */
static int look_at_parent(NewImage *made, ImageFormat format, const char *path, ImageCreate *how, Error *err)
{
        const char *name = image_format_name(format);
        AUTO(ImageFile) *file = NULL;
        AUTOFREE char *below = NULL;

        if (!how->backing_file || (format != IMAGE_FORMAT_VMDK && format != IMAGE_FORMAT_VPC))
                return 0;
        if (how->backing_format && !str_eq(how->backing_format, name))
                return err_set(err, ERR_INVALID_ARG, "Invalid backing file format: %s. Must be %s",
                               how->backing_format, name);
        below = image_path_beside(path, how->backing_file, err);
        file = below ? image_file_open(below, 0, err) : NULL;
        if (!file || image_describe(file, format, &made->parent, err) < 0)
                return -1;
        how->parent_cid = made->parent.vmdk ? made->parent.vmdk->cid : UINT32_MAX;
        how->vpc_parent = made->parent.vpc;
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

static int make_data_file(NewImage *made, ImageCreate *how, bool in_place, const ChainPolicy *policy, Error *err)
{
        if (!how->data_file_name)
                return 0;
        made->data_path = image_path_beside("", how->data_file_name, err);
        if (!made->data_path)
                return -1;
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

        made->path = str_dup(path);
        interrupt_removes(made);
        how->path = path;
        in_place = in_place || path_is_device(path);
        if (make_data_file(made, how, in_place, policy, err) < 0 ||
            look_at_parent(made, format, path, how, err) < 0 || make_files(made, format, how, policy, err) < 0)
                return NULL;
        file = in_place ? image_chain_file(path, FILE_WRITE | FILE_CREATE, policy, err)
                        : make_temporary(path, &made->temporary, policy, err);
        if (!file)
                return NULL;
        if ((made->temporary && respect_old(path, file, policy, err) < 0) ||
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

static int give_name(char **temporary, const char *path, Error *err)
{
        if (*temporary && rename(*temporary, path) < 0)
                return err_errno(err, errno, "cannot rename '%s' to '%s'", *temporary, path);
        free(TAKE(*temporary));
        return 0;
}

int new_image_keep(NewImage *made, Error *err)
{
        for (size_t i = 0; i < made->n_files; i++)
                if (give_name(&made->file_temporaries[i], made->file_paths[i], err) < 0)
                        return -1;
        if (give_name(&made->data_temporary, made->data_path, err) < 0)
                return -1;
        return give_name(&made->temporary, made->path, err);
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
