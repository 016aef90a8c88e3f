/*
 * daemon/handle-agent-info.c - what the agent in a guest knows: processors, file systems, all groups at once
 */
#include "base/mem.h"
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/params.h"
#include "daemon/qemu-agent.h"
#include "qemu/agent-commands.h"
#include "wire/constants.h"

enum { MOST_FILE_SYSTEMS = 256, MOST_DISKS = 256 };

static void put_params(const AgentParam *params, size_t n, Params *ret)
{
        for (size_t i = 0; i < n; i++) {
                const AgentParam *p = &params[i];

                switch (p->type) {
                case AGENT_PARAM_TEXT:
                        params_put_string(ret, p->name, p->text);
                        break;
                case AGENT_PARAM_INT:
                        params_put_int(ret, p->name, (int32_t)p->number);
                        break;
                case AGENT_PARAM_UINT:
                        params_put_uint(ret, p->name, (uint32_t)p->number);
                        break;
                case AGENT_PARAM_U64:
                        params_put_ullong(ret, p->name, (uint64_t)p->number);
                        break;
                case AGENT_PARAM_BOOL:
                        params_put_bool(ret, p->name, p->number != 0);
                        break;
                }
        }
}

static void on_inquired(void *arg, const AgentParam *list, size_t n, const Error *failure)
{
        AUTO(Params) params = { 0 };

        if (failure) {
                call_fail(arg, failure);
                return;
        }
        put_params(list, n, &params);
        call_reply(arg, &(WireDomainGetGuestInfoRet){ .n_params = (uint32_t)params.list.len,
                                                      .params = params.list.items });
}

static void drop_inquiry(void *inquiry)
{
        agent_inquiry_free(inquiry);
}

static int inquire(Call *call, Domain *dom, const void *arguments, Error *err)
{
        const WireDomainGetGuestInfoArgs *args = arguments;
        AgentClient *agent = qemu_agent_of(call, dom, err);

        if (!agent)
                return -1;
        if (args->types & ~(uint32_t)AGENT_INFO_ALL)
                return err_set(err, ERR_INVALID_ARG, "unsupported guest information types '0x%x'",
                               args->types & ~(uint32_t)AGENT_INFO_ALL);
        call_keep(call, agent_inquiry_new(agent, dom->live, args->types, on_inquired, call), drop_inquiry);
        return 0;
}

int handle_domain_get_guest_info(Call *call, const WireDomainGetGuestInfoArgs *args, Error *err)
{
        return qemu_agent_ask(call, &args->dom, args->flags, 0, inquire, err);
}

/* --- file systems --- */

static void put_file_system(Arena *arena, const DomainDef *def, const AgentFilesystem *fs, WireDomainFsinfo *ret)
{
        ret->name = fs->name;
        ret->mountpoint = fs->mountpoint;
        ret->fstype = fs->type;
        ret->dev_aliases = arena_new_array(arena, const char *, MIN(fs->n_disk, (size_t)MOST_DISKS));
        for (size_t i = 0; i < fs->n_disk && ret->n_dev_aliases < MOST_DISKS; i++) {
                const DiskDef *disk = agent_find_disk(def, &fs->disk[i]);

                if (disk)
                        ret->dev_aliases[ret->n_dev_aliases++] = disk->target_dev;
        }
}

static void on_file_systems(void *arg, const AgentFilesystem *list, size_t n, const Error *failure)
{
        WireDomainGetFsinfoRet ret = { 0 };
        AUTO(Error) many = { 0 };

        if (failure) {
                call_fail(arg, failure);
                return;
        }
        if (n > MOST_FILE_SYSTEMS) {
                err_set(&many, ERR_RPC, "the guest has %zu file systems; an answer holds at most %d", n,
                        MOST_FILE_SYSTEMS);
                call_fail(arg, &many);
                return;
        }
        ret.info = arena_new_array(call_arena(arg), WireDomainFsinfo, n);
        ret.n_info = ret.ret = (uint32_t)n;
        for (size_t i = 0; i < n; i++)
                put_file_system(call_arena(arg), domain_def(call_domain(arg)), &list[i], &ret.info[i]);
        call_reply(arg, &ret);
}

static int get_file_systems(Call *call, Domain *dom, const void *args UNUSED, Error *err)
{
        AgentClient *agent = qemu_agent_of(call, dom, err);

        return agent ? (agent_get_fsinfo(agent, on_file_systems, call), 0) : -1;
}

int handle_domain_get_fsinfo(Call *call, const WireDomainGetFsinfoArgs *args, Error *err)
{
        return qemu_agent_ask(call, &args->dom, args->flags, 0, get_file_systems, err);
}
