#include "test.h"

#include "base/err.h"
#include "daemon/event-filter.h"

#include <regex.h>

static bool is_taken(const char *pattern)
{
        AUTO(Error) err = { 0 };

        return event_filter_check(pattern, &err) == 0;
}

TEST(nodes_are_those_of_what_is_written_out)
{
        CHECK_INT(event_filter_nodes(""), 0);
        CHECK_INT(event_filter_nodes("STOP"), 4);
        CHECK_INT(event_filter_nodes("ST*"), 3);
        CHECK_INT(event_filter_nodes("a+"), 3);
        CHECK_INT(event_filter_nodes("a{5}"), 6);
        CHECK_INT(event_filter_nodes("a{2,9}"), 10);
        CHECK_INT(event_filter_nodes("a{9,}"), 11);
        CHECK_INT(event_filter_nodes("(ab){10}"), 31);
        CHECK_INT(event_filter_nodes("x(a|b)y"), 6);
        CHECK_INT(event_filter_nodes("[a-z]{3}"), 4);
        CHECK_INT(event_filter_nodes("[]{]{3}"), 4);
        CHECK_INT(event_filter_nodes("[[:alpha:]{]{3}"), 4);
        CHECK_INT(event_filter_nodes("\\{9"), 2);
        CHECK_INT(event_filter_nodes("a{x}"), 4);
}

TEST(filters_that_people_write_are_taken)
{
        CHECK(is_taken("^(RESUME|STOP|SHUTDOWN|RESET)$"));
        CHECK(is_taken("BLOCK_.+"));
        CHECK(is_taken("[A-Z_]{1,60}"));
        CHECK(is_taken("(BLOCK|DEVICE)_(JOB|TRAY)_.*"));
}

TEST(what_takes_long_is_refused_before_it_is_compiled)
{
        CHECK(!is_taken("(((a{255}){255}){255}){255}"));
        CHECK(!is_taken("((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+"));
        CHECK(!is_taken("a{99999999999}"));
        CHECK(!is_taken("a?+"));
        CHECK(!is_taken("(((a*)*)*)*"));
        CHECK(!is_taken("(.*)(.*)(.*)(.*)\\1\\2\\3\\4x"));
        CHECK(!is_taken("((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((a"));
}

TEST(what_is_no_correct_expression_is_counted_all_the_same)
{
        CHECK_INT(event_filter_nodes("("), 0);
        CHECK_INT(event_filter_nodes(")"), 1);
        CHECK_INT(event_filter_nodes("[a"), 2);
        CHECK_INT(event_filter_nodes("\\"), 1);
        CHECK_INT(event_filter_nodes("*"), 1);
        CHECK_INT(event_filter_nodes("{"), 1);
        CHECK_INT(event_filter_nodes("[[:"), 3);
}
