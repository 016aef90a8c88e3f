/*
 * img/chain.c - open an image with all that stands below it
 */
#include "img/chain.h"

#include "base/str.h"
#include "img/lock.h"
#include "img/nbd.h"
#include "img/part.h"

enum { DEEPEST_CHAIN = 200 };

static const char below_failed[] = "Could not open backing file";

bool image_name_is_options(const char *name)
{
        return str_starts(name, "json:");
}

char *image_path_beside(const char *image_path, const char *name, Error *err)
{
        const char *slash = strrchr(image_path, '/'), *colon = strchr(name, ':'), *first = strchr(name, '/');

        if (nbd_is_name(name) || image_name_is_options(name))
                return str_dup(name);
        if (str_starts(name, "file:"))
                name += strlen("file:");
        else if (colon && (!first || colon < first)) {
                err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s' names '%s', which is not a file of this host",
                        image_path, name);
                return NULL;
        }
        if (name[0] == '/' || !slash)
                return str_dup(name);
        return str_format("%.*s/%s", (int)(slash - image_path), image_path, name);
}

ImageFile *image_chain_file(const char *path, unsigned flags, const ChainPolicy *policy, Error *err)
{
        AUTO(ImageFile) *file = NULL;

        if (nbd_is_name(path) && !policy->may_connect) {
                err_set(err, ERR_OPERATION_DENIED, "'%s' is on a server, and none may be talked to here", path);
                return NULL;
        }
        flags |= (policy->direct ? FILE_DIRECT : 0) | (policy->sync ? FILE_SYNC : 0);
        file = image_file_open(path, flags, err);
        if (!file)
                return NULL;
        file->skip_flush = policy->skip_flush;
        if (!policy->no_locks && image_file_lock(file, flags & FILE_WRITE, err) < 0)
                return NULL;
        return TAKE(file);
}

static int authorise(const ChainPolicy *policy, const char *by, const char *path, Error *err)
{
        if (policy->untrusted)
                return err_set(err, ERR_OPERATION_DENIED, "'%s' is not trusted and names another file, '%s'", by,
                               path);
        if (nbd_is_name(path) && !policy->may_connect)
                return err_set(err, ERR_OPERATION_DENIED, "'%s' names '%s', which is not a file of this host", by,
                               path);
        return policy->authorise ? policy->authorise(policy->authorise_arg, by, path, err) : 0;
}

/* The files that the header names as holding parts of the disk. */
static int attach_files(Image *image, unsigned flags, const ChainPolicy *policy, Error *err)
{
        const ImageDescription *about = image_description(image);
        /* As QEMU has it: a relative name in qcow2 starts at the working directory, others are beside the image. */
        const char *beside = image_format(image) == IMAGE_FORMAT_QCOW2 ? "" : image_name(image);

        for (size_t i = 0; i < about->data_files.len; i++) {
                AUTOFREE char *path = image_path_beside(beside, about->data_files.items[i], err);
                ImageFile *file;

                if (!path || authorise(policy, image_name(image), path, err) < 0)
                        return -1;
                if (policy->headers_only && image_format(image) == IMAGE_FORMAT_QCOW2)
                        continue;
                file = image_chain_file(path, flags & IMAGE_WRITE ? FILE_WRITE : 0, policy, err);
                if (!file)
                        return -1;
                if (image_attach(image, i, file, err) < 0) {
                        image_file_close(file);
                        return -1;
                }
        }
        return 0;
}

static bool is_known(const uint8_t id[16])
{
        static const uint8_t unknown[16];

        return memcmp(id, unknown, sizeof(unknown)) != 0;
}

/* A vhdx image notes the parent's id, perhaps two of which one must fit. */
static bool vhdx_fits(const VhdxDescription *above, const VhdxDescription *below)
{
        bool noted = false;

        for (size_t i = 0; above && below && i < ARRAY_LEN(above->parent_id); i++) {
                if (is_known(above->parent_id[i]) && memcmp(above->parent_id[i], below->data_id, 16) == 0)
                        return true;
                noted |= is_known(above->parent_id[i]);
        }
        return !noted;
}

/* A vmdk image notes what its parent held; a parent that was written since shows something else through it. */
static int check_parent(const Image *image, const Image *backing, Error *err)
{
        const VmdkDescription *child = image_description(image)->vmdk, *parent = image_description(backing)->vmdk;
        const VpcDescription *above = image_description(image)->vpc, *below = image_description(backing)->vpc;

        if (!vhdx_fits(image_description(image)->vhdx, image_description(backing)->vhdx) ||
            (above && below && is_known(above->parent_id) &&
             memcmp(above->parent_id, below->footer + VPC_AT_ID, sizeof(above->parent_id)) != 0))
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s' was made on top of another image than '%s': their ids differ", image_name(image),
                               image_name(backing));
        if (!child || !parent || child->parent_cid == parent->cid)
                return 0;
        return err_set(
                err, ERR_OPERATION_FAILED,
                "'%s' was made on another content of '%s' (its CID was %08x and is %08x): it was written since",
                image_name(image), image_name(backing), child->parent_cid, parent->cid);
}

