/*
 * tests/unit/test-main.c - run the tests that the file linked with this one registered
 */
#include "test.h"

#include <stdlib.h>

enum { MOST_TESTS = 256 };

static struct CMUnitTest tests[MOST_TESTS];
static size_t n_tests;

void test_register(const char *name, CMUnitTestFunction fn)
{
        if (n_tests == MOST_TESTS)
                abort();
        tests[n_tests++] = (struct CMUnitTest){ .name = name, .test_func = fn };
}

int main(void)
{
        return _cmocka_run_group_tests("tests", tests, n_tests, NULL, NULL);
}
