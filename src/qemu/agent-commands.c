/*
 * qemu/agent-commands.c - what drover asks a guest agent, where one command is not the whole of it
 *
 * An AgentInquiry asks one group after another; the rows of `groups` say how. What it gives out is bounded by
 * AGENT_MOST_PARAMS, the most that one answer on the wire may hold.
 */
#include "qemu/agent-commands.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

struct AgentInquiry {
        AgentClient *agent;
        DomainDef *def;
        AgentCall *call; /* under way */
        Arena *arena;
        VEC(AgentParam) params;
        unsigned wanted;
        size_t at; /* the row of groups that is asked now */
        bool skips_unknown;
        void (*done)(void *arg, const AgentParam *params, size_t n, const Error *failure);
        void *arg;
};

/* Disks, by where the guest sees them. */

static bool is_pci(const DeviceInfo *info, const AgentPciAddress *pci)
{
        const DeviceAddress *a = info->address;

        return a && a->type == ADDRESS_TYPE_PCI && a->domain == pci->domain && a->bus == pci->bus &&
               a->slot == pci->slot && a->function == pci->function;
}

static ControllerType controller_type(DiskBus bus)
{
        switch (bus) {
        case DISK_BUS_IDE:
                return CONTROLLER_TYPE_IDE;
        case DISK_BUS_SATA:
                return CONTROLLER_TYPE_SATA;
        case DISK_BUS_SCSI:
                return CONTROLLER_TYPE_SCSI;
        default:
                return CONTROLLER_TYPE_UNSET;
        }
}

static bool is_on(const DomainDef *def, const DiskDef *disk, const AgentDiskAddress *address)
{
        const DeviceAddress *a = disk->info.address;

        if (!a || a->type != ADDRESS_TYPE_DRIVE)
                return is_pci(&disk->info, &address->pci_controller);
        if (a->bus != address->bus || a->target != address->target || a->unit != address->unit)
                return false;
        for (uint32_t i = 0; i < def->n_controllers; i++) {
                const ControllerDef *c = def->controllers[i];

                if (c->type == controller_type(disk->target_bus) && c->index == a->controller)
                        return is_pci(&c->info, &address->pci_controller);
        }
        return false;
}

const DiskDef *agent_find_disk(const DomainDef *def, const AgentDiskAddress *address)
{
        for (uint32_t i = 0; def && i < def->n_disks; i++) {
                if (is_on(def, def->disks[i], address))
                        return def->disks[i];
        }
        return NULL;
}

/* Collecting. */

static AgentParam *add(AgentInquiry *inquiry, AgentParamType type, const char *name)
{
        vec_push(&inquiry->params, ((AgentParam){ .name = name, .type = type }));
        return &inquiry->params.items[inquiry->params.len - 1];
}

static void add_text(AgentInquiry *inquiry, const char *name, const char *text)
{
        if (text)
                add(inquiry, AGENT_PARAM_TEXT, name)->text = arena_dup(inquiry->arena, text);
}

static void add_number(AgentInquiry *inquiry, const char *name, AgentParamType type, int64_t number)
{
        add(inquiry, type, name)->number = number;
}

static void ask_next(AgentInquiry *inquiry);

static void finish(AgentInquiry *inquiry, const Error *failure)
{
        inquiry->done(inquiry->arg, failure ? NULL : inquiry->params.items, failure ? 0 : inquiry->params.len,
                      failure);
}

/* A group was answered. True: its values are to be taken. */
static bool answered(AgentInquiry *inquiry, const Error *failure)
{
        inquiry->call = NULL;
        if (!failure)
                return true;
        if (failure->code == ERR_OPERATION_UNSUPPORTED && inquiry->skips_unknown)
                ask_next(inquiry);
        else
                finish(inquiry, failure);
        return false;
}

static void group_done(AgentInquiry *inquiry)
{
        AUTO(Error) many = { 0 };

        if (inquiry->params.len <= AGENT_MOST_PARAMS) {
                ask_next(inquiry);
                return;
        }
        err_set(&many, ERR_AGENT_COMMAND_FAILED, "the guest agent gave %zu values, more than %d", inquiry->params.len,
                AGENT_MOST_PARAMS);
        finish(inquiry, &many);
}

