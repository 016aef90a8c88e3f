/*
 * img/vmdk-create.c - a new VMware disk: which kind, which files, and what stands in them (IMG-32)
 */
#include "img/vmdk.h"

#include "base/str.h"
#include "img/bytes.h"

#include <stdio.h>

#define SPLIT (2ULL << 30) /* where the kinds of "two GiB at most" begin another file */

/* One kind of image: its name in the descriptor and here. */
static const struct {
        const char *name;
        bool flat, split, compressed;
} subformats[] = {
        { "monolithicSparse", false, false, false },    { "monolithicFlat", true, false, false },
        { "twoGbMaxExtentSparse", false, true, false }, { "twoGbMaxExtentFlat", true, true, false },
        { "streamOptimized", false, false, true },
};

static int find_subformat(const ImageCreate *how, size_t *ret, Error *err)
{
        static const char *const adapters[] = { "ide", "buslogic", "lsilogic", "legacyESX" };
        bool known = !how->adapter_type;

        for (size_t i = 0; i < ARRAY_LEN(adapters); i++)
                known |= str_eq(how->adapter_type, adapters[i]);
        if (!known)
                return err_set(err, ERR_INVALID_ARG, "invalid parameter value: %s", how->adapter_type);
        if (how->compat6 && how->hardware_version)
                return err_set(err, ERR_INVALID_ARG, "compat6 cannot be enabled with hwversion set");
        for (size_t i = 0; i < ARRAY_LEN(subformats); i++) {
                if (!str_eq(how->subformat ?: "monolithicSparse", subformats[i].name))
                        continue;
                if (how->backing_file && (subformats[i].flat || subformats[i].compressed))
                        return err_set(err, ERR_INVALID_ARG, "%s image can't have backing file",
                                       subformats[i].flat ? "Flat" : "Compressed");
                *ret = i;
                return 0;
        }
        return err_set(err, ERR_INVALID_ARG, "invalid parameter value: %s", how->subformat);
}

static uint64_t extent_size(size_t subformat, uint64_t size)
{
        return subformats[subformat].split ? SPLIT : size;
}

int vmdk_plan_files(const ImageCreate *how, char ***ret, Error *err)
{
        const char *slash = how->path ? strrchr(how->path, '/') : NULL, *base = slash ? slash + 1 : how->path ?: "disk";
        int stem = (int)(str_ends(base, ".vmdk") ? strlen(base) - strlen(".vmdk") : strlen(base));
        uint64_t size = round_up(how->size, 512), n;
        size_t kind;

        if (find_subformat(how, &kind, err) < 0)
                return -1;
        n = subformats[kind].split ? MAX(1ULL, div_up(size, SPLIT)) : subformats[kind].flat;
        if (n > 999)
                return err_set(err, ERR_INVALID_ARG, "Image size is too large for extents of 2 GiB");
        *ret = mem_new_array(char *, n + 1);
        for (uint64_t i = 0; i < n; i++)
                (*ret)[i] = subformats[kind].split ? str_format("%.*s-%c%03d.vmdk", stem, base,
                                                                subformats[kind].flat ? 'f' : 's', (int)i + 1)
                                                   : str_format("%.*s-flat.vmdk", stem, base);
        return 0;
}

static int create_extents(const ImageCreate *how, size_t kind, Error *err)
{
        uint64_t left = round_up(how->size, 512), most = extent_size(kind, left);

        for (size_t i = 0; i < how->n_files; i++) {
                uint64_t size = MIN(left, most);

                if (image_file_truncate(how->files[i], 0, err) < 0 ||
                    (subformats[kind].flat
                             ? image_file_truncate(how->files[i], size, err)
                             : vmdk_sparse_create(how->files[i], size, false, how->zeroed_grain, NULL, err)) < 0)
                        return -1;
                left -= size;
        }
        return 0;
}

int vmdk_create(ImageFile *file, const ImageCreate *how, Error *err)
{
        const char *path = how->path ?: file->name, *slash = strrchr(path, '/');
        AUTO_STRLIST names = NULL;
        AUTOFREE char *text = NULL, *own = str_dup(slash ? slash + 1 : path);
        uint64_t size = round_up(how->size, 512);
        size_t kind, n;

        if (find_subformat(how, &kind, err) < 0 || vmdk_plan_files(how, &names, err) < 0)
                return -1;
        n = str_list_len(names);
        if (n != how->n_files)
                return err_set(err, ERR_INTERNAL, "'%s': %zu files were made for %zu extents", path, how->n_files, n);
        text = vmdk_text_make(how, subformats[kind].name, n ? names : &own, n ? n : 1, extent_size(kind, size));
        if (!n)
                return vmdk_sparse_create(file, size, subformats[kind].compressed, how->zeroed_grain, text, err);
        if (create_extents(how, kind, err) < 0)
                return -1;
        return image_file_write(file, 0, text, strlen(text), err);
}
