#include "test.h"

#include "base/str.h"
#include "base/uuid.h"

/* LIFE-01: dashed or as 32 hex digits; output is always dashed. */
TEST(both_spellings_are_one_uuid)
{
        Uuid a, b;
        char text[UUID_TEXT_LEN + 1];

        CHECK_INT(uuid_parse("4a4c59a7ee3fc78196e4288f2862f011", &a), 0);
        CHECK_INT(uuid_parse(" 4A4C59A7-ee3f-c781-96e4-288f2862f011\n", &b), 0);
        CHECK(uuid_eq(&a, &b));
        CHECK_STR(uuid_format(&a, text), "4a4c59a7-ee3f-c781-96e4-288f2862f011");
}

TEST(what_is_no_uuid_is_refused)
{
        static const char *const bad[] = { "",
                                           "4a4c59a7",
                                           "4a4c59a7ee3fc78196e4288f2862f01",
                                           "g",
                                           "4a4c59a7ee3fc78196e4288f2862f0111",
                                           "-4a4c59a7ee3fc78196e4288f2862f011" };
        Uuid uuid;

        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                CHECK_INT(uuid_parse(bad[i], &uuid), -1);
}
