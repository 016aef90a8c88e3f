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
        CHECK_INT(root_give_file(path, &nobody, "ann", true), 0);
        CHECK_INT(root_give_file(path, &nobody, "anna", true), 0);
        CHECK_INT(owner(path), 65534);
        CHECK_INT(root_take_back_file(path, &nobody, "ann"), 0);
        CHECK_INT(owner(path), 65534);
        CHECK_INT(root_take_back_file(path, &nobody, "anna"), 0);
        CHECK_INT(owner(path), 0);
        CHECK_INT(root_take_back_file(path, &nobody, "anna"), 0);
        CHECK_INT(owner(path), 0);
        unlink(path);
}

TEST(a_guest_holds_an_image_once_however_often_it_is_given)
{
        AUTOFREE char *path = make_file(0600);

        if (!path)
                skip();
        for (int i = 0; i < 3; i++) /* a daemon that was killed in between does it again */
                CHECK_INT(root_give_file(path, &nobody, "ann", true), 0);
        CHECK_INT(root_give_file(path, &nobody, "bob", true), 0);
        CHECK_INT(root_take_back_file(path, &nobody, "carl"), 0); /* was never given it */
        CHECK_INT(root_take_back_file(path, &nobody, "ann"), 0);
        CHECK_INT(root_take_back_file(path, &nobody, "ann"), 0);
        CHECK_INT(owner(path), 65534);
        CHECK_INT(root_take_back_file(path, &nobody, "bob"), 0);
        CHECK_INT(owner(path), 0);
        CHECK(getxattr(path, "trusted.drover.owner", NULL, 0) < 0);
        unlink(path);
}

TEST(an_image_that_was_noted_and_never_given_is_given_the_next_time)
{
        AUTOFREE char *path = make_file(0600);

        if (!path)
                skip();
        CHECK_INT(setxattr(path, "trusted.drover.owner", "0 0 ann", 7, 0), 0);
        CHECK_INT(root_give_file(path, &nobody, "ann", true), 0);
        CHECK_INT(owner(path), 65534);
        CHECK_INT(root_take_back_file(path, &nobody, "ann"), 0);
        CHECK_INT(owner(path), 0);
        unlink(path);
}

TEST(who_was_made_the_owner_meanwhile_stays_it)
{
        AUTOFREE char *path = make_file(0600);

        if (!path)
                skip();
        CHECK_INT(root_give_file(path, &nobody, "ann", true), 0);
        CHECK_INT(chown(path, 12345, 12345), 0);
        CHECK_INT(root_take_back_file(path, &nobody, "ann"), 0);
        CHECK_INT(owner(path), 12345);
        CHECK_INT(root_give_file(path, &nobody, "ann", true), 0);
        CHECK_INT(root_take_back_file(path, &nobody, "ann"), 0);
        CHECK_INT(owner(path), 12345);
        unlink(path);
}

TEST(more_guests_than_can_be_noted_use_one_image_all_the_same)
{
        AUTOFREE char *path = make_file(0600);

        if (!path)
                skip();
        for (int i = 0; i < 300; i++) {
                AUTOFREE char *name = str_format("3c2b1a40-0000-4000-8000-%012d", i);

                CHECK_INT(root_give_file(path, &nobody, name, false), 0);
        }
        CHECK_INT(owner(path), 65534);
        for (int i = 0; i < 300; i++) {
                AUTOFREE char *name = str_format("3c2b1a40-0000-4000-8000-%012d", i);

                CHECK_INT(root_take_back_file(path, &nobody, name), 0);
        }
        CHECK_INT(owner(path), 0);
        unlink(path);
}

TEST(what_its_user_can_open_anyway_keeps_its_owner)
{
        AUTOFREE char *path = make_file(0644);

        if (!path)
                skip();
        CHECK_INT(root_give_file(path, &nobody, "ann", false), 0);
        CHECK_INT(owner(path), 0);
        CHECK_INT(root_give_file(path, &nobody, "bob", true), 0);
        CHECK_INT(owner(path), 65534);
        CHECK_INT(root_take_back_file(path, &nobody, "ann"), 0);
        CHECK_INT(owner(path), 65534);
        CHECK_INT(root_take_back_file(path, &nobody, "bob"), 0);
        CHECK_INT(owner(path), 0);
        unlink(path);
}

TEST(only_files_and_devices_change_hands)
{
        CHECK_INT(root_give_file("/no/such/image", &nobody, "ann", true), ENOENT);
        CHECK_INT(root_give_file("/tmp", &nobody, "ann", true), EINVAL);
        CHECK_INT(root_take_back_file("/tmp", &nobody, "ann"), EINVAL);
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

TEST(an_image_with_more_holders_than_there_is_room_for_is_given_back_all_the_same)
{
        enum { MANY = 200 }; /* 37 characters each */
        AUTOFREE char *path = make_file(0600);

        if (!path)
                skip();
        for (int i = 0; i < MANY; i++) {
                AUTOFREE char *holder = str_format("%036d", i);

                CHECK_INT(root_give_file(path, &nobody, holder, false), 0);
                CHECK_INT(owner(path), 65534);
        }
        for (int i = 0; i < MANY; i++) {
                AUTOFREE char *holder = str_format("%036d", i);

                CHECK_INT(root_take_back_file(path, &nobody, holder), 0);
        }
        CHECK_INT(owner(path), 0);
        unlink(path);
}
