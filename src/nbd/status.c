/*
 * nbd/status.c - what stands where: base:allocation, qemu:allocation-depth, qemu:dirty-bitmap:NAME
 */
#include "nbd/export.h"

const char *nbd_context_name(const NbdExport *export, unsigned id)
{
        if (id == NBD_CONTEXT_ALLOCATION)
                return "base:allocation";
        if (id == NBD_CONTEXT_DEPTH)
                return export->show_depth ? "qemu:allocation-depth" : NULL;
        id -= NBD_CONTEXT_BITMAPS;
        return id < export->bitmaps.len ? export->bitmaps.items[id].context : NULL;
}

static void put(NbdExtents *extents, uint64_t length, uint32_t flags)
{
        NbdExtent *last = extents->len ? &extents->items[extents->len - 1] : NULL;

        if (last && last->flags == flags)
                last->length += (uint32_t)length; /* never more than was asked for */
        else
                vec_push(extents, ((NbdExtent){ (uint32_t)length, flags }));
}

/* The chain's word on one range of the export. */
static int look(NbdExport *export, uint64_t offset, uint64_t length, ImageExtent *ret)
{
        AUTO(Error) why = { 0 };
        int r;

        if (!export->read_only)
                ranges_take(&export->ranges, offset, length, false);
        r = image_map_chain(export->image, NULL, export->offset + offset, length, ret, &why);
        if (!export->read_only)
                ranges_give_back(&export->ranges, offset, length, false);
        return r < 0 ? nbd_export_failed(export, &why) : 0;
}

static uint32_t flags_of(const ImageExtent *extent, unsigned context)
{
        if (context == NBD_CONTEXT_DEPTH)
                return extent->present ? extent->depth + 1 : 0;
        return (extent->data ? 0U : NBD_STATE_HOLE) | (extent->zero || !extent->present ? NBD_STATE_ZERO : 0U);
}

/* The run of equal bits that the bit of `offset` is in, as bytes; at most `length`. */
static uint64_t bitmap_run(const ImageBitmapContent *bitmap, uint64_t offset, uint64_t length, bool *set)
{
        uint64_t at = offset >> bitmap->granularity_bits, last = (offset + length - 1) >> bitmap->granularity_bits;
        uint64_t i = at + 1;
        uint8_t same;

        *set = bitmap->bits[at / 8] >> at % 8 & 1;
        same = *set ? 0xff : 0;
        while (i <= last) {
                if (i % 8 == 0 && i + 8 <= last && bitmap->bits[i / 8] == same)
                        i += 8;
                else if ((bitmap->bits[i / 8] >> i % 8 & 1) == *set)
                        i++;
                else
                        return (i << bitmap->granularity_bits) - offset;
        }
        return length;
}

int nbd_export_status(NbdExport *export, unsigned context, uint64_t offset, uint64_t length, size_t most,
                      NbdExtents *ret)
{
        *ret = (NbdExtents){ 0 };
        /* Neighbours that are alike are one extent: looked at until there would be one too many. */
        while (length && ret->len <= most) {
                uint64_t run;

                if (context >= NBD_CONTEXT_BITMAPS) {
                        bool set;

                        run = bitmap_run(&export->bitmaps.items[context - NBD_CONTEXT_BITMAPS].content,
                                         export->offset + offset, length, &set);
                        put(ret, run, set);
                } else {
                        ImageExtent extent;
                        int r = look(export, offset, length, &extent);

                        if (r) {
                                vec_done(ret);
                                return r;
                        }
                        run = MIN(extent.length, length);
                        put(ret, run, flags_of(&extent, context));
                }
                offset += run;
                length -= run;
        }
        ret->len = MIN(ret->len, most);
        return 0;
}

int nbd_export_run(NbdExport *export, uint64_t offset, size_t n, bool *zero, size_t *run)
{
        *run = 0;
        while (*run < n) {
                ImageExtent extent;
                int r = look(export, offset + *run, n - *run, &extent);
                bool is_zero;

                if (r)
                        return r;
                is_zero = extent.zero || !extent.present;
                if (*run && is_zero != *zero)
                        break;
                *zero = is_zero;
                *run += (size_t)MIN(extent.length, (uint64_t)(n - *run));
        }
        return 0;
}
