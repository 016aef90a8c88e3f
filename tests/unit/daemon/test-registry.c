#include "test.h"

#include "base/str.h"
#include "daemon/registry.h"

static Uuid uuid_of(uint8_t first)
{
        return (Uuid){ .bytes = { first, 1, 2 } };
}

TEST(an_object_is_found_by_name_and_by_uuid)
{
        AUTO(Registry) *registry = registry_new();
        Uuid a = uuid_of(1), b = uuid_of(2);
        int one, two;

        registry_add(registry, "one", &a, &one);
        registry_add(registry, "two", &b, &two);
        CHECK(registry_find_name(registry, "one") == &one);
        CHECK(registry_find_uuid(registry, &b) == &two);
        CHECK(!registry_find_name(registry, "three"));
        CHECK_INT(registry_len(registry), 2);
}

TEST(removing_one_leaves_the_others_in_place)
{
        AUTO(Registry) *registry = registry_new();
        int objects[5];

        for (uint8_t i = 0; i < 5; i++) {
                AUTOFREE char *name = str_format("object-%d", i);
                Uuid uuid = uuid_of(i);

                registry_add(registry, name, &uuid, &objects[i]);
        }
        for (uint8_t i = 0; i < 5; i += 2) {
                Uuid uuid = uuid_of(i);

                registry_remove(registry, &uuid);
                registry_remove(registry, &uuid); /* twice is fine */
        }
        CHECK_INT(registry_len(registry), 2);
        CHECK(registry_find_name(registry, "object-1") == &objects[1]);
        CHECK(registry_find_name(registry, "object-3") == &objects[3]);
        CHECK(!registry_find_name(registry, "object-4"));
        for (size_t i = 0; i < registry_len(registry); i++)
                CHECK(registry_at(registry, i) == &objects[1] || registry_at(registry, i) == &objects[3]);
}

TEST(a_renamed_object_is_found_by_its_new_name_only)
{
        AUTO(Registry) *registry = registry_new();
        Uuid a = uuid_of(1);
        int one;

        registry_add(registry, "old", &a, &one);
        registry_rename(registry, &a, "new");
        CHECK(!registry_find_name(registry, "old"));
        CHECK(registry_find_name(registry, "new") == &one);
        CHECK(registry_find_uuid(registry, &a) == &one);
}
