#include "transcript.h"

static const char tank[] = "<pool type='zfs'><name>z</name><source><name>tank/guests</name><device path='/dev/sdx'/>"
                           "</source></pool>";
#define LIST "zfs list -Hp -t volume -r -d 1 -o name,volsize,refreservation,referenced,drover:part tank/guests"

TEST(zfs_volumes_are_listed_and_unfinished_ones_are_none)
{
        AUTO(PoolDef) *pool = pool_of(tank);
        AUTO(Error) err = { 0 };
        AUTO(Buf) found = { 0 };
        StorageFigures figures;

        begin((const Played[]){ { LIST,
                                  "tank/guests/a\t8388608\t8519680\t12288\t-\n"
                                  "tank/guests/thin\t8388608\t0\t12288\t-\n"
                                  "tank/guests/half\t8388608\t0\t12288\ton\n"
                                  "tank/other/b\t8388608\t0\t12288\t-\n"
                                  "torn\n",
                                  0 },
                                { "zpool list -Hp -o size,allocated,free tank", "1000\t400\t600\n", 0 },
                                DONE });
        MUST(storage_zfs.scan(pool, note_volume, &found, &err));
        CHECK_STR(buf_text(&found), "a /dev/zvol/tank/guests/a /dev/zvol/tank/guests/a 8388608 8388608\n"
                                    "thin /dev/zvol/tank/guests/thin /dev/zvol/tank/guests/thin 8388608 12288\n");
        MUST(storage_zfs.figures(pool, &figures, &err));
        CHECK_INT(figures.allocation, 400);
        all_was_run();
}

TEST(zfs_volumes_are_made_resized_destroyed_and_tidied)
{
        AUTO(PoolDef) *pool = pool_of(tank);
        AUTO(VolumeDef) *thin = volume_of(
                "<volume><name>t</name><capacity>8388608</capacity><allocation>4096</allocation></volume>");
        AUTO(StorageRoom) room = { .lock = -1 };
        AUTO(Error) err = { 0 };

        begin((const Played[]){ { "zfs create -o drover:part=on -s -V 8388608 tank/guests/t", NULL, 0 },
                                { "zfs inherit drover:part tank/guests/t", NULL, 0 },
                                { "zfs set volsize=16777216 tank/guests/t", NULL, 0 },
                                { "zfs destroy tank/guests/t", NULL, 0 },
                                { LIST, "tank/guests/a\t1\t0\t1\t-\ntank/guests/half\t1\t0\t1\ton\n", 0 },
                                { "zfs destroy tank/guests/half", NULL, 0 },
                                DONE });
        MUST(storage_zfs.create(pool, thin, &room, &err));
        CHECK_STR(room.path, "/dev/zvol/tank/guests/t");
        MUST(storage_zfs.finish(pool, thin, &room, &err));
        MUST(storage_zfs.resize(pool, thin, 16777216, &err));
        MUST(storage_zfs.remove(pool, "t", &err));
        MUST(storage_zfs.tidy(pool, &err));
        all_was_run();
}

TEST(a_zfs_pool_is_built_on_blank_devices_and_one_that_is_missing_does_not_run)
{
        AUTO(PoolDef) *pool = pool_of(tank);
        AUTO(Error) err = { 0 };
        bool there = true;

        begin((const Played[]){ { "blkid -p -o value -s TYPE -s PTTYPE /dev/sdx", NULL, 2 },
                                { "zpool create tank/guests /dev/sdx", NULL, 0 },
                                { "zfs list -H -o name tank/guests", NULL, 1 },
                                { "zpool destroy tank/guests", NULL, 0 },
                                DONE });
        MUST(storage_zfs.build(pool, BUILD_NO_OVERWRITE, &err));
        MUST(storage_zfs.is_started(pool, &there, &err));
        CHECK(!there);
        MUST(storage_zfs.unbuild(pool, &err));
        all_was_run();
}
