/*
 * app/drover-img/describe-chain.c - what an image and all below it are, for the daemon
 *
 * Everything is given up but opening files for reading before a header is looked at. A raw image is never read:
 * its format is what the definition says, and what a guest wrote into it means nothing. What lies below is in the
 * format that the image above records, or the chain is refused.
 */
#include "app/drover-img/describe-chain.h"

#include "base/json-write.h"
#include "base/str.h"
#include "img/chain.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEPEST_CHAIN = 200 };

typedef struct Layer {
        char *path;
        ImageFormat format;
        struct stat st;
        uint64_t length; /* of the file or device */
        ImageDescription what;
        bool is_data; /* holds the data of the layer before it */
        bool closed;  /* not to us: root is nobody on some servers, and QEMU's user may still get in */
} Layer;

typedef VEC(Layer) Layers;

static void layers_done(Layers *layers)
{
        for (size_t i = 0; i < layers->len; i++) {
                free(layers->items[i].path);
                image_description_done(&layers->items[i].what);
        }
        vec_done(layers);
}
DEFINE_AUTO_VALUE(Layers, layers_done)

/* The first directory on the way that is not there, or NULL. Owned. */
static char *missing_directory(const char *path)
{
        struct stat st;

        for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                AUTOFREE char *dir = str_dup_n(path, (size_t)(slash - path));

                if (stat(dir, &st) < 0)
                        return TAKE(dir);
        }
        return NULL;
}

static int look_at_file(const char *path, struct stat *st, Error *err)
{
        AUTOFREE char *missing = NULL;
        int errnum;

        if (path[0] != '/')
                return err_set(err, ERR_INVALID_ARG, "'%s' is not an absolute path", path);
        if (stat(path, st) == 0) {
                if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
                        return 0;
                return err_set(err, ERR_OPERATION_FAILED, "'%s' is %s, not a disk image", path,
                               S_ISDIR(st->st_mode)   ? "a directory"
                               : S_ISCHR(st->st_mode) ? "a character device"
                                                      : "a pipe or socket");
        }
        errnum = errno;
        missing = missing_directory(path);
        if (errnum == ENOENT && missing)
                return err_set(err, ERR_OPERATION_FAILED, "'%s' does not exist: there is no directory '%s'", path,
                               missing);
        if (errnum == ENOENT)
                return err_set(err, ERR_OPERATION_FAILED, "'%s' does not exist", path);
        return err_errno(err, errnum, "'%s' cannot be reached%s%s%s", path, missing ? " below '" : "", missing ?: "",
                         missing ? "'" : "");
}

static int look_at_layer(Layer *layer, Error *err)
{
        AUTO(ImageFile) *file = NULL;

        layer->what.format = layer->format;
        layer->closed = access(layer->path, R_OK) < 0 && errno == EACCES;
        if (layer->closed) {
                if (stat(layer->path, &layer->st) < 0)
                        layer->st = (struct stat){ 0 };
                return 0;
        }
        if (look_at_file(layer->path, &layer->st, err) < 0)
                return -1;
        file = image_file_open(layer->path, 0, err);
        if (!file || image_file_size(file, &layer->length, err) < 0)
                return -1;
        layer->what.virtual_size = layer->length;
        if (layer->format == IMAGE_FORMAT_RAW)
                return 0;
        if (image_describe(file, layer->format, &layer->what, err) < 0)
                return -1;
        if (layer->what.corrupt)
                return err_set(err, ERR_OPERATION_FAILED,
                               "'%s' is marked as damaged; repair it with: drover-img check -r all '%s'", layer->path,
                               layer->path);
        return 0;
}

/* The layer below, as the one above names it. 0: there is none. */
static int name_below(const Layer *above, Layer *below, Error *err)
{
        const ImageDescription *what = &above->what;

        if (!what->backing_file)
                return 0;
        below->path = image_path_beside(above->path, what->backing_file, err);
        if (!below->path)
                return -1;
        if (!what->backing_format)
                return err_set(
                        err, ERR_OPERATION_INVALID,
                        "'%s' does not record the format of its backing file '%s', and it is not guessed; record "
                        "it with: drover-img rebase -u -b '%s' -F FORMAT '%s'",
                        above->path, below->path, what->backing_file, above->path);
        return image_format_from_name(what->backing_format, &below->format, err) < 0 ? -1 : 1;
}

static bool is_there(const Layers *layers, const struct stat *st)
{
        for (size_t i = 0; i < layers->len; i++) {
                if (st->st_ino && layers->items[i].st.st_dev == st->st_dev &&
                    layers->items[i].st.st_ino == st->st_ino)
                        return true;
        }
        return false;
}

static int add_data_files(Layers *layers, const Layer *of, Error *err)
{
        for (size_t i = 0; of->format == IMAGE_FORMAT_QCOW2 && i < of->what.data_files.len; i++) {
                Layer data = { .format = IMAGE_FORMAT_RAW, .is_data = true };

                /* as QEMU has it: a relative name starts at the working directory, which is / */
                data.path = image_path_beside("/.", of->what.data_files.items[i], err);
                if (!data.path || look_at_layer(&data, err) < 0) {
                        free(data.path);
                        return err_prefix(err, "the file with the data of '%s'", of->path);
                }
                vec_push(layers, data);
        }
        return 0;
}

static int walk(const char *path, ImageFormat format, Layers *layers, Error *err)
{
        Layer layer = { .path = str_dup(path), .format = format };

        for (;;) {
                Layer below = { 0 };
                bool loops;
                int more;

                if (look_at_layer(&layer, err) < 0) {
                        free(layer.path);
                        return layers->len ? err_prefix(err, "the backing file of '%s'",
                                                        layers->items[layers->len - 1].path)
                                           : -1;
                }
                loops = layers->len >= DEEPEST_CHAIN || is_there(layers, &layer.st);
                vec_push(layers, layer);
                if (loops)
                        return err_set(err, ERR_OPERATION_FAILED, "the backing chain of '%s' has a loop at '%s'",
                                       path, layer.path);
                more = name_below(&layer, &below, err);
                if (more <= 0 || add_data_files(layers, &layer, err) < 0) {
                        free(below.path);
                        return more == 0 ? add_data_files(layers, &layer, err) : -1;
                }
                layer = below;
        }
}

void describe_chain(const char *path, ImageFormat format, JsonWriter *w)
{
        AUTO(Layers) layers = { 0 };
        AUTO(Error) err = { 0 };

        json_open_object(w, NULL);
        if (walk(path, format, &layers, &err) < 0) {
                json_put_text(w, "error", err.text);
                json_put_bool(w, "missing", !layers.len && access(path, F_OK) < 0 && errno == ENOENT);
        }
        json_open_array(w, "layers");
        for (size_t i = 0; i < layers.len; i++) {
                const Layer *l = &layers.items[i];

                json_open_object(w, NULL);
                json_put_text(w, "path", l->path);
                json_put_text(w, "format", image_format_name(l->format));
                json_put_u64(w, "device", l->st.st_dev);
                json_put_u64(w, "inode", l->st.st_ino);
                json_put_u64(w, "block-device", S_ISBLK(l->st.st_mode) ? l->st.st_rdev : 0);
                json_put_u64(w, "virtual-size", l->what.virtual_size);
                json_put_u64(w, "length", l->length);
                json_put_u64(w, "allocated", S_ISBLK(l->st.st_mode) ? l->length : (uint64_t)l->st.st_blocks * 512);
                json_put_bool(w, "data", l->is_data);
                json_put_bool(w, "closed", l->closed);
                json_close_object(w);
        }
        json_close_array(w);
        json_close_object(w);
}
