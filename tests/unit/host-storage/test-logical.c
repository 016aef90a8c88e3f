#include "transcript.h"

#define LVS                                                                                                          \
        "lvs --noheadings --units b --nosuffix --separator | -o "                                                    \
        "lv_name,lv_uuid,lv_attr,lv_size,origin,origin_size,data_percent,vg_extent_size,seg_start,seg_size,lv_tags," \
        "devices -- "

static const char group[] = "<pool type='logical'><name>vg</name><source><device path='/dev/sdx'/>"
                            "<device path='/dev/sdy'/></source></pool>";

TEST(volumes_are_what_lvs_lists_and_no_others)
{
        AUTO(PoolDef) *pool = pool_of(group);
        AUTO(Error) err = { 0 };
        AUTO(Buf) found = { 0 };

        begin((const Played[]){
                { LVS "vg",
                  "  lv|tNXnP6|-wi-a-----|12582912||||4194304|0|8388608||/dev/sdx(0)\n"
                  "  lv|tNXnP6|-wi-a-----|12582912||||4194304|8388608|4194304||/dev/sdy(7)\n"
                  "  half|aaaaaa|-wi-a-----|8388608||||4194304|0|8388608|x,drover_part|/dev/sdx(2)\n"
                  "  off|bbbbbb|-wi-------|8388608||||4194304|0|8388608||/dev/sdx(4)\n"
                  "  thinpool|cccccc|twi-aotz--|8388608|||10.00|4194304|0|8388608||thinpool_tdata(0)\n"
                  "  sp|gFsaw7|swi-a-s---|4194304|[sp_vorigin]|33554432|0.00|4194304|0|4194304||/dev/sdx(4)\n"
                  "  ../x|dddddd|-wi-a-----|8388608||||4194304|0|8388608||/dev/sdx(2)\n"
                  "  torn|eeeeee|-wi\n",
                  0 },
                DONE });
        MUST(storage_logical.scan(pool, note_volume, &found, &err));
        CHECK_STR(buf_text(&found), "lv /dev/vg/lv tNXnP6 12582912 12582912\n"
                                    "sp /dev/vg/sp gFsaw7 33554432 4194304\n");
        all_was_run();
}

static void check_extents(void *arg, const VolumeDef *def)
{
        CHECK_INT(def->source->n_devices, 2);
        CHECK_STR(def->source->devices[1]->path, "/dev/sdy");
        CHECK_INT(def->source->devices[1]->extents[0]->start, 7 * 4194304);
        CHECK_INT(def->source->devices[1]->extents[0]->end, 8 * 4194304);
        *(bool *)arg = true;
}

TEST(a_volume_says_on_which_parts_of_which_devices_it_stands)
{
        AUTO(PoolDef) *pool = pool_of(group);
        AUTO(Error) err = { 0 };
        bool seen = false;

        begin((const Played[]){ { LVS "vg",
                                  "  lv|u|-wi-a-----|8388608||||4194304|0|4194304||/dev/sdx(0)\n"
                                  "  lv|u|-wi-a-----|8388608||||4194304|4194304|4194304||/dev/sdy(7)\n",
                                  0 },
                                DONE });
        MUST(storage_logical.scan(pool, check_extents, &seen, &err));
        CHECK(seen);
        all_was_run();
}

TEST(a_build_that_was_cut_off_between_its_steps_goes_on)
{
        AUTO(PoolDef) *pool = pool_of(group);
        AUTO(Error) err = { 0 };

        begin((const Played[]){ { "blkid -p -o value -s TYPE -s PTTYPE /dev/sdx", "LVM2_member\n", 0 },
                                { "pvs --noheadings -o vg_name /dev/sdx", "    \n", 0 },
                                { "blkid -p -o value -s TYPE -s PTTYPE /dev/sdy", NULL, 2 },
                                { "blkid -p -o value -s TYPE -s PTTYPE /dev/sdy", NULL, 2 },
                                { "pvcreate --yes -- /dev/sdy", NULL, 0 },
                                { "vgcreate -- vg /dev/sdx /dev/sdy", NULL, 0 },
                                DONE });
        MUST(storage_logical.build(pool, 0, &err));
        all_was_run();
}

