#include "test.h"

#include "base/str.h"
#include "host/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const RootUser nobody = { .uid = 65534, .gid = 65534 };

/* A file with this mode, owned by root; NULL where there is no root or no attributes. Removed by the caller. */
static char *make_file(mode_t mode)
{
        char *path = str_dup("/tmp/drover-test-XXXXXX");
        int fd = mkstemp(path);

        CHECK(fd >= 0);
        CHECK_INT(fchmod(fd, mode), 0);
        close(fd);
        if (getuid() != 0 || (setxattr(path, "trusted.drover.test", "x", 1, 0) < 0)) {
                unlink(path);
                free(path);
                return NULL;
        }
        return path;
}

static uid_t owner(const char *path)
{
        struct stat st;

        CHECK_INT(stat(path, &st), 0);
        return st.st_uid;
}

TEST(the_last_guest_that_used_an_image_gives_it_back_SEC_27)
{
        AUTOFREE char *path = make_file(0600);

        if (!path)
                skip();
        CHECK_INT(root_give_file(path, &nobody, true), 0);
        CHECK_INT(root_give_file(path, &nobody, true), 0);
        CHECK_INT(owner(path), 65534);
        CHECK_INT(root_take_back_file(path, &nobody), 0);
        CHECK_INT(owner(path), 65534);
        CHECK_INT(root_take_back_file(path, &nobody), 0);
        CHECK_INT(owner(path), 0);
        CHECK_INT(root_take_back_file(path, &nobody), 0);
        CHECK_INT(owner(path), 0);
        unlink(path);
}

TEST(what_its_user_can_open_anyway_keeps_its_owner)
{
        AUTOFREE char *path = make_file(0644);

        if (!path)
                skip();
        CHECK_INT(root_give_file(path, &nobody, false), 0);
        CHECK_INT(owner(path), 0);
        CHECK_INT(root_give_file(path, &nobody, true), 0);
        CHECK_INT(owner(path), 65534);
        CHECK_INT(root_take_back_file(path, &nobody), 0);
        CHECK_INT(owner(path), 0);
        unlink(path);
}

TEST(only_files_and_devices_change_hands)
{
        CHECK_INT(root_give_file("/no/such/image", &nobody, true), ENOENT);
        CHECK_INT(root_give_file("/tmp", &nobody, true), EINVAL);
        CHECK_INT(root_take_back_file("/tmp", &nobody), EINVAL);
}

TEST(who_dropped_root_cannot_get_it_back)
{
        int status;
        pid_t pid;

        if (getuid() != 0)
                skip();
        pid = fork();
        if (pid == 0)
                _exit(root_drop_to(&nobody) == 0 && getuid() == 65534 && getgid() == 65534 &&
                                      getgroups(0, NULL) == 0 && setuid(0) < 0
                              ? 0
                              : 1);
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK_INT(status, 0);
}
