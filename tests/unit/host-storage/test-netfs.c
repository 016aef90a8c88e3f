#include "transcript.h"

#include <sys/stat.h>
#include <unistd.h>

static PoolDef *netfs(const char *format, const char *dir)
{
        AUTOFREE char *xml = str_format(
                "<pool type='netfs'><name>n</name><source><host name='fd00::1'/><dir path='%s'/>"
                "<format type='%s'/></source><target><path>/</path></target></pool>",
                dir, format);

        return pool_of(xml);
}

TEST(each_kind_of_server_is_mounted_in_its_own_words)
{
        static const char target[] = "/tmp/drover-test-netfs";
        AUTO(PoolDef) *cifs = netfs("cifs", "/share");
        AUTO(PoolDef) *gluster = netfs("glusterfs", "/vol");
        AUTO(PoolDef) *vstorage = pool_of("<pool type='vstorage'><name>v</name><source><name>cluster</name></source>"
                                          "<target><path>/tmp/drover-test-netfs</path><permissions><mode>0755</mode>"
                                          "</permissions></target></pool>");
        AUTO(Error) err = { 0 };

        mkdir(target, 0700);
        cifs->target_path = gluster->target_path = target;
        begin((const Played[]){
                { "mount -t cifs -o guest //fd00::1/share /tmp/drover-test-netfs", NULL, 0 },
                { "mount -t glusterfs -o direct-io-mode=1 [fd00::1]:/vol /tmp/drover-test-netfs", NULL, 0 },
                { "vstorage-mount -c cluster -m 0755 /tmp/drover-test-netfs", NULL, 0 },
                DONE });
        MUST(storage_netfs.start(cifs, &err));
        MUST(storage_netfs.start(gluster, &err));
        MUST(storage_vstorage.start(vstorage, &err));
        MUST(storage_vstorage.stop(vstorage, &err)); /* nothing is mounted, so nothing is unmounted */
        all_was_run();
        rmdir(target);
}

TEST(only_programs_that_know_an_option_to_overwrite_are_given_one)
{
        static const struct {
                const char *format, *command;
        } kinds[] = {
                { "ext4", "mkfs.ext4 -F /dev/sdx" },
                { "xfs", "mkfs.xfs -f /dev/sdx" },
                { "vfat", "mkfs.vfat /dev/sdx" }, /* its -f counts tables */
                { "ocfs2", "mkfs.ocfs2 /dev/sdx" },
        };
        AUTO(Error) err = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                AUTOFREE char *xml = str_format(
                        "<pool type='fs'><name>f</name><source><device path='/dev/sdx'/><format type='%s'/></source>"
                        "<target><path>/tmp/drover-test-fs</path></target></pool>",
                        kinds[i].format);
                AUTO(PoolDef) *pool = pool_of(xml);

                begin((const Played[]){ { kinds[i].command, NULL, 0 }, DONE });
                MUST(storage_fs.build(pool, BUILD_OVERWRITE, &err));
                all_was_run();
        }
        rmdir("/tmp/drover-test-fs");
}

static void find(const char *format, const Played *lines, const char *expected)
{
        AUTOFREE char *xml = str_format("<source><host name='srv'/>%s</source>", format);
        AUTO(PoolSourcesDef) *found = pool_sources_new();
        AUTO(PoolSourcesDef) *spec = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) dirs = { 0 };

        begin(lines);
        MUST(pool_sources_parse(xml, strlen(xml), &spec, &err));
        MUST(storage_netfs.find_sources(spec->sources[0], found, &err));
        for (uint32_t i = 0; i < found->n_sources; i++)
                buf_format(&dirs, "%s %s %s\n", found->sources[i]->hosts[0]->name, found->sources[i]->dir,
                           found->sources[i]->format);
        CHECK_STR(buf_text(&dirs), expected);
        all_was_run();
}

TEST(what_a_server_exports_is_told)
{
        find("<format type='nfs'/>",
             (const Played[]){ { "showmount --no-headers --exports srv",
                                 "/srv/images     *\n/srv/with blank 10.0.0.0/8,host\nnonsense\n", 0 },
                               DONE },
             "srv /srv/images nfs\nsrv /srv/with blank nfs\n");
        find("<format type='glusterfs'/>",
             (const Played[]){ { "gluster --mode=script --remote-host=srv volume list", "one\ntwo\n", 0 }, DONE },
             "srv /one glusterfs\nsrv /two glusterfs\n");
        find("",
             (const Played[]){ { "gluster --mode=script --remote-host=srv volume list", NULL, 1 },
                               { "showmount --no-headers --exports srv", "/x *\n", 0 },
                               DONE },
             "srv /x nfs\n");
}
