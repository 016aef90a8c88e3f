#pragma once
/*
 * tests/unit/test.h - a unit test is a sentence
 *
 * TEST(name) defines and registers a test; the program runs all of its file's
 * tests under cmocka. A check that fails ends its test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void test_register(const char *name, CMUnitTestFunction fn);

#define TEST(name)                                                                                                   \
        static void test_##name(void **state);                                                                       \
        __attribute__((constructor)) static void register_##name(void)                                               \
        {                                                                                                            \
                test_register(#name, test_##name);                                                                   \
        }                                                                                                            \
        static void test_##name(void **state __attribute__((unused)))

#define CHECK(condition)           assert_true(condition)
#define CHECK_STR(is, expected)    assert_string_equal((is), (expected))
#define CHECK_INT(is, expected)    assert_int_equal((is), (expected))
#define CHECK_NULL(p)              assert_null(p)
#define CHECK_MEM(is, expected, n) assert_memory_equal((is), (expected), (n))
