#include "test.h"

#include "img/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 1 << 20, FROM = 256 << 10, TO = 320 << 10 };

/*
 * The linker puts these before the C library's: a file system that calls [FROM, TO) a hole until it is written, as
 * some do with data that is on its way to the disk.
 */
off64_t __real_lseek64(int fd, off64_t offset, int whence);
off64_t __wrap_lseek64(int fd, off64_t offset, int whence);
int __real_sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags);
int __wrap_sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags);

static bool lying;

off64_t __wrap_lseek64(int fd, off64_t offset, int whence)
{
        if (lying && whence == SEEK_DATA && offset >= FROM && offset < TO)
                offset = TO;
        if (lying && whence == SEEK_HOLE && offset < FROM)
                return FROM;
        return __real_lseek64(fd, offset, whence);
}

int __wrap_sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags)
{
        if (offset < TO && offset + n > FROM)
                lying = false;
        return __real_sync_file_range(fd, offset, n, flags);
}

static ImageFile *file_with(const char *bytes, Error *err)
{
        char path[] = "holes-XXXXXX";
        int fd = mkstemp(path);

        CHECK(fd >= 0);
        unlink(path);
        CHECK_INT(ftruncate(fd, 2 * SIZE), 0);
        if (bytes)
                CHECK_INT(pwrite(fd, bytes, SIZE, 0), SIZE);
        return image_file_from_fd(fd, "holes", false, err);
}

TEST(data_on_its_way_to_the_disk_is_no_hole)
{
        static char bytes[SIZE];
        AUTO(Error) err = { 0 };
        AUTO(ImageFile) *file = NULL;
        FileExtentKind kind;
        uint64_t length;

        memset(bytes, 'x', sizeof(bytes));
        file = file_with(bytes, &err);
        lying = true;
        CHECK_INT(image_file_extent(file, 0, &kind, &length, &err), 0);
        CHECK_INT(kind, FILE_EXTENT_DATA);
        CHECK_INT(length, FROM);
        CHECK_INT(image_file_extent(file, FROM, &kind, &length, &err), 0);
        CHECK_INT(kind, FILE_EXTENT_DATA);
        CHECK_INT(length, SIZE - FROM);
        CHECK(!lying);
}

TEST(a_hole_is_a_hole)
{
        AUTO(Error) err = { 0 };
        AUTO(ImageFile) *file = file_with(NULL, &err);
        FileExtentKind kind;
        uint64_t length;

        CHECK_INT(image_file_extent(file, 4096, &kind, &length, &err), 0);
        CHECK_INT(kind, FILE_EXTENT_HOLE);
        CHECK_INT(length, 2 * SIZE - 4096);
}
