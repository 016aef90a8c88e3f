/*
 * img/rebase.c - put an image on another backing file, or into the one it has
 */
#include "img/rebase.h"

#include "img/bytes.h"
#include "img/copy.h"
#include "img/file.h"
#include "img/zero.h"

#include <string.h>

enum { PIECE = 1 << 20 };

typedef struct Rebase {
        Image *image, *onto;
        uint8_t *old, *new;
        size_t unit; /* what is compared and stored at once */
} Rebase;

/* Units of [at, at + n) that differ are stored in the image. */
static int store_differences(Rebase *r, uint64_t at, size_t n, Error *err)
{
        size_t from = 0;

        while (from < n) {
                size_t to = from;

                while (to < n && memcmp(r->old + to, r->new + to, MIN(r->unit, n - to)) != 0)
                        to += MIN(r->unit, n - to);
                /* Without a backing file the format may leave out what is zeros, which would then show the new one. */
                if (to > from && image_backing(r->image) && bytes_are_zero(r->old + from, to - from)) {
                        if (image_zero(r->image, at + from, to - from, IMAGE_ZERO_UNMAP, err) < 0)
                                return -1;
                } else if (to > from && image_write(r->image, at + from, r->old + from, to - from, err) < 0) {
                        return -1;
                }
                from = MAX(to, from + 1);
                from = round_up(from, r->unit);
        }
        return 0;
}

/* What shows below the image: zeros when it stands on nothing. */
static int map_old(const Rebase *r, uint64_t at, uint64_t n, ImageExtent *ret, Error *err)
{
        if (image_backing(r->image))
                return image_map_chain(image_backing(r->image), NULL, at, n, ret, err);
        *ret = (ImageExtent){ .start = at, .length = n, .zero = true };
        return 0;
}

static int read_old(const Rebase *r, uint64_t at, size_t n, Error *err)
{
        if (image_backing(r->image))
                return image_read(image_backing(r->image), at, r->old, n, err);
        memset(r->old, 0, n);
        return 0;
}

static int rebase_extent(Rebase *r, uint64_t at, uint64_t n, Error *err)
{
        while (n) {
                ImageExtent old, new;
                size_t step;

                if (map_old(r, at, n, &old, err) < 0 || image_map_chain(r->onto, NULL, at, n, &new, err) < 0)
                        return -1;
                step = (size_t)MIN(MIN(old.length, new.length), MIN(n, (uint64_t)PIECE));
                if (!old.zero || !new.zero) {
                        /* Whole units, so that nothing is stored in part. */
                        step = (size_t)MIN(round_up(step, r->unit), n);
                        step = MIN(step, (size_t)PIECE);
                        if (read_old(r, at, step, err) < 0 || image_read(r->onto, at, r->new, step, err) < 0 ||
                            store_differences(r, at, step, err) < 0)
                                return -1;
                }
                at += step;
                n -= step;
        }
        return 0;
}

static int rebase_onto(Rebase *r, ImageProgress progress, void *arg, Error *err)
{
        uint64_t size = image_size(r->image), at = 0;

        while (at < size) {
                ImageExtent extent;

                if (image_map(r->image, at, size - at, &extent, err) < 0)
                        return -1;
                if (!extent.present && rebase_extent(r, at, extent.length, err) < 0)
                        return -1;
                at += extent.length;
                if (progress && progress(arg, at, size, err) < 0)
                        return -1;
        }
        return 0;
}

int image_rebase(Image *image, Image *onto, ImageProgress progress, void *arg, Error *err)
{
        Rebase r = { .image = image, .onto = onto };
        int result;

        if (!image_backing(image) && !onto)
                return 0;
        if (!onto)
                return image_copy(image, image,
                                  &(CopyOptions){
                                          .length = image_size(image),
                                          .sparse = 4096,
                                          .target_is_zero = true,
                                          .below_only = true,
                                          .progress = progress,
                                          .progress_arg = arg,
                                  },
                                  err);
        r.unit = (size_t)MIN(MAX(image_cluster_size(image), (uint64_t)4096), (uint64_t)PIECE);
        r.old = image_buffer_try(PIECE);
        r.new = image_buffer_try(PIECE);
        if (r.old && r.new)
                result = rebase_onto(&r, progress, arg, err);
        else
                result = err_set(err, ERR_NO_MEMORY, "'%s': no memory to compare backing images", image_name(image));
        free(r.old);
        free(r.new);
        return result;
}

int image_commit(Image *image, const Image *base, Image *to, uint64_t rate, ImageProgress progress, void *arg,
                 Error *err)
{
        if (image_size(to) < image_size(image) && image_resize(to, image_size(image), PREALLOCATE_OFF, err) < 0)
                return err_prefix(err, "cannot grow the backing file");
        return image_copy(image, to,
                          &(CopyOptions){
                                  .length = image_size(image),
                                  .sparse = 4096,
                                  .until = base,
                                  .look = true,
                                  .forget = image_is_writable(image), /* it is to be emptied */
                                  .rate = rate,
                                  .progress = progress,
                                  .progress_arg = arg,
                          },
                          err);
}
