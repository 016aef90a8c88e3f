#include "test.h"

#include "base/str.h"
#include "daemon/migrate-limit.h"

/* MIG-62, MIG-67 */
TEST(the_least_of_clients_workers_and_ports_bounds_migrations)
{
        static const struct {
                int clients, workers, first, last;
                unsigned most;
                const char *bound_by;
        } cases[] = {
                { 5000, 20, 49152, 49215, 20, "max_workers" },
                { 20, 20, 49152, 49215, 10, "max_clients" },
                { 5000, 200, 49152, 49215, 63, "migration_port_min and migration_port_max" },
                { 5000, 200, 49152, 49152, 1, "migration_port_min and migration_port_max" },
                { 7, 20, 49152, 49215, 3, "max_clients" },
                { 5000, 200, 49153, 49152, 0, "migration_port_min and migration_port_max" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(Config) *c = config_new();
                AUTO(Error) err = { 0 };
                MigrateLimit limit;

                c->max_clients = cases[i].clients;
                c->max_workers = cases[i].workers;
                c->migration_port_min = cases[i].first;
                c->migration_port_max = cases[i].last;
                migrate_limit(c, &limit);
                CHECK_INT(limit.most, cases[i].most);
                CHECK_STR(limit.bound_by, cases[i].bound_by);
                CHECK_INT(migrate_limit_check(c, limit.most, &err), -1);
                CHECK(strstr(err.text, limit.bound_by) != NULL);
                if (limit.most)
                        CHECK_INT(migrate_limit_check(c, limit.most - 1, NULL), 0);
        }
}
