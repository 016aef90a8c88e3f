#include "test.h"

#include "base/mac.h"

TEST(an_address_survives_its_text)
{
        char text[MAC_TEXT_LEN + 1];
        Mac mac;

        CHECK_INT(mac_parse("52:54:00:AB:cd:0f", &mac), 0);
        CHECK_STR(mac_format(&mac, text), "52:54:00:ab:cd:0f");
}

TEST(what_is_not_six_pairs_is_refused)
{
        static const char *const bad[] = {
                "", "52:54:00:ab:cd", "52:54:00:ab:cd:0f:", "52:54:00:ab:cd:0g", "525400abcd0f", "52-54-00-ab-cd-0f"
        };
        Mac mac;

        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                CHECK_INT(mac_parse(bad[i], &mac), -1);
}

/* CON-24, DOM-26 */
TEST(made_addresses_are_unicast_and_differ)
{
        static const uint8_t prefix[] = { 0x52, 0x54, 0x00 };
        Mac a, b;

        mac_new_random(prefix, &a);
        mac_new_random(prefix, &b);
        CHECK(!mac_is_multicast(&a));
        CHECK(!mac_eq(&a, &b));
        CHECK_MEM(a.bytes, prefix, 3);
}