TEST(a_device_that_holds_something_or_cannot_be_read_is_not_built_on)
{
        AUTO(PoolDef) *pool = pool_of(group);
        AUTO(Error) err = { 0 };

        begin((const Played[]){ { "blkid -p -o value -s TYPE -s PTTYPE /dev/sdx", "ext4\n", 0 },
                                { "blkid -p -o value -s TYPE -s PTTYPE /dev/sdx", "ext4\n", 0 },
                                DONE });
        CHECK_INT(storage_logical.build(pool, 0, &err), -1);
        CHECK(strstr(err.text, "already holds ext4"));
        all_was_run();
        begin((const Played[]){ { "blkid -p -o value -s TYPE -s PTTYPE /dev/sdx", NULL, 4 }, DONE });
        CHECK_INT(storage_logical.build(pool, 0, &err), -1);
        CHECK(strstr(err.text, "cannot tell what '/dev/sdx' holds"));
        all_was_run();
}

TEST(a_volume_is_made_with_a_tag_that_it_loses_when_it_is_whole)
{
        AUTO(PoolDef) *pool = pool_of(group);
        AUTO(VolumeDef) *plain = volume_of("<volume><name>v</name><capacity>8388608</capacity></volume>");
        AUTO(VolumeDef) *sparse = volume_of(
                "<volume><name>s</name><capacity>8388608</capacity><allocation>4194304</allocation></volume>");
        AUTO(StorageRoom) room = { .lock = -1 };
        AUTO(StorageRoom) other = { .lock = -1 };
        AUTO(Error) err = { 0 };

        begin((const Played[]){
                { "lvcreate --yes --addtag drover_part --name v --size 8388608B -- vg", NULL, 0 },
                { "lvchange --deltag drover_part -- vg/v", NULL, 0 },
                { "lvcreate --yes --addtag drover_part --name s --type snapshot --virtualsize 8388608B --size 4194304B "
                  "-- vg",
                  NULL, 0 },
                { "lvremove --force -- vg/s", NULL, 0 },
                { "lvremove --force --select lv_tags=drover_part -- vg", NULL, 0 },
                DONE });
        MUST(storage_logical.create(pool, plain, &room, &err));
        CHECK_STR(room.path, "/dev/vg/v");
        MUST(storage_logical.finish(pool, plain, &room, &err));
        MUST(storage_logical.create(pool, sparse, &other, &err));
        MUST(storage_logical.remove_room(pool, "s", &err));
        MUST(storage_logical.tidy(pool, &err));
        all_was_run();
}

TEST(groups_are_told_with_all_their_devices)
{
        AUTO(PoolSourcesDef) *found = pool_sources_new();
        AUTO(Error) err = { 0 };
        AUTO(Buf) xml = { 0 };

        begin((const Played[]){ { "pvs --noheadings --units b --nosuffix --separator | -o vg_name,pv_name",
                                  "  one|/dev/sda\n  two|/dev/sdb\n  |/dev/sdc\n  one|/dev/sdd\n", 0 },
                                DONE });
        MUST(storage_logical.find_sources(NULL, found, &err));
        pool_sources_format(found, &xml);
        CHECK_STR(buf_text(&xml), "<sources>\n"
                                  "  <source>\n"
                                  "    <device path='/dev/sda'/>\n"
                                  "    <device path='/dev/sdd'/>\n"
                                  "    <name>one</name>\n"
                                  "    <format type='lvm2'/>\n"
                                  "  </source>\n"
                                  "  <source>\n"
                                  "    <device path='/dev/sdb'/>\n"
                                  "    <name>two</name>\n"
                                  "    <format type='lvm2'/>\n"
                                  "  </source>\n"
                                  "</sources>\n");
        all_was_run();
}
