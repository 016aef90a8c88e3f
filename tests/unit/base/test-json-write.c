#include "test.h"

#include "base/json-write.h"

TEST(commas_and_keys_are_put_where_json_wants_them)
{
        AUTO(JsonWriter) w = { 0 };

        json_open_object(&w, NULL);
        json_put_text(&w, "driver", "qcow2");
        json_put_text(&w, "absent", NULL);
        json_open_array(&w, "list");
        json_put_u64(&w, NULL, 1);
        json_open_object(&w, NULL);
        json_close_object(&w);
        json_put_i64(&w, NULL, -2);
        json_close_array(&w);
        json_put_bool(&w, "on", true);
        json_put_raw(&w, "raw", "{\"a\":1}");
        json_put_null(&w, "none");
        json_put_double(&w, "half", 0.5);
        json_put_format(&w, "id", "disk%d", 3);
        json_close_object(&w);
        CHECK_STR(json_text(&w), "{\"driver\":\"qcow2\",\"list\":[1,{},-2],\"on\":true,\"raw\":{\"a\":1},"
                                 "\"none\":null,\"half\":0.5,\"id\":\"disk3\"}");
}

TEST(text_for_people_is_laid_out_as_qemu_does_it)
{
        AUTO(JsonWriter) w = { .pretty = true };

        json_open_array(&w, NULL);
        json_open_object(&w, NULL);
        json_put_text(&w, "name", "a\"\n\t\x7f\x01\xc3\xa4\xf0\x9f\x98\x80\xff");
        json_open_array(&w, "flags");
        json_put_text(&w, NULL, "auto");
        json_put_u64(&w, NULL, 1);
        json_close_array(&w);
        json_open_object(&w, "none");
        json_close_object(&w);
        json_close_object(&w);
        json_close_array(&w);
        CHECK_STR(json_text(&w),
                  "[\n    {\n        \"name\": \"a\\\"\\n\\t\\u007F\\u0001\\u00E4\\uD83D\\uDE00\\uFFFD\",\n"
                  "        \"flags\": [\n            \"auto\",\n            1\n        ],\n"
                  "        \"none\": {\n        }\n    }\n]");
}

TEST(text_is_escaped_and_broken_utf8_replaced)
{
        AUTO(JsonWriter) w = { 0 };

        json_put_text(&w, NULL, "a\"b\\c\n\xc3\xa4\xff\xe2\x82");
        CHECK_STR(json_text(&w), "\"a\\\"b\\\\c\\u000a\xc3\xa4\\ufffd\\ufffd\\ufffd\"");
}
