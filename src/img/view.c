/*
 * img/view.c - a part of an image as it stands in the page cache, without copying it
 *
 * What is looked at once and kept nowhere need not be copied: it is mapped.
 * On some machines that takes a third less processor time than reading, on
 * others (large folios, quick memory) twice as much, so it is tried first. The
 * kernel is made to bring in all pages at once, and says so when it cannot:
 * then reading tells what is wrong.
 */
#include "img/view.h"

#include "img/bytes.h"
#include "img/driver.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
        TRIES = 3,
        FAIR_SIZE = 256 << 10, /* what costs of less say is mostly about its beginning and end */
};

bool image_place(Image *image, uint64_t offset, size_t n, ImagePlace *ret)
{
        const ImageFile *file;
        ImageExtent extent;

        *ret = (ImagePlace){ 0 };
        do { /* down to the image that has it */
                if (image->about.encrypted || offset >= image->size ||
                    image->driver->map(image, offset, MIN(n, image->size - offset), &extent, NULL) < 0 ||
                    extent.length < n)
                        return false;
                file = extent.file ?: image->file;
                image = image->backing;
        } while (!extent.present && image);
        if (!extent.present || extent.zero || extent.compressed || !extent.has_offset || image_file_fd(file) < 0 ||
            file->align > 1 || extent.offset > INT64_MAX - n)
                return false;
        *ret = (ImagePlace){ .fd = image_file_fd(file), .at = extent.offset, .length = n };
        return true;
}

bool image_view(Image *image, uint64_t offset, size_t n, ImageView *ret)
{
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), inside;
        ImagePlace place;

        *ret = (ImageView){ 0 };
        if (!image_place(image, offset, n, &place))
                return false;
        inside = place.at % page;
        ret->length = n + (size_t)inside;
        ret->base = mmap(NULL, ret->length, PROT_READ, MAP_SHARED, place.fd, (off_t)(place.at - inside));
        if (ret->base == MAP_FAILED)
                return false;
        if (madvise(ret->base, ret->length, MADV_POPULATE_READ) < 0) {
                munmap(ret->base, ret->length);
                return false;
        }
        ret->data = (const uint8_t *)ret->base + inside;
        return true;
}

void image_view_done(ImageView *view)
{
        if (view->data)
                munmap(view->base, view->length);
        *view = (ImageView){ 0 };
}

/* All of it stands on the disk. Where the kernel cannot tell (before 6.5), it may not. */
static bool is_clean(const ImagePlace *place)
{
        struct {
                uint64_t offset, length;
        } range = { place->at, place->length };
        struct {
                uint64_t cached, dirty, on_its_way, evicted, evicted_lately;
        } found = { 0 };

        return syscall(SYSCALL_CACHESTAT, place->fd, &range, &found, 0) == 0 && !found.dirty && !found.on_its_way;
}

void image_place_forget(const ImagePlace *place)
{
        if (place->length && is_clean(place))
                posix_fadvise(place->fd, (off_t)place->at, (off_t)place->length, POSIX_FADV_DONTNEED);
}

bool view_trial_next(ViewTrial *trial)
{
        unsigned n = trial->taken;

        if (n < trial->warm_up + 2 * TRIES) {
                trial->taken++;
                return n >= trial->warm_up + TRIES;
        }
        /* Reading, until one that was looked at has been told. */
        return trial->cost[true] && trial->cost[true] < trial->cost[false];
}

void view_trial_tell(ViewTrial *trial, bool looked, uint64_t n, uint64_t cost_ns)
{
        uint64_t *best = &trial->cost[looked];

        if (n >= FAIR_SIZE) {
                uint64_t cost = MAX((uint64_t)((double)cost_ns / (double)n * (1 << 20)), (uint64_t)1);

                *best = *best ? MIN(*best, cost) : cost;
        } else if (trial->taken > 0 && (trial->taken < trial->warm_up + 2 * TRIES || !*best)) {
                trial->taken--; /* tells nothing: to be tried again with another */
        }
}

uint64_t view_clock_ns(void)
{
        struct timespec t = { 0 };

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