/* The groups. */

static void got_users(void *arg, const AgentUser *users, size_t n, const Error *failure)
{
        AgentInquiry *inquiry = arg;

        if (!answered(inquiry, failure))
                return;
        add_number(inquiry, "user.count", AGENT_PARAM_UINT, (int64_t)n);
        for (size_t i = 0; i < n && i < AGENT_MOST_PARAMS; i++) {
                double ms = users[i].login_time * 1000;

                add_text(inquiry, arena_format(inquiry->arena, "user.%zu.name", i), users[i].user);
                add_text(inquiry, arena_format(inquiry->arena, "user.%zu.domain", i), users[i].domain);
                add_number(inquiry, arena_format(inquiry->arena, "user.%zu.login-time", i), AGENT_PARAM_U64,
                           ms > 0 && ms < 1e18 ? (int64_t)ms : 0);
        }
        group_done(inquiry);
}

static AgentCall *ask_users(AgentInquiry *inquiry)
{
        return agent_get_users(inquiry->agent, got_users, inquiry);
}

static void got_os(void *arg, const AgentOsInfo *os, const Error *failure)
{
        AgentInquiry *inquiry = arg;

        if (!answered(inquiry, failure))
                return;
        add_text(inquiry, "os.id", os->id);
        add_text(inquiry, "os.name", os->name);
        add_text(inquiry, "os.pretty-name", os->pretty_name);
        add_text(inquiry, "os.version", os->version);
        add_text(inquiry, "os.version-id", os->version_id);
        add_text(inquiry, "os.machine", os->machine);
        add_text(inquiry, "os.variant", os->variant);
        add_text(inquiry, "os.variant-id", os->variant_id);
        add_text(inquiry, "os.kernel-release", os->kernel_release);
        add_text(inquiry, "os.kernel-version", os->kernel_version);
        group_done(inquiry);
}

static AgentCall *ask_os(AgentInquiry *inquiry)
{
        return agent_get_osinfo(inquiry->agent, got_os, inquiry);
}

static void got_timezone(void *arg, const AgentTimezone *timezone, const Error *failure)
{
        AgentInquiry *inquiry = arg;

        if (!answered(inquiry, failure))
                return;
        add_text(inquiry, "timezone.name", timezone->zone);
        if (timezone->offset >= INT32_MIN && timezone->offset <= INT32_MAX)
                add_number(inquiry, "timezone.offset", AGENT_PARAM_INT, timezone->offset);
        group_done(inquiry);
}

static AgentCall *ask_timezone(AgentInquiry *inquiry)
{
        return agent_get_timezone(inquiry->agent, got_timezone, inquiry);
}

static void got_hostname(void *arg, const AgentHostName *host, const Error *failure)
{
        AgentInquiry *inquiry = arg;

        if (!answered(inquiry, failure))
                return;
        add_text(inquiry, "hostname", host->host_name);
        group_done(inquiry);
}

static AgentCall *ask_hostname(AgentInquiry *inquiry)
{
        return agent_get_host_name(inquiry->agent, got_hostname, inquiry);
}

static void add_filesystem(AgentInquiry *inquiry, size_t i, const AgentFilesystem *fs)
{
        Arena *arena = inquiry->arena;

        add_text(inquiry, arena_format(arena, "fs.%zu.name", i), fs->name);
        add_text(inquiry, arena_format(arena, "fs.%zu.mountpoint", i), fs->mountpoint);
        add_text(inquiry, arena_format(arena, "fs.%zu.fstype", i), fs->type);
        if (fs->has_total_bytes)
                add_number(inquiry, arena_format(arena, "fs.%zu.total-bytes", i), AGENT_PARAM_U64,
                           (int64_t)fs->total_bytes);
        if (fs->has_used_bytes)
                add_number(inquiry, arena_format(arena, "fs.%zu.used-bytes", i), AGENT_PARAM_U64,
                           (int64_t)fs->used_bytes);
        add_number(inquiry, arena_format(arena, "fs.%zu.disk.count", i), AGENT_PARAM_UINT, (int64_t)fs->n_disk);
        for (size_t j = 0; j < fs->n_disk && j < AGENT_MOST_PARAMS; j++) {
                const DiskDef *disk = agent_find_disk(inquiry->def, &fs->disk[j]);

                if (disk)
                        add_text(inquiry, arena_format(arena, "fs.%zu.disk.%zu.alias", i, j), disk->target_dev);
                add_text(inquiry, arena_format(arena, "fs.%zu.disk.%zu.serial", i, j), fs->disk[j].serial);
                add_text(inquiry, arena_format(arena, "fs.%zu.disk.%zu.device", i, j), fs->disk[j].dev);
        }
}