static int format_below(const ImageDescription *about, const char *path, const ChainPolicy *policy, ImageFormat *ret,
                        Error *err)
{
        AUTO(ImageFile) *file = NULL;

        if (about->backing_format)
                return image_format_or_protocol(about->backing_format, ret, err);
        if (!policy->probe_unnamed)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the format of the backing file '%s' is not recorded",
                               path);
        file = image_file_open(path, 0, err);
        return file ? image_probe(file, ret, err) : -1;
}

/* A raw file whose last sector is not whole is shown with the rest of it, where that is wanted. */
static int fill_last_sector(ImageFile **file, const ChainPolicy *policy, Error *err)
{
        ImageFile *shown;
        uint64_t size;

        if (!policy->whole_sectors)
                return 0;
        if (image_file_size(*file, &size, err) < 0)
                return -1;
        shown = size % 512 ? image_part_open(*file, &(ImagePart){ 0 }, err) : *file;
        if (!shown)
                return -1;
        *file = shown;
        return 0;
}

/* Takes the file. */
static Image *open_in(ImageFile *opened, ImageFormat format, unsigned flags, const ChainPolicy *policy, Error *err)
{
        AUTO(ImageFile) *file = opened;
        AUTO(Image) *image = NULL;

        if (format == IMAGE_FORMAT_RAW && fill_last_sector(&file, policy, err) < 0)
                return NULL;
        image = image_open(file, format, flags, err);
        if (!image)
                return NULL;
        file = NULL;
        return attach_files(image, flags, policy, err) < 0 ? NULL : TAKE(image);
}

static Image *open_one(const char *path, ImageFormat format, unsigned flags, const ChainPolicy *policy, Error *err)
{
        ImageFile *file = image_chain_file(path, flags & IMAGE_WRITE ? FILE_WRITE : 0, policy, err);

        return file ? open_in(file, format, flags, policy, err) : NULL;
}

static Image *open_options(const Image *by, const char *options, const ChainPolicy *policy, unsigned depth,
                           Error *err)
{
        ChainPolicy deeper = *policy;

        if (!policy->open_options) {
                err_set(err, ERR_OPERATION_UNSUPPORTED, "'%s' names '%s', which is not a file of this host",
                        image_name(by), options);
                return NULL;
        }
        deeper.depth = depth + 1;
        return policy->open_options(&deeper, options, image_description(by)->backing_format, err);
}

/* What the header of `above`, which stands below `top`, names. */
static Image *open_below(const Image *above, const Image *top, unsigned depth, const ChainPolicy *policy, Error *err)
{
        const ImageDescription *about = image_description(above);
        AUTOFREE char *below = image_path_beside(image_name(above), about->backing_file, err);
        bool loop = policy->depth + depth >= DEEPEST_CHAIN;
        ImageFormat format;
        Image *ret;

        if (!below || authorise(policy, image_name(above), below, err) < 0)
                return NULL;
        for (const Image *each = top; each; each = image_backing(each))
                loop |= str_eq(image_name(each), below);
        if (loop) {
                err_set(err, ERR_OPERATION_FAILED, "the backing chain of '%s' has a loop at '%s'", image_name(top),
                        below);
                return NULL;
        }
        if (image_name_is_options(below))
                ret = open_options(above, below, policy, policy->depth + depth, err);
        else if (format_below(about, below, policy, &format, err) < 0)
                return NULL;
        else
                ret = open_one(below, format, 0, policy, err);
        if (ret && about->backing_format && image_name_is_protocol(about->backing_format) &&
            image_set_protocol(ret, about->backing_format, err) < 0)
                ret = image_free(ret);
        if (!ret && err && !str_starts(err->text, below_failed))
                err_prefix(err, "%s", below_failed);
        return ret;
}

/* Takes the image, also when what stands below it cannot be opened. */
static Image *open_chain(Image *image, const ChainPolicy *policy, Error *err)
{
        AUTO(Image) *top = image;
        Image *lowest = top;

        for (unsigned depth = 0; lowest && !policy->skip_backing; depth++) {
                Image *backing;

                /* What options name was opened with all that is below it. */
                if (image_backing(lowest) || !image_description(lowest)->backing_file)
                        return TAKE(top);
                backing = open_below(lowest, top, depth, policy, err);
                if (!backing)
                        return NULL;
                if (check_parent(lowest, backing, err) < 0) {
                        image_free(backing);
                        return NULL;
                }
                image_set_backing(lowest, backing);
                lowest = backing;
        }
        return TAKE(top);
}

Image *image_chain_open(const char *path, ImageFormat format, unsigned flags, const ChainPolicy *policy, Error *err)
{
        return open_chain(open_one(path, format, flags, policy, err), policy, err);
}

Image *image_chain_open_file(ImageFile *file, ImageFormat format, unsigned flags, const ChainPolicy *policy,
                             Error *err)
{
        return open_chain(open_in(file, format, flags, policy, err), policy, err);
}

int image_look_at_parent(ImageDescription *parent, ImageFormat format, const char *path, ImageCreate *how, Error *err)
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
        if (!file || image_describe(file, format, parent, err) < 0)
                return -1;
        how->parent_cid = parent->vmdk ? parent->vmdk->cid : UINT32_MAX;
        how->vpc_parent = parent->vpc;
        return 0;
}
