#include "transcript.h"

#include "host/storage/gluster.h"
#include "host/storage/scsi.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- rbd --- */

static const char ceph[] = "<pool type='rbd'><name>r</name><source><name>rbd</name><host name='m1' port='6789'/>"
                           "<host name='fd00::2'/></source></pool>";
#define AT "-m m1:6789,[fd00::2] "

TEST(images_of_a_ceph_pool_are_listed_without_their_snapshots)
{
        AUTO(PoolDef) *pool = pool_of(ceph);
        AUTO(Error) err = { 0 };
        AUTO(Buf) found = { 0 };
        StorageFigures figures;

        begin((const Played[]){
                { "rbd " AT "ls --long --format json --pool rbd",
                  "[{\"image\":\"disk\",\"id\":\"10\",\"size\":1073741824,\"format\":2},"
                  "{\"image\":\"disk\",\"snapshot\":\"s\",\"size\":1073741824},{\"image\":\"a/b\",\"size\":1},"
                  "{\"image\":\"odd\",\"size\":-5},7]",
                  0 },
                { "ceph " AT "df --format json",
                  "{\"stats\":{\"total_bytes\":1000,\"total_avail_bytes\":600},"
                  "\"pools\":[{\"name\":\"x\",\"stats\":{\"bytes_used\":1}},"
                  "{\"name\":\"rbd\",\"stats\":{\"bytes_used\":300}}]}",
                  0 },
                { "rbd " AT "ls --long --format json --pool rbd", "[{\"image\"", 0 },
                DONE });
        MUST(storage_rbd.scan(pool, note_volume, &found, &err));
        CHECK_STR(buf_text(&found), "disk rbd/disk rbd/disk 1073741824 1073741824\nodd rbd/odd rbd/odd 0 0\n");
        MUST(storage_rbd.figures(pool, &figures, &err));
        CHECK_INT(figures.capacity, 1000);
        CHECK_INT(figures.available, 600);
        CHECK_INT(figures.allocation, 300);
        CHECK_INT(storage_rbd.scan(pool, note_volume, &found, &err), -1);
        all_was_run();
}

TEST(a_ceph_cluster_is_logged_in_at_with_the_key_of_a_user)
{
        AUTO(PoolDef) *pool = pool_of(
                "<pool type='rbd'><name>r</name><source><name>rbd</name><host name='m'/>"
                "<auth type='ceph' username='admin'><secret usage='k'/></auth></source></pool>");
        AUTO(PoolDef) *chap = pool_of(
                "<pool type='rbd'><name>r</name><source><name>rbd</name><host name='m'/>"
                "<auth type='chap' username='admin'><secret usage='k'/></auth></source></pool>");
        AUTO(Error) err = { 0 };

        begin((const Played[]){ { "rbd --id admin --keyfile /dev/stdin -m m ls --format json --pool rbd", "[]", 0 },
                                DONE });
        CHECK_INT(storage_rbd.start(pool, &err), -1);
        CHECK(strstr(err.text, "no value any more"));
        MUST(storage_set_password("key", 3, &err));
        MUST(storage_rbd.start(pool, &err));
        CHECK_INT(storage_rbd.start(chap, &err), -1);
        all_was_run();
}

TEST(a_program_reads_the_key_where_it_is_told_to)
{
        AUTO(Error) err = { 0 };
        AUTO(Buf) said = { 0 };

        MUST(storage_set_password("\x00\x01key", 5, &err));
        MUST(STORAGE_RUN(&said, &err, "cat", STORAGE_KEY_FILE));
        CHECK_STR(buf_text(&said), "AAFrZXk=");
        MUST(STORAGE_RUN(&said, &err, "cat"));
        CHECK_STR(buf_text(&said), "AAFrZXk=");
}

