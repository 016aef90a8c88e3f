/*
 * img/view.c - a part of an image as it stands in the page cache, without copying it
 *
 * What is looked at once and kept nowhere costs a third less processor time
 * when it is mapped than when it is read. The kernel is made to bring in all
 * pages at once, and says so when it cannot: then reading tells what is wrong.
 */
#include "img/view.h"

#include "img/bytes.h"
#include "img/driver.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

bool image_view(Image *image, uint64_t offset, size_t n, ImageView *ret)
{
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), inside;
        const ImageFile *file;
        ImageExtent extent;

        *ret = (ImageView){ 0 };
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
        inside = extent.offset % page;
        ret->length = n + (size_t)inside;
        ret->base = mmap(NULL, ret->length, PROT_READ, MAP_SHARED, image_file_fd(file),
                         (off_t)(extent.offset - inside));
        if (ret->base == MAP_FAILED)
                return false;
        if (madvise(ret->base, ret->length, MADV_POPULATE_READ) < 0) {
                munmap(ret->base, ret->length);
                return false;
        }
        ret->fd = image_file_fd(file);
        ret->at = extent.offset - inside;
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
static bool is_clean(const ImageView *view)
{
        struct {
                uint64_t offset, length;
        } range = { view->at, view->length };
        struct {
                uint64_t cached, dirty, on_its_way, evicted, evicted_lately;
        } found = { 0 };

        return syscall(SYSCALL_CACHESTAT, view->fd, &range, &found, 0) == 0 && !found.dirty && !found.on_its_way;
}

void image_view_forget(ImageView *view)
{
        ImageView was = *view;

        image_view_done(view);
        if (was.data && is_clean(&was))
                posix_fadvise(was.fd, (off_t)was.at, (off_t)was.length, POSIX_FADV_DONTNEED);
}