static void got_filesystems(void *arg, const AgentFilesystem *filesystems, size_t n, const Error *failure)
{
        AgentInquiry *inquiry = arg;

        if (!answered(inquiry, failure))
                return;
        add_number(inquiry, "fs.count", AGENT_PARAM_UINT, (int64_t)n);
        for (size_t i = 0; i < n && inquiry->params.len <= AGENT_MOST_PARAMS; i++)
                add_filesystem(inquiry, i, &filesystems[i]);
        group_done(inquiry);
}

static AgentCall *ask_filesystems(AgentInquiry *inquiry)
{
        return agent_get_fsinfo(inquiry->agent, got_filesystems, inquiry);
}

static void add_disk(AgentInquiry *inquiry, size_t i, const AgentDisk *disk)
{
        Arena *arena = inquiry->arena;

        add_text(inquiry, arena_format(arena, "disk.%zu.name", i), disk->name);
        add_number(inquiry, arena_format(arena, "disk.%zu.partition", i), AGENT_PARAM_BOOL, disk->partition);
        if (disk->dependencies)
                add_number(inquiry, arena_format(arena, "disk.%zu.dependency.count", i), AGENT_PARAM_UINT,
                           (int64_t)disk->n_dependencies);
        for (size_t j = 0; j < disk->n_dependencies && j < AGENT_MOST_PARAMS; j++)
                add_text(inquiry, arena_format(arena, "disk.%zu.dependency.%zu.name", i, j), disk->dependencies[j]);
        if (disk->address) {
                const DiskDef *known = agent_find_disk(inquiry->def, disk->address);

                if (known)
                        add_text(inquiry, arena_format(arena, "disk.%zu.alias", i), known->target_dev);
                add_text(inquiry, arena_format(arena, "disk.%zu.serial", i), disk->address->serial);
                add_text(inquiry, arena_format(arena, "disk.%zu.guest_bus", i), disk->address->bus_type);
        }
        add_text(inquiry, arena_format(arena, "disk.%zu.guest_alias", i), disk->alias);
}

static void got_disks(void *arg, const AgentDisk *disks, size_t n, const Error *failure)
{
        AgentInquiry *inquiry = arg;

        if (!answered(inquiry, failure))
                return;
        add_number(inquiry, "disk.count", AGENT_PARAM_UINT, (int64_t)n);
        for (size_t i = 0; i < n && inquiry->params.len <= AGENT_MOST_PARAMS; i++)
                add_disk(inquiry, i, &disks[i]);
        group_done(inquiry);
}

static AgentCall *ask_disks(AgentInquiry *inquiry)
{
        return agent_get_disks(inquiry->agent, got_disks, inquiry);
}

static void add_interface(AgentInquiry *inquiry, size_t i, const AgentInterface *interface)
{
        Arena *arena = inquiry->arena;

        add_text(inquiry, arena_format(arena, "if.%zu.name", i), interface->name);
        add_text(inquiry, arena_format(arena, "if.%zu.hwaddr", i), interface->hardware_address);
        add_number(inquiry, arena_format(arena, "if.%zu.addr.count", i), AGENT_PARAM_UINT,
                   (int64_t)interface->n_ip_addresses);
        for (size_t j = 0; j < interface->n_ip_addresses && j < AGENT_MOST_PARAMS; j++) {
                const AgentIpAddress *ip = &interface->ip_addresses[j];

                add_text(inquiry, arena_format(arena, "if.%zu.addr.%zu.type", i, j), ip->ip_address_type);
                add_text(inquiry, arena_format(arena, "if.%zu.addr.%zu.addr", i, j), ip->ip_address);
                if (ip->prefix >= 0 && ip->prefix <= 128)
                        add_number(inquiry, arena_format(arena, "if.%zu.addr.%zu.prefix", i, j), AGENT_PARAM_UINT,
                                   ip->prefix);
        }
}

