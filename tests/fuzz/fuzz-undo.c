/*
 * tests/fuzz/fuzz-undo.c - what an upload is said to have overwritten, from any bytes
 *
 * Whatever they are, the file does not become larger than its head says, and
 * bytes outside of it are never touched.
 */
#include "base/fd.h"
#include "fuzz.h"
#include "host/storage/undo.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 65536, HEAD = 32, INODE_AT = 8, SIZE_AT = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(Fd) kept = memfd_create("kept", MFD_CLOEXEC);
        AUTO(Fd) file = memfd_create("file", MFD_CLOEXEC);
        AUTO(Error) err = { 0 };
        struct stat st;

        if (size < HEAD || ftruncate(file, SIZE) < 0 || pwrite(file, "x", 1, SIZE / 2) != 1 || fstat(file, &st) < 0 ||
            write(kept, data, size) != (ssize_t)size ||
            pwrite(kept, &(uint64_t){ st.st_ino }, sizeof(uint64_t), INODE_AT) < 0 ||
            pwrite(kept, &(uint64_t){ SIZE }, sizeof(uint64_t), SIZE_AT) < 0 || lseek(kept, 0, SEEK_SET) < 0)
                return 0;
        undo_apply(kept, file, "file", &err);
        if (fstat(file, &st) < 0 || st.st_size != SIZE)
                abort();
        return 0;
}