TEST(images_of_a_ceph_pool_are_made_resized_and_removed)
{
        AUTO(PoolDef) *pool = pool_of(ceph);
        AUTO(VolumeDef) *wanted = volume_of("<volume><name>v</name><capacity>1048577</capacity></volume>");
        AUTO(StorageRoom) room = { .lock = -1 };
        AUTO(Error) err = { 0 };

        begin((const Played[]){
                { "rbd " AT "create --size 2 --pool rbd --image v", NULL, 0 },
                { "rbd " AT "resize --no-progress --size 1 --pool rbd --image v --allow-shrink", NULL, 0 },
                { "rbd " AT "resize --no-progress --size 8 --pool rbd --image v", NULL, 0 },
                { "rbd " AT "snap purge --no-progress --pool rbd --image v", NULL, 0 },
                { "rbd " AT "rm --no-progress --pool rbd --image v", NULL, 0 },
                DONE });
        MUST(storage_rbd.create(pool, wanted, &room, &err));
        CHECK_NULL(room.path);
        MUST(storage_rbd.resize(pool, wanted, 1 << 20, &err));
        MUST(storage_rbd.resize(pool, wanted, 8 << 20, &err));
        MUST(storage_rbd.remove_snapshots(pool, "v", &err));
        MUST(storage_rbd.remove(pool, "v", &err));
        all_was_run();
}

/* --- gluster --- */

TEST(files_of_a_gluster_volume_are_network_volumes)
{
        char dir[] = "/tmp/drover-gluster-XXXXXX";
        AUTO(PoolDef) *pool = pool_of("<pool type='gluster'><name>g</name><source><host name='srv'/><name>vol</name>"
                                      "<dir path='sub'/></source></pool>");
        AUTOFREE char *sub = NULL, *file = NULL, *expected = NULL;
        AUTO(Error) err = { 0 };
        AUTO(Buf) found = { 0 };

        CHECK(mkdtemp(dir));
        sub = str_format("%s/sub", dir);
        file = str_format("%s/disk", sub);
        CHECK_INT(mkdir(sub, 0700), 0);
        {
                AUTO(Fd) fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

                CHECK_INT(ftruncate(fd, 4096), 0);
        }
        gluster_set_dir(dir);
        MUST(storage_gluster.scan(pool, note_volume, &found, &err));
        CHECK_STR(buf_text(&found), "disk vol/sub/disk gluster://srv/vol/sub/disk 4096 0\n");
        MUST(storage_gluster.remove(pool, "disk", &err));
        CHECK_INT(access(file, F_OK), -1);
        gluster_set_dir(NULL);
        rmdir(sub);
        rmdir(dir);
}

/* --- iscsi and scsi: a sysfs of our own --- */

static void put(const char *root, const char *path, const char *text)
{
        AUTOFREE char *full = str_format("%s/%s", root, path), *dir = str_dup(full);
        FILE *file;

        for (char *slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                mkdir(dir, 0700);
                *slash = '/';
        }
        file = fopen(full, "we");
        CHECK(file);
        fputs(text, file);
        fclose(file);
}

static void remove_tree(const char *root)
{
        AUTOFREE char *command = str_format("rm -rf %s", root);

        CHECK_INT(system(command), 0);
}

TEST(an_iscsi_session_is_found_by_its_target_or_made_and_its_record_goes_with_it)
{
        char root[] = "/tmp/drover-sys-XXXXXX";
        AUTO(PoolDef) *pool = pool_of(
                "<pool type='iscsi'><name>i</name><uuid>26108c61-d2b7-4a6c-9d52-0d9f5f6c7e11</uuid>"
                "<source><host name='srv'/><device path='iqn.x:y'/><initiator><iqn name='iqn.me'/></initiator></source>"
                "<target><path>/dev</path></target></pool>");
        AUTO(Error) err = { 0 };
        bool there;

        CHECK(mkdtemp(root));
        sysfs_set_root(root);
        put(root, "class/iscsi_session/session1/targetname", "iqn.other\n");
        MUST(storage_iscsi.is_started(pool, &there, &err));
        CHECK(!there);
#define NODE                                                                                                         \
        "iscsiadm --mode node --targetname iqn.x:y --portal srv:3260 --interface drover-26108c61-d2b7-4a6c-9d52-0d9f5f6c7e11 "
#define IFACE "iscsiadm --mode iface --interface drover-26108c61-d2b7-4a6c-9d52-0d9f5f6c7e11 "
        begin((const Played[]){ { IFACE "--op new", NULL, 15 },
                                { IFACE "--op update --name iface.initiatorname --value iqn.me", NULL, 0 },
                                { NODE "--op new", NULL, 0 },
                                { NODE "--op update --name node.startup --value manual", NULL, 0 },
                                { NODE "--login", NULL, 8 },
                                { NODE "--op delete", NULL, 0 },
                                { IFACE "--op delete", NULL, 0 },
                                DONE });
        CHECK_INT(storage_iscsi.start(pool, &err), -1);
        CHECK(strstr(err.text, "iscsiadm"));
        all_was_run();
        sysfs_set_root(NULL);
        remove_tree(root);
}

