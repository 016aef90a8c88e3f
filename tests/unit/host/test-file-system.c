#include "test.h"

#include "host/file-system.h"

TEST(a_path_is_on_what_was_mounted_above_it_last)
{
        static const char table[] = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
                                    "21 20 0:40 / /srv rw,nosuid shared:1 - nfs4 server:/export rw\n"
                                    "22 21 8:2 / /srv/local rw - xfs /dev/sdb rw\n"
                                    "23 20 0:41 / /srv/my\\040images rw - nfs4 server:/images rw\n"
                                    "broken line\n";

        CHECK(!file_system_is_shared_in(table, "/var/lib/disk"));
        CHECK(file_system_is_shared_in(table, "/srv/disk"));
        CHECK(file_system_is_shared_in(table, "/srv"));
        CHECK(!file_system_is_shared_in(table, "/srv2/disk"));
        CHECK(!file_system_is_shared_in(table, "/srv/local/disk"));
        CHECK(file_system_is_shared_in(table, "/srv/my images/disk"));
}

TEST(only_local_file_systems_that_are_known_answer_at_once)
{
        static const char table[] = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
                                    "21 20 0:40 / /srv rw,nosuid shared:1 - nfs4 server:/export rw\n"
                                    "22 20 0:41 / /home rw - fuse.sshfs host: rw\n"
                                    "23 20 0:5 / /dev rw - devtmpfs udev rw\n"
                                    "24 20 0:42 / /srv/local rw - strange /dev/sdb rw\n";

        CHECK(file_system_is_prompt_in(table, "/var/lib/disk"));
        CHECK(file_system_is_prompt_in(table, "/dev/vg/disk"));
        CHECK(!file_system_is_prompt_in(table, "/srv/disk"));
        CHECK(!file_system_is_prompt_in(table, "/home/disk"));
        CHECK(!file_system_is_prompt_in(table, "/srv/local/disk"));
        CHECK(!file_system_is_prompt_in("", "/var/lib/disk"));
}

TEST(exported_is_what_is_below_an_exported_directory_MIG_20)
{
        static const char exports[] = "# a comment with /var in it\n"
                                      "/srv/images\t*(rw,sync,no_root_squash)\n"
                                      "  \"/srv/two words\" 10.0.0.0/8(rw)\n"
                                      "/srv/a\\040blank host(ro)\n"
                                      "/srv/slash/ *(ro)\n"
                                      "\\\n"
                                      "relative *(rw)\n"
                                      "\"\n";

        CHECK(file_system_is_exported_in(exports, "/srv/images"));
        CHECK(file_system_is_exported_in(exports, "/srv/images/disk.qcow2"));
        CHECK(!file_system_is_exported_in(exports, "/srv/images2/disk.qcow2"));
        CHECK(file_system_is_exported_in(exports, "/srv/two words/disk"));
        CHECK(file_system_is_exported_in(exports, "/srv/a blank/disk"));
        CHECK(file_system_is_exported_in(exports, "/srv/slash/disk"));
        CHECK(!file_system_is_exported_in(exports, "/var/disk"));
        CHECK(!file_system_is_exported_in(exports, "relative"));
        CHECK(!file_system_is_exported_in("", "/srv/images"));
}

TEST(exports_with_async_are_found_STO_32)
{
        static const char exports[] = "/srv/sync *.example.com(rw,no_root_squash,sync)\n"
                                      "/srv/async *.example.com(rw,no_root_squash,async)\n"
                                      "/srv/second host(ro,sync) other(rw,async,fsid=1)\n"
                                      "/srv/default -async,rw host other(sync)\n"
                                      "\"/srv/two words\"\t10.0.0.0/8(async)\n"
                                      "/srv/name async(rw) not-async(ro) x-async(ro) -sync\n"
                                      "/srv/said host(rw) # async(async)\n"
                                      "relative host(async)\n"
                                      "/srv/cut host(rw,asyn\n"
                                      "\"\n";
        AUTO(Buf) found = { 0 };

        file_system_find_async_in(exports, &found);
        CHECK_STR(buf_text(&found), "/srv/async\n/srv/second\n/srv/default\n/srv/two words\n");
}
