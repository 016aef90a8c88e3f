#include "test.h"

#include "daemon/keys.h"
#include "wire/constants.h"

TEST(one_key_has_a_code_in_every_set)
{
        static const struct {
                uint32_t codeset, h, right_ctrl; /* plain, and with an E0 */
        } cases[] = {
                { VIR_KEYCODE_SET_LINUX, 35, 97 },        { VIR_KEYCODE_SET_XT, 0x23, 0xe01d },
                { VIR_KEYCODE_SET_ATSET1, 0x23, 0xe01d }, { VIR_KEYCODE_SET_ATSET2, 0x33, 0xe014 },
                { VIR_KEYCODE_SET_USB, 0x0b, 0xe4 },      { VIR_KEYCODE_SET_WIN32, 'H', 0xa3 },
                { VIR_KEYCODE_SET_QNUM, 0x23, 0x9d },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                CHECK(key_set_is_known(cases[i].codeset));
                CHECK_INT(key_to_qnum(cases[i].codeset, cases[i].h), 0x23);
                CHECK_INT(key_to_qnum(cases[i].codeset, cases[i].right_ctrl), 0x9d);
        }
}

TEST(a_code_that_no_key_has_is_no_key)
{
        CHECK_INT(key_to_qnum(VIR_KEYCODE_SET_LINUX, 0), -1);
        CHECK_INT(key_to_qnum(VIR_KEYCODE_SET_USB, 0), -1);
        CHECK_INT(key_to_qnum(VIR_KEYCODE_SET_LINUX, 99999), -1);
        CHECK_INT(key_to_qnum(VIR_KEYCODE_SET_QNUM, 0x100), -1);
        CHECK(!key_set_is_known(VIR_KEYCODE_SET_LAST));
}
