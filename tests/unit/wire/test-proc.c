#include "test.h"

#include "base/str.h"
#include "wire/constants.h"
#include "wire/proc.h"
#include "wire/structs.h"

TEST(every_row_is_found_by_its_number)
{
        for (size_t i = 0; i < N_WIRE_PROCS; i++) {
                CHECK(wire_proc_find(wire_procs[i].program, wire_procs[i].number) == &wire_procs[i]);
                CHECK(wire_proc_index(&wire_procs[i]) == i);
                CHECK(!wire_event_find(wire_procs[i].program, wire_procs[i].number));
        }
        for (size_t i = 0; i < N_WIRE_EVENTS; i++) {
                CHECK(wire_event_find(wire_events[i].program, wire_events[i].number) == &wire_events[i]);
                CHECK_NULL(wire_proc_find(wire_events[i].program, wire_events[i].number));
        }
        CHECK_NULL(wire_proc_find(WIRE_PROGRAM_REMOTE, 0));
        CHECK_NULL(wire_proc_find(WIRE_PROGRAM_REMOTE, -1));
        CHECK_NULL(wire_proc_find(WIRE_PROGRAM_KEEPALIVE, 1));
}

TEST(well_known_numbers_are_what_clients_use)
{
        static const struct {
                uint32_t program;
                int32_t number;
                const char *name;
        } cases[] = {
                { WIRE_PROGRAM_REMOTE, 1, "connect_open" },
                { WIRE_PROGRAM_REMOTE, 66, "auth_list" },
                { WIRE_PROGRAM_REMOTE, 273, "connect_list_all_domains" },
                { WIRE_PROGRAM_REMOTE, 316, "connect_domain_event_callback_register_any" },
                { WIRE_PROGRAM_REMOTE, 302, "domain_migrate_begin3_params" },
                { WIRE_PROGRAM_QEMU, 1, "qemu_domain_monitor_command" },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                CHECK_STR(wire_proc_find(cases[i].program, cases[i].number)->name, cases[i].name);
                CHECK(wire_proc_find_name(cases[i].name)->number == cases[i].number);
        }
}

TEST(flags_decide_which_rights_a_call_needs)
{
        const WireProc *xml = wire_proc_find_name("domain_get_xml_desc");
        const WireProc *set = wire_proc_find_name("domain_set_memory_flags");
        WireDomainGetXmlDescArgs plain = { 0 }, secure = { .flags = VIR_DOMAIN_XML_SECURE };
        WireDomainSetMemoryFlagsArgs live = { .flags = VIR_DOMAIN_AFFECT_LIVE },
                                     config = { .flags = VIR_DOMAIN_AFFECT_CONFIG };
        WireDomainSetMemoryFlagsArgs current = { 0 };
        size_t rights_live = 0, rights_config = 0, rights_current = 0;

        CHECK_INT(xml->access[0].right, RIGHT_DOMAIN_READ);
        CHECK_INT(xml->access[1].right, RIGHT_DOMAIN_READ_SECURE);
        CHECK(wire_access_applies(&xml->access[0], &plain));
        CHECK(!wire_access_applies(&xml->access[1], &plain));
        CHECK(wire_access_applies(&xml->access[1], &secure));
        for (size_t i = 0; i < set->n_access; i++) {
                if (set->access[i].right != RIGHT_DOMAIN_SAVE)
                        continue;
                rights_live += wire_access_applies(&set->access[i], &live);
                rights_config += wire_access_applies(&set->access[i], &config);
                rights_current += wire_access_applies(&set->access[i], &current);
        }
        CHECK_INT(rights_live, 0);
        CHECK_INT(rights_config, 1);
        CHECK_INT(rights_current, 1);
        CHECK_STR(wire_right_names[RIGHT_DOMAIN_READ_SECURE], "domain:read_secure");
}

TEST(streams_know_their_direction_and_whether_holes_may_come)
{
        const WireProc *upload = wire_proc_find_name("storage_vol_upload");
        const WireStorageVolUploadArgs plain = { 0 }, sparse = { .flags = VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM };

        CHECK_INT(upload->stream, WIRE_STREAM_WRITE);
        CHECK(!wire_proc_is_sparse(upload, &plain));
        CHECK(wire_proc_is_sparse(upload, &sparse));
        CHECK_INT(wire_proc_find_name("domain_open_console")->stream, WIRE_STREAM_BOTH);
        CHECK_INT(wire_proc_find_name("domain_screenshot")->stream, WIRE_STREAM_READ);
        CHECK(!wire_proc_is_sparse(wire_proc_find_name("domain_screenshot"), &plain));
}

TEST(events_are_found_by_what_a_client_registers_for)
{
        CHECK_INT(wire_event_find_id(WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_LIFECYCLE, false)->number, 318);
        CHECK_INT(wire_event_find_id(WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_LIFECYCLE, true)->number, 107);
        CHECK_NULL(wire_event_find_id(WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_TUNABLE, true));
        CHECK_NULL(wire_event_find_id(WIRE_CLASS_DOMAIN, 4711, false));
        for (int id = 0; id < VIR_DOMAIN_EVENT_ID_CHANNEL_LIFECYCLE; id++)
                CHECK(wire_event_find_id(WIRE_CLASS_DOMAIN, id, false)->has_callback_id);
}

TEST(descriptors_travel_with_the_calls_that_say_so)
{
        CHECK_INT(wire_proc_find_name("domain_open_graphics")->fds_in, WIRE_FDS_ONE);
        CHECK_INT(wire_proc_find_name("domain_open_graphics_fd")->fds_out, WIRE_FDS_ONE);
        CHECK_INT(wire_proc_find_name("domain_create_with_files")->fds_in, WIRE_FDS_ANY);
        CHECK_INT(wire_proc_find_name("domain_create")->fds_in, WIRE_FDS_NONE);
}
