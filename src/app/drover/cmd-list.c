/*
 * app/drover/cmd-list.c - which guests there are
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/str.h"

#include <strings.h>

typedef struct Row {
        const WireDomain *dom;
        const char *state;
        const char *title;
} Row;

typedef struct Columns {
        bool id, name, uuid, table, title, managed_save;
} Columns;

static const SwitchFlag filters[] = {
        { "transient", VIR_CONNECT_LIST_DOMAINS_TRANSIENT },
        { "persistent", VIR_CONNECT_LIST_DOMAINS_PERSISTENT },
        { "with-snapshot", VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT },
        { "without-snapshot", VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT },
        { "with-checkpoint", VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT },
        { "without-checkpoint", VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT },
        { "state-running", VIR_CONNECT_LIST_DOMAINS_RUNNING },
        { "state-paused", VIR_CONNECT_LIST_DOMAINS_PAUSED },
        { "state-shutoff", VIR_CONNECT_LIST_DOMAINS_SHUTOFF },
        { "state-other", VIR_CONNECT_LIST_DOMAINS_OTHER },
        { "autostart", VIR_CONNECT_LIST_DOMAINS_AUTOSTART },
        { "no-autostart", VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART },
        { "with-managed-save", VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE },
        { "without-managed-save", VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE },
        { 0 },
};

/* Running ones first, by ID; then the others by name. */
static int compare_guests(const void *a, const void *b)
{
        const WireDomain *left = a, *right = b;

        if (left->id < 0 && right->id < 0)
                return strcasecmp(left->name, right->name);
        if (left->id < 0 || right->id < 0)
                return left->id < 0 ? 1 : -1;
        return left->id < right->id ? -1 : left->id > right->id;
}

static int get_state(Session *s, const WireDomain *dom, const Columns *columns, const char **ret, Error *err)
{
        WireDomainGetStateRet state;
        WireDomainHasManagedSaveImageRet saved;

        if (session_call(s, WIRE_PROC_DOMAIN_GET_STATE, &(WireDomainGetStateArgs){ *dom, 0 }, &state, err) < 0)
                return -1;
        *ret = domain_state_text(state.state);
        if (!columns->managed_save || state.state != VIR_DOMAIN_SHUTOFF)
                return 0;
        if (session_call(s, WIRE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, &(WireDomainHasManagedSaveImageArgs){ *dom, 0 },
                         &saved, err) < 0)
                return -1;
        if (saved.result > 0)
                *ret = "saved";
        return 0;
}

static void add_row(Table *table, const Columns *columns, const Row *row)
{
        AUTOFREE char *id = row->dom->id < 0 ? str_dup("-") : str_format("%d", row->dom->id);

        table_add(table, CELLS(id, row->dom->name, row->state, columns->title ? row->title : NULL));
}

static int print_table(Session *s, const Columns *columns, const WireDomain *doms, uint32_t n, Error *err)
{
        AUTO(Table) *table = table_new(columns->title ? TITLES("Id#", "Name", "State", "Title")
                                                      : TITLES("Id#", "Name", "State"));

        for (uint32_t i = 0; i < n; i++) {
                Row row = { .dom = &doms[i] };
                AUTO(Error) why = { 0 };

                if (get_state(s, row.dom, columns, &row.state, &why) < 0 ||
                    (columns->title && !(row.title = domain_words(s, row.dom, VIR_DOMAIN_METADATA_TITLE, 0, &why)))) {
                        if (why.code == ERR_NO_DOMAIN)
                                continue; /* it went away in between */
                        return err_move(err, &why);
                }
                add_row(table, columns, &row);
        }
        out_table(s->out, table);
        return 0;
}