static void got_interfaces(void *arg, const AgentInterface *interfaces, size_t n, const Error *failure)
{
        AgentInquiry *inquiry = arg;

        if (!answered(inquiry, failure))
                return;
        add_number(inquiry, "if.count", AGENT_PARAM_UINT, (int64_t)n);
        for (size_t i = 0; i < n && inquiry->params.len <= AGENT_MOST_PARAMS; i++)
                add_interface(inquiry, i, &interfaces[i]);
        group_done(inquiry);
}

static AgentCall *ask_interfaces(AgentInquiry *inquiry)
{
        return agent_network_get_interfaces(inquiry->agent, got_interfaces, inquiry);
}

static const struct {
        unsigned group;
        AgentCall *(*ask)(AgentInquiry *inquiry);
} groups[] = {
        { AGENT_INFO_USERS, ask_users },
        { AGENT_INFO_OS, ask_os },
        { AGENT_INFO_TIMEZONE, ask_timezone },
        { AGENT_INFO_HOSTNAME, ask_hostname },
        { AGENT_INFO_FILESYSTEM, ask_filesystems },
        { AGENT_INFO_DISKS, ask_disks },
        { AGENT_INFO_INTERFACES, ask_interfaces },
};

static void ask_next(AgentInquiry *inquiry)
{
        for (; inquiry->at < ARRAY_LEN(groups); inquiry->at++) {
                if (!(inquiry->wanted & groups[inquiry->at].group))
                        continue;
                inquiry->call = groups[inquiry->at++].ask(inquiry);
                return;
        }
        finish(inquiry, NULL);
}

AgentInquiry *agent_inquiry_new(AgentClient *agent, const DomainDef *def, unsigned wanted,
                                void (*done)(void *arg, const AgentParam *params, size_t n, const Error *failure),
                                void *arg)
{
        AgentInquiry *inquiry = mem_new(AgentInquiry);

        *inquiry = (AgentInquiry){ .agent = agent, .done = done, .arg = arg, .arena = arena_new() };
        inquiry->def = domain_def_ref(def);
        inquiry->skips_unknown = wanted == 0;
        inquiry->wanted = (wanted & AGENT_INFO_ALL) ?: AGENT_INFO_ALL;
        ask_next(inquiry);
        return inquiry;
}

AgentInquiry *agent_inquiry_free(AgentInquiry *inquiry)
{
        if (!inquiry)
                return NULL;
        agent_call_free(inquiry->call);
        domain_def_unref(inquiry->def);
        vec_done(&inquiry->params);
        arena_free(inquiry->arena);
        free(inquiry);
        return NULL;
}

/* Processors. */

static bool can_switch(const AgentVcpu *vcpu, bool online)
{
        return online || (vcpu->has_can_offline && vcpu->can_offline);
}

static void plan_switch(AgentVcpu *plan, size_t *n, const AgentVcpu *vcpu, bool online)
{
        plan[(*n)++] = (AgentVcpu){ .logical_id = vcpu->logical_id, .online = online };
}

int agent_vcpu_switch(const AgentVcpu *vcpus, size_t n, const Bitmap *wanted, bool online, AgentVcpu **ret,
                      size_t *n_ret, Error *err)
{
        AUTOFREE AgentVcpu *plan = mem_new_array(AgentVcpu, n);
        size_t n_plan = 0;
        Bitmap missing = *wanted;

        for (size_t i = 0; i < n; i++) {
                int64_t id = vcpus[i].logical_id;

                if (id < 0 || id >= BITMAP_BITS || !bitmap_has(&missing, (unsigned)id))
                        continue;
                bitmap_clear(&missing, (unsigned)id);
                if (!can_switch(&vcpus[i], online))
                        return err_set(err, ERR_INVALID_ARG, "processor %lld of the guest cannot be switched off",
                                       (long long)id);
                if (vcpus[i].online != online)
                        plan_switch(plan, &n_plan, &vcpus[i], online);
        }
        if (!bitmap_is_empty(&missing))
                return err_set(err, ERR_INVALID_ARG, "the guest has no processor %d", bitmap_next(&missing, -1));
        *ret = TAKE(plan);
        *n_ret = n_plan;
        return 0;
}

