#include "test.h"

#include "host/storage/volume.h"

#include "base/fd.h"
#include "base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pool in a directory of its own. */
typedef struct Scene {
        char *dir;
        PoolDef *pool;
} Scene;

static void scene_init(Scene *s)
{
        char template[] = "/tmp/drover-volume-XXXXXX";
        AUTOFREE char *xml = NULL;

        s->dir = str_dup(mkdtemp(template));
        xml = str_format("<pool type='dir'><name>p</name><target><path>%s</path></target></pool>", s->dir);
        CHECK_INT(pool_def_parse(xml, strlen(xml), 0, &s->pool, NULL, NULL), 0);
}

static void scene_done(Scene *s)
{
        AUTOFREE char *command = str_format("rm -rf %s", s->dir);

        CHECK_INT(system(command), 0);
        pool_def_unref(s->pool);
        free(s->dir);
}
DEFINE_AUTO_VALUE(Scene, scene_done)

static void make_volume(const Scene *s, const char *target, struct stat *ret)
{
        AUTOFREE char *xml = str_format("<volume><name>v</name><capacity>4096</capacity><target>%s</target></volume>",
                                        target);
        AUTOFREE char *path = str_format("%s/v", s->dir);
        AUTO(VolumeDef) *def = NULL;
        AUTO(Error) err = { 0 };
        VolumeMake make = { .pool = s->pool };

        CHECK_INT(volume_def_parse(xml, strlen(xml), 0, &def, NULL, &err), 0);
        make.wanted = def;
        if (volume_make(&make, &err) < 0)
                fail_msg("%s", err.text);
        CHECK_INT(stat(path, ret), 0);
}

TEST(a_directory_has_the_owner_and_mode_that_its_definition_says)
{
        static const char permissions[] = "<permissions><mode>0775</mode><owner>1234</owner><group>2345</group>"
                                          "</permissions>";
        AUTOFREE char *target = str_format("<format type='dir'/>%s", getuid() ? "" : permissions);
        AUTO(Scene) s = { 0 };
        struct stat st;

        scene_init(&s);
        make_volume(&s, target, &st);
        CHECK(S_ISDIR(st.st_mode));
        CHECK_INT(st.st_mode & 07777, getuid() ? 0711 : 0775);
        if (getuid() == 0) {
                CHECK_INT(st.st_uid, 1234);
                CHECK_INT(st.st_gid, 2345);
        }
}

TEST(a_name_with_a_line_break_is_no_volume_however_it_is_looked_at)
{
        AUTO(VolumeDef) *def = NULL;
        AUTOFREE char *path = NULL;
        AUTO(Scene) s = { 0 };
        int fd;

        scene_init(&s);
        path = str_format("%s/a\nb", s.dir);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        close(fd);
        CHECK_INT(storage_dir.look(s.pool, "a\nb", &def, NULL), 0);
        CHECK_NULL(def);
}

/* One piece of data and, if it is whole, the end of the stream. */
static int upload(const char *path, const char *data, bool whole, Error *err)
{
        uint8_t head[VOLUME_PIECE_HEAD] = { VOLUME_PIECE_DATA };
        AUTO(Fd) from = -1;
        AUTO(Fd) to = -1;
        int ends[2];

        CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
        from = ends[0];
        to = ends[1];
        head[VOLUME_PIECE_HEAD - 1] = (uint8_t)strlen(data);
        CHECK_INT(fd_write_all(to, head, sizeof(head), NULL), 0);
        CHECK_INT(fd_write_all(to, data, strlen(data), NULL), 0);
        head[VOLUME_PIECE_HEAD - 1] = 0;
        if (whole)
                CHECK_INT(fd_write_all(to, head, sizeof(head), NULL), 0);
        fd_close(&to);
        return volume_receive(path, 0, 0, from, err);
}

TEST(an_upload_through_a_link_that_broke_off_can_be_repeated)
{
        AUTOFREE char *path = NULL, *target = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Scene) s = { 0 };
        char is[16] = { 0 };
        int fd;

        scene_init(&s);
        path = str_format("%s/link", s.dir);
        target = str_format("%s/file", s.dir);
        fd = open(target, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK_INT(write(fd, "before", 6), 6);
        CHECK_INT(symlink("file", path), 0);
        CHECK_INT(upload(path, "half", false, &err), -1);
        CHECK(strstr(err.text, "holds a part of what was sent"));
        CHECK_INT(upload(path, "after!", true, NULL), 0);
        CHECK_INT(pread(fd, is, sizeof(is) - 1, 0), 6);
        CHECK_STR(is, "after!");
        close(fd);
}

TEST(a_device_has_the_name_of_the_link_to_it_as_soon_as_there_is_one)
{
        AUTOFREE char *one = NULL, *two = NULL;
        AUTO(Scene) s = { 0 };

        scene_init(&s);
        one = str_format("%s/one", s.dir);
        two = str_format("%s/two", s.dir);
        CHECK_INT(symlink("/dev/null", one), 0);
        for (int i = 0; i < 3; i++) {
                AUTOFREE char *found = storage_stable_path(s.pool, "/dev/null");

                CHECK_STR(found, one);
        }
        CHECK_NULL(storage_stable_path(s.pool, "/dev/zero"));
        CHECK_INT(symlink("/dev/zero", two), 0);
        for (AUTOFREE char *found = NULL; !found;) /* times of files have their grain */
                found = storage_stable_path(s.pool, "/dev/zero");
        CHECK_INT(unlink(one), 0);
        for (AUTOFREE char *found = str_dup(""); found;) {
                free(found);
                found = storage_stable_path(s.pool, "/dev/null");
        }
}

TEST(a_file_of_the_root_directory_has_one_slash_in_its_path)
{
        AUTO(VolumeDef) *def = NULL;

        CHECK_INT(storage_look_at_file("/", "etc", &def, NULL), 0);
        CHECK_STR(def->target.path, "/etc");
        CHECK_STR(def->key, "/etc");
}

/* What holds nothing is the same volume whether it is opened or not; whatever else there is has to be. */
TEST(a_file_that_is_all_hole_is_told_without_being_opened)
{
        static const struct {
                const char *name, *command;
                bool told;
        } rows[] = { { "hole", "truncate -s 1M", true },
                     { "small", "truncate -s 4K", false },
                     { "full", "dd if=/dev/zero bs=64K count=2 conv=fsync status=none of=", false },
                     { ".drover-part-x", "truncate -s 1M", false },
                     { "dir", "mkdir", false } };
        bool labels = access("/sys/fs/selinux/enforce", F_OK) == 0;
        AUTO(Scene) s = { 0 };

        scene_init(&s);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTOFREE char *path = str_format("%s/%s", s.dir, rows[i].name);
                AUTOFREE char *command = str_format("%s%s%s", rows[i].command,
                                                    str_ends(rows[i].command, "=") ? "" : " ", path);
                AUTO(VolumeDef) *told = NULL;
                AUTO(VolumeDef) *opened = NULL;
                AUTO(Buf) a = { 0 };
                AUTO(Buf) b = { 0 };
                struct stat st;

                CHECK_INT(system(command), 0);
                CHECK_INT(stat(path, &st), 0);
                told = storage_look_at_stat(s.dir, rows[i].name, &st);
                CHECK_INT(told != NULL, rows[i].told && !labels);
                if (!told)
                        continue;
                CHECK_INT(storage_look_at_file(s.dir, rows[i].name, &opened, NULL), 0);
                volume_def_format(told, &a);
                volume_def_format(opened, &b);
                CHECK_STR(buf_text(&a), buf_text(&b));
        }
}