static void print_words(Session *s, const Columns *columns, const WireDomain *dom)
{
        char uuid[UUID_TEXT_LEN + 1];
        AUTO(Buf) line = { 0 };
        struct json_object *object = json_object_new_object();

        uuid_format(&dom->uuid, uuid);
        if (columns->uuid) {
                buf_put_text(&line, uuid);
                json_object_object_add(object, "uuid", json_object_new_string(uuid));
        }
        if (columns->id) {
                AUTOFREE char *id = dom->id < 0 ? str_dup("-") : str_format("%d", dom->id);

                buf_format(&line, "%s%s", line.len ? " " : "", id);
                json_object_object_add(object, "id", dom->id < 0 ? NULL : json_object_new_int(dom->id));
        }
        if (columns->name) {
                buf_format(&line, "%s%s", line.len ? " " : "", dom->name);
                json_object_object_add(object, "name", json_object_new_string(dom->name));
        }
        out_print(s->out, "%s\n", buf_text(&line));
        out_add(s->out, object);
}

static uint32_t which(const Args *args)
{
        uint32_t flags = VIR_CONNECT_LIST_DOMAINS_ACTIVE;

        if (arg_has(args, "inactive") || arg_has(args, "state-shutoff"))
                flags = VIR_CONNECT_LIST_DOMAINS_INACTIVE;
        if (arg_has(args, "all"))
                flags = VIR_CONNECT_LIST_DOMAINS_INACTIVE | VIR_CONNECT_LIST_DOMAINS_ACTIVE;
        return flags | switch_flags(args, filters);
}

static int list(Session *s, const Args *args, Error *err)
{
        Columns columns = { .id = arg_has(args, "id"),
                            .name = arg_has(args, "name"),
                            .uuid = arg_has(args, "uuid"),
                            .title = arg_has(args, "title"),
                            .managed_save = arg_has(args, "managed-save") };
        WireConnectListAllDomainsRet found;

        if (refuse_both(args, "table", "name", err) < 0 || refuse_both(args, "table", "uuid", err) < 0 ||
            refuse_both(args, "table", "id", err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_CONNECT_LIST_ALL_DOMAINS, &(WireConnectListAllDomainsArgs){ 1, which(args) },
                         &found, err) < 0)
                return fail(err, "Failed to list domains");
        if (found.n_domains)
                qsort(found.domains, found.n_domains, sizeof(found.domains[0]), compare_guests);
        columns.table = !columns.id && !columns.name && !columns.uuid;
        if (columns.table)
                return print_table(s, &columns, found.domains, found.n_domains, err);
        out_list(s->out);
        for (uint32_t i = 0; i < found.n_domains; i++)
                if (found.domains[i].id >= 0 || columns.name || columns.uuid)
                        print_words(s, &columns, &found.domains[i]);
        return 0;
}

const Command list_commands[] = {
        { .name = "list",
          .group = GROUP_MONITOR,
          .args = "[--inactive]              guests that do not run\n"
                  "[--all]                   guests that run and guests that do not\n"
                  "[--transient]             guests without a definition\n"
                  "[--persistent]            guests with a definition\n"
                  "[--with-snapshot]         guests that have snapshots\n"
                  "[--without-snapshot]      guests that have none\n"
                  "[--with-checkpoint]       guests that have checkpoints\n"
                  "[--without-checkpoint]    guests that have none\n"
                  "[--state-running]         guests in state running\n"
                  "[--state-paused]          guests in state paused\n"
                  "[--state-shutoff]         guests in state shut off\n"
                  "[--state-other]           guests in any other state\n"
                  "[--autostart]             guests that start with the host\n"
                  "[--no-autostart]          guests that do not\n"
                  "[--with-managed-save]     guests with a saved state\n"
                  "[--without-managed-save]  guests without one\n"
                  "[--uuid]                  print UUIDs only\n"
                  "[--name]                  print names only\n"
                  "[--id]                    print IDs only\n"
                  "[--table]                 print a table, as without any of these\n"
                  "[--managed-save]          say 'saved' of guests that are off and have a saved state\n"
                  "[--title]                 show each guest's title",
          .summary = "list guests",
          .text = "Lists those that run, unless told otherwise.",
          .run = list },
        { 0 },
};