int agent_vcpu_count(const AgentVcpu *vcpus, size_t n, unsigned count, AgentVcpu **ret, size_t *n_ret, Error *err)
{
        AUTOFREE AgentVcpu *plan = mem_new_array(AgentVcpu, n);
        size_t n_plan = 0, online = 0;

        if (count > n)
                return err_set(err, ERR_INVALID_ARG, "the guest has %zu processors, not %u", n, count);
        for (size_t i = 0; i < n; i++)
                online += vcpus[i].online;
        for (size_t i = 0; i < n && online < count; i++) {
                if (vcpus[i].online)
                        continue;
                plan_switch(plan, &n_plan, &vcpus[i], true);
                online++;
        }
        for (size_t i = n; i-- > 0 && online > count;) {
                if (!vcpus[i].online || !can_switch(&vcpus[i], false))
                        continue;
                plan_switch(plan, &n_plan, &vcpus[i], false);
                online--;
        }
        if (online != count)
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "the guest cannot switch off so many processors: %zu stay", online);
        *ret = TAKE(plan);
        *n_ret = n_plan;
        return 0;
}

enum { MOST_VCPUS = 4096 };

/* "0-2,4" of the set ones. */
static const char *format_set(const bool set[MOST_VCPUS], Arena *arena)
{
        AUTO(Buf) text = { 0 };

        for (int i = 0; i < MOST_VCPUS; i++) {
                int last = i;

                if (!set[i])
                        continue;
                while (last + 1 < MOST_VCPUS && set[last + 1])
                        last++;
                buf_format(&text, "%s%d", text.len ? "," : "", i);
                if (last > i)
                        buf_format(&text, "-%d", last);
                i = last;
        }
        return arena_dup(arena, buf_text(&text));
}

int agent_vcpu_params(const AgentVcpu *vcpus, size_t n, Arena *arena, AgentParam ret[3], Error *err)
{
        static const char *const names[] = { "vcpus", "online", "offlinable" };
        bool sets[3][MOST_VCPUS] = { 0 };

        for (size_t i = 0; i < n; i++) {
                int64_t id = vcpus[i].logical_id;

                if (id < 0 || id >= MOST_VCPUS)
                        return err_set(err, ERR_AGENT_COMMAND_FAILED, "the guest agent numbers a processor %lld",
                                       (long long)id);
                sets[0][id] = true;
                sets[1][id] = vcpus[i].online;
                sets[2][id] = vcpus[i].has_can_offline && vcpus[i].can_offline;
        }
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                ret[i] = (AgentParam){ .name = names[i],
                                       .type = AGENT_PARAM_TEXT,
                                       .text = format_set(sets[i], arena) };
        return 0;
}

/* Single commands with a twist. */

AgentCall *agent_freeze(AgentClient *agent, const char *const *mountpoints, size_t n_mountpoints,
                        void (*done)(void *arg, int64_t frozen, const Error *failure), void *arg)
{
        AgentGuestFsfreezeFreezeList args = { .mountpoints = mountpoints, .n_mountpoints = n_mountpoints };

        if (n_mountpoints == 0)
                return agent_fsfreeze_freeze(agent, done, arg);
        return agent_fsfreeze_freeze_list(agent, &args, done, arg);
}

AgentCall *agent_set_password(AgentClient *agent, const char *user, const char *password, bool crypted,
                              void (*done)(void *arg, const Error *failure), void *arg)
{
        AUTOFREE char *coded = str_to_base64(password, strlen(password));
        AgentGuestSetUserPassword args = { .username = user, .password = coded, .crypted = crypted };
        AgentCall *call = agent_set_user_password(agent, &args, done, arg);

        explicit_bzero(coded, strlen(coded));
        return call;
}
