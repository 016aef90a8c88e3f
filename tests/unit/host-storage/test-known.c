#include "test.h"

#include "base/str.h"
#include "host/storage/backend.h"

#include <time.h>

static struct stat settled(void)
{
        return (struct stat){ .st_dev = 1,
                              .st_ino = 2,
                              .st_mode = S_IFREG,
                              .st_size = 3,
                              .st_blocks = 8,
                              .st_mtim = { 1000, 5 },
                              .st_ctim = { 1000, 6 } };
}

TEST(a_file_is_the_same_until_anything_of_it_changes)
{
        AUTO(StorageKnown) *known = storage_known_new();
        struct stat st = settled(), other;

        storage_known_begin(known, "/");
        CHECK(!storage_known_same(known, "a", &st));
        storage_known_note(known, "a", &st);
        CHECK(storage_known_same(known, "a", &st));
        CHECK(!storage_known_same(known, "b", &st));
        for (int i = 0; i < 6; i++) {
                other = st;
                other.st_ino += i == 0;
                other.st_size += i == 1;
                other.st_blocks += i == 2;
                other.st_mtim.tv_nsec += i == 3;
                other.st_ctim.tv_nsec += i == 4;
                other.st_dev += i == 5;
                CHECK(!storage_known_same(known, "a", &other));
        }
}

TEST(one_that_changed_just_now_is_looked_at_again)
{
        AUTO(StorageKnown) *known = storage_known_new();
        struct stat st = settled();

        storage_known_begin(known, "/");
        CHECK_INT(clock_gettime(CLOCK_REALTIME, &st.st_ctim), 0);
        storage_known_note(known, "a", &st);
        CHECK(!storage_known_same(known, "a", &st));
        st.st_ctim.tv_sec += 1000000; /* a clock that was set back */
        storage_known_note(known, "a", &st);
        CHECK(!storage_known_same(known, "a", &st));
}

TEST(one_that_was_gone_for_a_round_is_unknown)
{
        AUTO(StorageKnown) *known = storage_known_new();
        struct stat st = settled();

        storage_known_begin(known, "/");
        storage_known_note(known, "a", &st);
        storage_known_end(known);
        storage_known_begin(known, "/");
        CHECK(storage_known_same(known, "a", &st));
        storage_known_end(known);
        storage_known_begin(known, "/");
        storage_known_end(known);
        CHECK(!storage_known_same(known, "a", &st));
}

TEST(nothing_is_known_of_a_directory_that_is_gone)
{
        AUTO(StorageKnown) *known = storage_known_new();

        CHECK(!storage_known_begin(known, "/nowhere at all"));
}

typedef struct Counts {
        unsigned found, same;
} Counts;

static void count_found(void *arg, const VolumeDef *def)
{
        CHECK(def->name != NULL);
        ((Counts *)arg)->found++;
}

static void count_same(void *arg, const char *name)
{
        CHECK(*name);
        ((Counts *)arg)->same++;
}

TEST(a_directory_is_told_once_and_then_only_what_changed)
{
        AUTO(StorageKnown) *known = storage_known_new();
        AUTO(Error) err = { 0 };
        Counts first = { 0 }, second = { 0 };

        CHECK_INT(
                storage_rescan_directory(DROVER_TEST_DATA "/fuzz-undo", known, count_found, count_same, &first, &err),
                0);
        CHECK(first.found > 0);
        CHECK_INT(first.same, 0);
        CHECK_INT(storage_rescan_directory(DROVER_TEST_DATA "/fuzz-undo", known, count_found, count_same, &second,
                                           &err),
                  0);
        /* on a file system whose times come late everything is told again */
        CHECK_INT(second.same + second.found, first.found);
        CHECK_INT(storage_rescan_directory("/nowhere at all", known, count_found, count_same, &second, &err), -1);
}
