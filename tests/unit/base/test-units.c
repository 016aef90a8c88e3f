#include "test.h"

#include "base/units.h"

/* DOM-01: what 1001 of each unit is in KiB. */
TEST(every_unit_of_the_guide_gives_its_kib)
{
        static const struct {
                const char *unit;
                uint64_t kib;
        } cases[] = {
                { "b", 1 },
                { "bytes", 1 },
                { "KB", 978 },
                { "k", 1001 },
                { "KiB", 1001 },
                { NULL, 1001 },
                { "MB", 977540 },
                { "M", 1025024 },
                { "MiB", 1025024 },
                { "GB", 977539063 },
                { "G", 1049624576 },
                { "GiB", 1049624576 },
                { "TB", 977539062500 },
                { "T", 1074815565824 },
                { "TiB", 1074815565824 },
                { "mib", 1025024 },
                /* CON-65: clients of today know more of them, in any case */
                { "p", 1100611139403776 },
                { "PiB", 1100611139403776 },
                { "pb", 977539062500000 },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Error) err = { 0 };
                uint64_t bytes;

                CHECK_INT(units_to_bytes(1001, cases[i].unit, 1024, UINT64_MAX, &bytes, &err), 0);
                CHECK_INT(units_bytes_to_kib(bytes), cases[i].kib);
        }
}

TEST(bytes_are_rounded_up_to_kib)
{
        CHECK_INT(units_bytes_to_kib(1048577), 1025); /* DOM-02 */
        CHECK_INT(units_bytes_to_kib(UINT64_MAX), UINT64_MAX / 1024 + 1);
}

TEST(unknown_units_and_overflow_are_refused)
{
        AUTO(Error) err = { 0 };
        uint64_t bytes;

        CHECK_INT(units_to_bytes(1, "parsec", 1024, UINT64_MAX, &bytes, &err), -1);
        CHECK_STR(err.text, "unknown suffix 'parsec'");
        CHECK_INT(units_to_bytes(1, "KiBs", 1024, UINT64_MAX, &bytes, &err), -1);
        CHECK_INT(units_to_bytes(UINT64_MAX, "KiB", 1024, UINT64_MAX, &bytes, &err), -1);
        CHECK_INT(err.code, ERR_OVERFLOW);
}