TEST(a_target_is_logged_in_at_with_a_password)
{
        char root[] = "/tmp/drover-sys-XXXXXX";
        AUTO(PoolDef) *pool = pool_of(
                "<pool type='iscsi'><name>i</name><source><host name='srv'/><device path='iqn.x:y'/>"
                "<auth type='chap' username='me'><secret usage='k'/></auth></source>"
                "<target><path>/dev</path></target></pool>");
        AUTO(Error) err = { 0 };

        CHECK(mkdtemp(root));
        sysfs_set_root(root);
        MUST(storage_set_password("pass", 4, &err));
#define PLAIN "iscsiadm --mode node --targetname iqn.x:y --portal srv:3260 "
        begin((const Played[]){ { PLAIN "--op new", NULL, 0 },
                                { PLAIN "--op update --name node.startup --value manual", NULL, 0 },
                                { PLAIN "--op update --name node.session.auth.authmethod --value CHAP", NULL, 0 },
                                { PLAIN "--op update --name node.session.auth.username --value me", NULL, 0 },
                                { PLAIN "--op update --name node.session.auth.password --value pass", NULL, 0 },
                                { PLAIN "--login", NULL, 24 },
                                { PLAIN "--op delete", NULL, 0 },
                                DONE });
        CHECK_INT(storage_iscsi.start(pool, &err), -1);
        all_was_run();
        sysfs_set_root(NULL);
        remove_tree(root);
}

TEST(targets_are_told_by_their_server)
{
        static const char spec_xml[] = "<?xml version='1.0'?><source><host name='srv' port='3261'/></source>";
        AUTO(PoolSourcesDef) *found = pool_sources_new();
        AUTO(PoolSourcesDef) *spec = NULL;
        AUTO(Error) err = { 0 };

        begin((const Played[]){ { "iscsiadm --mode discovery --type sendtargets --portal srv:3261 --op nonpersistent",
                                  "192.0.2.1:3261,1 iqn.a\n[fe80::1]:3261,1 iqn.b\n", 0 },
                                DONE });
        MUST(pool_sources_parse(spec_xml, strlen(spec_xml), &spec, &err));
        MUST(storage_iscsi.find_sources(spec->sources[0], found, &err));
        CHECK_INT(found->n_sources, 2);
        CHECK_STR(found->sources[1]->devices[0]->path, "iqn.b");
        CHECK_INT(found->sources[1]->hosts[0]->port, 3261);
        CHECK_INT(storage_iscsi.find_sources(NULL, found, &err), -1);
        all_was_run();
}

TEST(a_virtual_adapter_is_made_on_the_host_that_its_names_say)
{
        char root[] = "/tmp/drover-sys-XXXXXX";
        AUTO(PoolDef) *pool = pool_of(
                "<pool type='scsi'><name>s</name><source><adapter type='fc_host' wwnn='20000000c9831b4b' "
                "wwpn='10000000c9831b4b' parent_wwnn='0x2001' parent_wwpn='2002' managed='yes'/></source>"
                "<target><path>/dev</path></target></pool>");
        AUTOFREE char *made = NULL;
        AUTO(Error) err = { 0 };
        bool there;

        CHECK(mkdtemp(root));
        sysfs_set_root(root);
        put(root, "class/fc_host/host3/node_name", "0x1\n");
        put(root, "class/fc_host/host5/node_name", "0x2001\n");
        put(root, "class/fc_host/host5/port_name", "0x2002\n");
        put(root, "class/fc_host/host5/vport_create", "");
        put(root, "class/fc_host/host5/vport_delete", "");
        MUST(storage_scsi.is_started(pool, &there, &err));
        CHECK(!there);
        CHECK_INT(storage_scsi.start(pool, &err), -1); /* no kernel is there that would make it */
        CHECK(strstr(err.text, "wwpn '10000000c9831b4b'"));
        made = str_format("%s/class/fc_host/host5", root);
        {
                AUTOFREE char *text = sysfs_read(made, "vport_create");

                CHECK_STR(text, "10000000c9831b4b:20000000c9831b4b");
        }
        MUST(storage_scsi.stop(pool, &err));
        {
                AUTOFREE char *text = sysfs_read(made, "vport_delete");

                CHECK_STR(text, "10000000c9831b4b:20000000c9831b4b");
        }
        sysfs_set_root(NULL);
        remove_tree(root);
}
