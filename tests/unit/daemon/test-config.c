#include "test.h"

#include "base/str.h"
#include "daemon/config.h"

#include <stdio.h>

static char warning[256];

static void keep_warning(void *arg UNUSED, const char *sentence)
{
        snprintf(warning, sizeof(warning), "%s", sentence);
}

static Config *parse(const char *text, Error *err)
{
        warning[0] = '\0';
        return config_parse("f", text, keep_warning, NULL, err);
}

/* CFG-12: the shipped defaults are the later guide's. */
TEST(an_empty_file_gives_the_defaults)
{
        AUTO(Error) err = { 0 };
        AUTO(Config) *c = parse("# nothing\n\n", &err);

        CHECK(c != NULL);
        CHECK_INT(c->max_clients, 5000);
        CHECK_INT(c->max_queued_clients, 1000);
        CHECK_INT(c->max_anonymous_clients, 20);
        CHECK_INT(c->anonymous_timeout, 60);
        CHECK_INT(c->min_workers, 5);
        CHECK_INT(c->max_workers, 20);
        CHECK_INT(c->prio_workers, 5);
        CHECK_INT(c->max_requests, 20);
        CHECK_INT(c->max_client_requests, 5);
        CHECK_INT(c->libvirt_sockets, -1);
        CHECK_NULL(c->auth_tcp);
        CHECK_STR(c->tcp_port, "16509");
        CHECK(!c->listen_tcp);
        CHECK_STR(warning, "");
}

TEST(values_of_each_type_are_read)
{
        AUTO(Error) err = { 0 };
        AUTO(Config) *c = parse("max_clients = 20 # the early guide's\n"
                                "unix_sock_group='virt' \nauth_tcp = \"none\"\nlisten_tcp = 1\n"
                                "tls_allowed_dn_list = [\"a\", \n # why\n 'b',\n]\nkeepalive_interval = -1",
                                &err);

        CHECK(c != NULL);
        CHECK_INT(c->max_clients, 20);
        CHECK_STR(c->unix_sock_group, "virt");
        CHECK(c->listen_tcp);
        CHECK_INT(str_list_len(c->tls_allowed_dn_list), 2);
        CHECK_STR(c->tls_allowed_dn_list[1], "b");
        CHECK_INT(c->keepalive_interval, -1);
}

TEST(what_is_wrong_is_named_with_its_line)
{
        static const struct {
                const char *text, *complaint;
        } cases[] = {
                { "max_clients = \"20\"", "f:1: max_clients takes a number, not a string" },
                { "\nmax_clients = 0", "f:2: max_clients must be between 1 and 1000000" },
                { "\n\nmax_clients 3", "f:3: expected '=' after 'max_clients'" },
                { "max_clients = 3 4", "f:1: there is something behind the value" },
                { "max_clients = ", "f:1: expected a number, a \"string\" or a [ \"list\" ]" },
                { "log_filters = \"x\n\"", "f:1: the string has no closing quote" },
                { "tls_allowed_dn_list = [ 1 ]", "f:1: a list holds strings only" },
                { "tls_allowed_dn_list = [ \"a\" \"b\" ]", "f:1: expected ',' or ']' in the list" },
                { "tls_allowed_dn_list = [ \"a\"", "f:1: expected ',' or ']' in the list" },
                { "= 3", "f:1: expected a key" },
                { "\nlisten_tls = 1", "f:2: listen_tls = 1 is not supported by this version" },
                { "auth_tcp = \"sasl\"", "f:1: auth_tcp = \"sasl\" is not supported by this version; use \"none\"" },
                { "auth_unix_rw = \"magic\"", "f:1: auth_unix_rw cannot be \"magic\"" },
                { "\nmin_workers = 30", "f:2: min_workers (30) is over max_workers (20)" },
                { "listen_tcp = 2", "f:1: listen_tcp is 0 or 1" },
                { "max_clients = 99999999999999999999", "f:1: expected a number, a \"string\" or a [ \"list\" ]" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Error) err = { 0 };

                CHECK_NULL(parse(cases[i].text, &err));
                CHECK_STR(err.text, cases[i].complaint);
        }
}

/* CFG-15: TCP is off, and switching it on alone is not enough. */
TEST(plain_tcp_needs_its_authentication_said)
{
        AUTO(Error) err = { 0 };

        CHECK_NULL(parse("\nlisten_tcp = 1", &err));
        CHECK(str_starts(err.text, "f:2: listen_tcp = 1 opens this host"));
}

TEST(what_has_no_effect_is_warned_about)
{
        static const struct {
                const char *text, *warning;
        } cases[] = {
                { "no_such_key = 1", "f:1: 'no_such_key' is not a key of droverd.conf; it is ignored" },
                { "\naccess_drivers = [\"polkit\"]",
                  "f:2: access_drivers is accepted, but this version does not act upon it" },
                { "max_clients=1\nmax_clients=2\n", "f:2: max_clients was set before, on line 1; this one counts" },
                { "max_requests = 5",
                  "f:1: max_requests (5) is below max_workers (20) and so is the limit" }, /* CFG-09 */
                { "max_clients = 100\nmax_workers = 30",                                   /* MIG-64 */
                  "f:2: migrations at a time are bounded by max_workers (30), not by max_clients (100)" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Error) err = { 0 };
                AUTO(Config) *c = parse(cases[i].text, &err);

                CHECK(c != NULL);
                CHECK_STR(warning, cases[i].warning);
        }
}

TEST(a_missing_file_gives_the_defaults)
{
        AUTO(Error) err = { 0 };
        AUTO(Config) *c = config_load("/no/such/droverd.conf", NULL, NULL, &err);

        CHECK(c != NULL);
        CHECK_INT(c->max_clients, 5000);
}
