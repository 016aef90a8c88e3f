#include "test.h"

#include "base/str.h"
#include "wire/error.h"

TEST(every_member_is_filled_as_stock_servers_do)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        WireError wire;

        err_set(&err, ERR_NO_DOMAIN, "no domain with matching name 'X'");
        wire_error_fill(&err, ERROR_FROM_QEMU, arena, &wire);
        CHECK_INT(wire.code, 42);
        CHECK_INT(wire.domain, 10);
        CHECK_INT(wire.level, 2);
        CHECK_STR(wire.message, "Domain not found: no domain with matching name 'X'");
        CHECK_STR(wire.str1, "Domain not found: %s");
        CHECK_STR(wire.str2, "no domain with matching name 'X'");
        CHECK_INT(wire.int1, -1);
        CHECK_NULL(wire.dom);
}

TEST(an_error_survives_the_way_there_and_back)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        AUTO(Error) back = { 0 };
        WireError wire;

        err_set(&err, ERR_OPERATION_INVALID, "domain is not running");
        wire_error_fill(&err, ERROR_FROM_QEMU, arena, &wire);
        CHECK_INT(wire_error_take(&wire, &back), -1);
        CHECK_INT(back.code, ERR_OPERATION_INVALID);
        CHECK_STR(back.text, "domain is not running");

        wire = (WireError){ .code = 777, .message = "from another time" };
        wire_error_take(&wire, &back);
        CHECK_INT(back.code, 777);
        CHECK_STR(back.text, "from another time");
}

TEST(some_codes_name_their_own_component)
{
        AUTO(Arena) *arena = arena_new();
        AUTO(Error) err = { 0 };
        WireError wire;

        err_set(&err, ERR_RPC, "unknown procedure: 9999");
        wire_error_fill(&err, ERROR_FROM_QEMU, arena, &wire);
        CHECK_INT(wire.domain, 7);
        CHECK_STR(wire.message, "unknown procedure: 9999");
        err_set(&err, ERR_OPERATION_DENIED, "read only access prevents virDomainDestroy");
        wire_error_fill(&err, ERROR_FROM_QEMU, arena, &wire);
        CHECK_INT(wire.domain, 20);
}
