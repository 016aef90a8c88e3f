/*
 * daemon/keys.c - keycodes of clients, as QEMU numbers keys
 */
#include "daemon/keys.h"

#include "daemon/key-codes.h"
#include "wire/constants.h"

enum {
        EXTENDED = 0xe000, /* an E0 stands in front of the scan code */
        QNUM_EXTENDED = 0x80,
        QNUM_LARGEST = 0xff,
};

bool key_set_is_known(uint32_t codeset)
{
        switch (codeset) {
        case VIR_KEYCODE_SET_LINUX:
        case VIR_KEYCODE_SET_XT:
        case VIR_KEYCODE_SET_ATSET1:
        case VIR_KEYCODE_SET_ATSET2:
        case VIR_KEYCODE_SET_USB:
        case VIR_KEYCODE_SET_WIN32:
        case VIR_KEYCODE_SET_QNUM:
                return true;
        default:
                return false;
        }
}

static uint32_t code_in(uint32_t codeset, const KeyCodes *key)
{
        switch (codeset) {
        case VIR_KEYCODE_SET_LINUX:
                return key->kernel;
        case VIR_KEYCODE_SET_XT:
        case VIR_KEYCODE_SET_ATSET1:
                return key->at1;
        case VIR_KEYCODE_SET_ATSET2:
                return key->at2;
        case VIR_KEYCODE_SET_USB:
                return key->usb;
        case VIR_KEYCODE_SET_WIN32:
                return key->win32;
        default:
                return 0;
        }
}

int key_to_qnum(uint32_t codeset, uint32_t keycode)
{
        if (codeset == VIR_KEYCODE_SET_QNUM)
                return keycode && keycode <= QNUM_LARGEST ? (int)keycode : -1;
        for (size_t i = 0; keycode && i < n_key_codes; i++) {
                const KeyCodes *key = &key_codes[i];

                if (code_in(codeset, key) == keycode)
                        return (key->at1 & ~EXTENDED) | ((key->at1 & EXTENDED) ? QNUM_EXTENDED : 0);
        }
        return -1;
}
