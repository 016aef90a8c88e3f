#include "test.h"

#include "qemu/qmp.h"

#include <json-c/json.h>

TEST(lists_and_optional_values_survive_the_way_there_and_back)
{
        static const char text[] = "{\"capabilities\":[{\"capability\":\"xbzrle\",\"state\":true},"
                                   "{\"capability\":\"events\",\"state\":false}]}";
        AUTO(Arena) *arena = arena_new();
        AUTO(JsonWriter) w = { 0 };
        QmpMigrateSetCapabilities args = { 0 };
        struct json_object *json = qmp_parse_json(text, 1000, NULL);

        CHECK_INT(qmp_decode(&qmp_type_migrate_set_capabilities, json, arena, &args, NULL), 0);
        CHECK_INT(args.n_capabilities, 2);
        CHECK(args.capabilities[0].state);
        json_open_object(&w, NULL);
        qmp_encode(&qmp_type_migrate_set_capabilities, &args, &w);
        json_close_object(&w);
        CHECK_STR(json_text(&w), text);
        json_object_put(json);
}

TEST(absent_optional_values_stay_absent)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(JsonWriter) w = { 0 };
        QmpMigrationInfo info = { 0 };
        QmpMigrateSetParameters parameters = { .has_downtime_limit = true, .downtime_limit = 300 };
        struct json_object *json = qmp_parse_json("{\"status\":\"active\",\"total-time\":7}", 1000, NULL);

        CHECK_INT(qmp_decode(&qmp_type_migration_info, json, arena, &info, NULL), 0);
        CHECK_STR(info.status, "active");
        CHECK(info.has_total_time && info.total_time == 7);
        CHECK(!info.has_downtime && !info.ram && !info.blocked_reasons);
        json_object_put(json);

        json_open_object(&w, NULL);
        qmp_encode(&qmp_type_migrate_set_parameters, &parameters, &w);
        json_close_object(&w);
        CHECK_STR(json_text(&w), "{\"downtime-limit\":300}");
}

TEST(json_of_a_user_is_bounded)
{
        AUTO(Error) err = { 0 };

        CHECK_NULL(qmp_parse_json("{\"a\":1}", 3, &err));
        CHECK_STR(err.text, "the JSON text is longer than 3 bytes");
        CHECK_NULL(qmp_parse_json("{\"a\":1} x", 100, &err));
        CHECK_NULL(qmp_parse_json("null", 100, &err));
        CHECK_STR(err.text, "not JSON: null");
}
