#include "test.h"

#include "base/hash.h"

TEST(known_texts_have_their_known_hashes)
{
        CHECK(hash_fnv1a(HASH_FNV1A_EMPTY, "", 0) == HASH_FNV1A_EMPTY);
        CHECK(hash_fnv1a(HASH_FNV1A_EMPTY, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
        CHECK(hash_fnv1a(HASH_FNV1A_EMPTY, "foobar", 6) == UINT64_C(0x85944171f73967e8));
}

TEST(pieces_give_what_the_whole_gives)
{
        CHECK(hash_fnv1a(hash_fnv1a(HASH_FNV1A_EMPTY, "foo", 3), "bar", 3) ==
              hash_fnv1a(HASH_FNV1A_EMPTY, "foobar", 6));
}
