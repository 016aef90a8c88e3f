#include "transcript.h"

#include "host/storage/disk-table.h"

#define MIB (1ULL << 20)

static void read_table(const char *text, DiskTable *ret)
{
        AUTOFREE char *copy = str_dup(text);
        AUTO(Error) err = { 0 };

        MUST(disk_table_parse(copy, ret, &err));
}

static const char dos[] = "BYT;\n"
                          "/dev/sdx:134217728B:virtblk:512:512:msdos:Disk: with a colon:;\n"
                          "1:1024B:1048575B:1047552B:free;\n"
                          "1:1048576B:99614719B:98566144B:::lba;\n"
                          "1:1049600B:2088959B:1039360B:free;\n"
                          "5:2097152B:10485759B:8388608B:::;\n"
                          "1:10485760B:99614719B:89128960B:free;\n"
                          "1:99614720B:134217727B:34603008B:free;\n";

TEST(a_table_is_read_with_its_free_parts)
{
        AUTO(DiskTable) table = { 0 };

        read_table("BYT;\n/dev/sdx:134217728B:virtblk:512:512:gpt:Virtio Block Device:;\n"
                   "1:17408B:1048575B:1031168B:free;\n1:1048576B:9437183B:8388608B:ext4:primary:;\n"
                   "1:9437184B:134200831B:124763648B:free;\n",
                   &table);
        CHECK_STR(table.label, "gpt");
        CHECK_INT(table.size, 128 * MIB);
        CHECK_INT(table.parts.len, 1);
        CHECK_INT(table.room.len, 2);
        CHECK_INT(table.parts.items[0].end, 9 * MIB);
        CHECK(!table.parts.items[0].extended);
}

TEST(logical_partitions_go_into_the_extended_one_and_leave_room_for_their_records)
{
        AUTO(DiskTable) table = { 0 };
        AUTO(Error) err = { 0 };
        DiskPart part = { 0 };
        bool logical;

        read_table(dos, &table);
        CHECK(table.parts.items[0].extended);
        MUST(disk_table_find_room(&table, 8 * MIB, false, &part, &logical, &err));
        CHECK(logical);
        CHECK_INT(part.number, 6);
        CHECK_INT(part.start, 11 * MIB); /* 10 MiB is where the one before it ends */
        CHECK_INT(part.end, 19 * MIB);
        CHECK_INT(disk_table_find_room(&table, 85 * MIB, false, &part, &logical, &err), -1);
        CHECK_INT(disk_table_find_room(&table, MIB, true, &part, &logical, &err), -1);
        CHECK(strstr(err.text, "extended partition already"));
}

TEST(a_partition_takes_the_tightest_free_part_and_the_lowest_number)
{
        AUTO(DiskTable) table = { 0 };
        AUTO(Error) err = { 0 };
        DiskPart part = { 0 };
        bool logical;

        read_table("BYT;\n/dev/sdx:134217728B:virtblk:512:512:gpt:x:;\n"
                   "2:1048576B:9437183B:8388608B:ext4:primary:;\n1:9437184B:41943039B:1B:free;\n"
                   "3:41943040B:83886079B:1B::x:;\n1:83886080B:104857599B:1B:free;\n",
                   &table);
        MUST(disk_table_find_room(&table, 5 * MIB + 1, false, &part, &logical, &err));
        CHECK(!logical);
        CHECK_INT(part.number, 1);
        CHECK_INT(part.start, 80 * MIB);
        CHECK_INT(part.end, 85 * MIB + 512);
        MUST(disk_table_find_room(&table, 25 * MIB, false, &part, &logical, &err));
        CHECK_INT(part.start, 9 * MIB);
        CHECK_INT(disk_table_find_room(&table, 200 * MIB, false, &part, &logical, &err), -1);
}

TEST(what_is_no_table_is_refused_and_parts_outside_of_the_disk_are_left_out)
{
        AUTOFREE char *nothing = str_dup("Error: unrecognised disk label\n");
        AUTO(DiskTable) table = { 0 };
        AUTO(Error) err = { 0 };

        CHECK_INT(disk_table_parse(nothing, &table, &err), -1);
        read_table("BYT;\n/dev/sdx:1048576B:virtblk:512:512:gpt:x:;\n1:0B:18446744073709551615B:1B:::;\n"
                   "2:900B:100B:1B:::;\n3:512B:1023B:512B:::;\n",
                   &table);
        CHECK_INT(table.parts.len, 1);
}

TEST(a_partition_is_put_into_the_table_when_its_content_is_there)
{
        static const char print[] = "parted -ms /dev/null unit B print free";
        AUTO(PoolDef) *pool = pool_of("<pool type='disk'><name>d</name><source><device path='/dev/null'/>"
                                      "<format type='dos'/></source><target><path>/dev</path></target></pool>");
        AUTO(VolumeDef) *wanted = volume_of("<volume><name>null6</name><capacity>8388608</capacity>"
                                            "<target><format type='linux-lvm'/></target></volume>");
        AUTO(VolumeDef) *wrong = volume_of("<volume><name>mine</name><capacity>8388608</capacity></volume>");
        AUTO(StorageRoom) room = { .lock = -1 };
        AUTO(StorageRoom) none = { .lock = -1 };
        AUTO(Error) err = { 0 };

        begin((const Played[]){ { print, dos, 0 },
                                { print, dos, 0 },
                                { "parted -s /dev/null unit B mkpart logical 11534336B 19922943B", NULL, 0 },
                                { "parted -s /dev/null set 6 lvm on", NULL, 0 },
                                { print, dos, 0 },
                                { "parted -s /dev/null rm 5", NULL, 0 },
                                DONE });
        CHECK_INT(storage_disk.create(pool, wrong, &none, &err), -1);
        CHECK(strstr(err.text, "invalid partition name 'mine', expected 'null6'"));
        fd_close(&none.lock);
        MUST(storage_disk.create(pool, wanted, &room, &err));
        CHECK_INT(room.offset, 11 * MIB);
        CHECK_INT(room.bytes, 8 * MIB);
        MUST(storage_disk.finish(pool, wanted, &room, &err));
        MUST(storage_disk.remove(pool, "null5", &err));
        all_was_run();
        /* one that cannot be marked as what it is does not stay */
        begin((const Played[]){ { "parted -s /dev/null unit B mkpart logical 11534336B 19922943B", NULL, 0 },
                                { "parted -s /dev/null set 6 lvm on", NULL, 1 },
                                { "parted -s /dev/null rm 6", NULL, 0 },
                                DONE });
        CHECK_INT(storage_disk.finish(pool, wanted, &room, &err), -1);
        CHECK(strstr(err.text, "parted exited with status 1"));
        all_was_run();
}
