#include "test.h"

#include "base/str.h"
#include "daemon/pool.h"
#include "daemon/registry.h"

typedef struct Fixture {
        Storage storage;
        Pool *pool;
} Fixture;

static void fixture_init(Fixture *f)
{
        static const char xml[] = "<pool type='scsi'><name>p</name><source><adapter name='host0'/></source>"
                                  "<target><path>/dev</path></target></pool>";
        Uuid uuid = { .bytes = { 1 } };
        AUTO(Warnings) warnings = { 0 };

        *f = (Fixture){ .storage = { .pools = registry_new() } };
        f->pool = pool_new(&f->storage, "p", &uuid);
        CHECK_INT(pool_def_parse(xml, strlen(xml), 0, &f->pool->live, &warnings, NULL), 0);
}

static void fixture_done(Fixture *f)
{
        pool_drop(f->pool);
        registry_free(f->storage.pools);
}
DEFINE_AUTO_VALUE(Fixture, fixture_done)

static void put(Fixture *f, const char *name, const char *key, const char *path)
{
        VolumeDef *def = volume_def_new();

        def->name = arena_dup(def->head.arena, name);
        def->key = key ? arena_dup(def->head.arena, key) : NULL;
        def->target.path = path ? arena_dup(def->head.arena, path) : NULL;
        pool_put_volume(f->pool, def);
}

/* The name of what is found; "" for nothing. */
static const char *by_key(const Fixture *f, const char *key)
{
        Pool *pool;
        const Volume *found = storage_find_volume(&f->storage, key, NULL, &pool);

        return found ? found->def->name : "";
}

static const char *by_path(const Fixture *f, const char *path)
{
        Pool *pool;
        const Volume *found = storage_find_volume(&f->storage, NULL, path, &pool);

        return found ? found->def->name : "";
}

/* STO-17, STO-19 */
TEST(volumes_with_one_key_are_found_one_after_the_other)
{
        AUTO(Fixture) f = { 0 };

        fixture_init(&f);
        put(&f, "a", "wwn", "/dev/sda");
        put(&f, "b", "wwn", "/dev/sdb");
        put(&f, "c", "wwn", "/dev/sdc");
        CHECK_STR(by_key(&f, "wwn"), "a");
        pool_drop_volume(f.pool, "b");
        CHECK_STR(by_key(&f, "wwn"), "a");
        pool_drop_volume(f.pool, "a");
        CHECK_STR(by_key(&f, "wwn"), "c");
        CHECK_STR(by_path(&f, "/dev/sda"), "");
        CHECK_STR(by_path(&f, "/dev/sdc"), "c");
        pool_drop_volume(f.pool, "c");
        CHECK_STR(by_key(&f, "wwn"), "");
}

TEST(the_first_stays_the_first_however_often_they_are_seen)
{
        AUTO(Fixture) f = { 0 };

        fixture_init(&f);
        for (int scan = 0; scan < 3; scan++) {
                pool_begin_scan(f.pool);
                put(&f, "a", "wwn", "/dev/same");
                put(&f, "b", "wwn", "/dev/same");
                pool_end_scan(f.pool);
                CHECK_STR(by_key(&f, "wwn"), "a");
                CHECK_STR(by_path(&f, "/dev/same"), "a");
        }
        pool_begin_scan(f.pool);
        put(&f, "b", "wwn", "/dev/same");
        pool_end_scan(f.pool);
        CHECK_STR(by_key(&f, "wwn"), "b");
        CHECK_STR(by_path(&f, "/dev/same"), "b");
}

TEST(a_volume_that_gets_another_key_leaves_the_old_one_to_who_has_it)
{
        AUTO(Fixture) f = { 0 };

        fixture_init(&f);
        put(&f, "a", "one", NULL);
        put(&f, "b", "one", NULL);
        put(&f, "a", "two", NULL);
        CHECK_STR(by_key(&f, "one"), "b");
        CHECK_STR(by_key(&f, "two"), "a");
        put(&f, "b", NULL, NULL);
        CHECK_STR(by_key(&f, "one"), "");
        CHECK_STR(by_key(&f, "b"), "b");
}

TEST(many_volumes_with_one_key_come_and_go)
{
        enum { MANY = 200 };
        AUTO(Fixture) f = { 0 };

        fixture_init(&f);
        for (int i = 0; i < MANY; i++) {
                AUTOFREE char *name = str_format("v%d", i);

                put(&f, name, i % 2 ? "odd" : "even", NULL);
        }
        for (int i = 0; i < MANY; i += 4) {
                AUTOFREE char *name = str_format("v%d", i);

                pool_drop_volume(f.pool, name);
        }
        for (int left = MANY * 3 / 4; left > MANY / 2; left--) {
                CHECK(*by_key(&f, "even"));
                pool_drop_volume(f.pool, by_key(&f, "even"));
        }
        CHECK_STR(by_key(&f, "even"), "");
        CHECK_STR(by_key(&f, "odd"), "v1");
}
