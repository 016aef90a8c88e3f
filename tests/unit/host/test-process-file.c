#include "test.h"

#include "base/fd.h"
#include "base/str.h"
#include "host/file-system.h"
#include "host/process-file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH = 4 << 20 };

TEST(an_open_file_is_found_by_its_path_and_looked_at_as_it_is)
{
        char path[] = "/tmp/drover-test-XXXXXX";
        AUTO(Fd) fd = mkstemp(path);
        ProcessFileSize size;
        ProcessFile file;
        struct stat st;

        CHECK(fd >= 0);
        CHECK(!process_file_find(getpid(), "/tmp/drover-test", &file));
        CHECK_INT(ftruncate(fd, LENGTH), 0);
        CHECK_INT(process_file_find(getpid(), path, &file), file_system_is_prompt(path));
        if (file_system_is_prompt(path)) {
                CHECK(process_file_look(getpid(), &file, &size));
                CHECK_INT(size.length_bytes, LENGTH);
                CHECK_INT(pwrite(fd, "x", 1, LENGTH), 1);
                CHECK_INT(fstat(fd, &st), 0);
                CHECK(process_file_look(getpid(), &file, &size));
                CHECK_INT(size.length_bytes, LENGTH + 1);
                CHECK_INT(size.allocated_bytes, st.st_blocks * 512);
                CHECK(size.allocated_bytes > 0);
        }
        unlink(path);
}

TEST(another_file_in_its_place_is_noticed)
{
        AUTO(Fd) fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ProcessFile file = { .fd = fd };
        ProcessFileSize size;

        CHECK(fd >= 0);
        if (process_file_find(getpid(), "/dev/null", &file)) {
                CHECK(process_file_look(getpid(), &file, &size));
                CHECK_INT(size.length_bytes, 0);
        }
        file.inode++;
        CHECK(!process_file_look(getpid(), &file, &size));
        CHECK(!process_file_look(getpid(), &(ProcessFile){ .fd = 100000 }, &size));
}
