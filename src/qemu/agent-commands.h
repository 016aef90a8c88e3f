#pragma once
/*
 * qemu/agent-commands.h - what drover asks a guest agent, where one command is not the whole of it
 *
 * The single commands are generated: qemu/agent.h.
 */
#include "base/arena.h"
#include "base/bitmap.h"
#include "model/domain.h"
#include "qemu/agent.h"

typedef struct AgentInquiry AgentInquiry;

typedef enum AgentParamType {
        AGENT_PARAM_TEXT,
        AGENT_PARAM_INT,  /* of a typed parameter on the wire: int */
        AGENT_PARAM_UINT, /* unsigned int */
        AGENT_PARAM_U64,  /* unsigned long long */
        AGENT_PARAM_BOOL,
} AgentParamType;

/* One named value, as clients know them: "fs.0.mountpoint". */
typedef struct AgentParam {
        const char *name;
        AgentParamType type;
        const char *text;
        int64_t number; /* of all other types */
} AgentParam;

/* The groups of information, numbered as on the wire; or them together. */
enum {
        AGENT_INFO_USERS = 1,
        AGENT_INFO_OS = 2,
        AGENT_INFO_TIMEZONE = 4,
        AGENT_INFO_HOSTNAME = 8,
        AGENT_INFO_FILESYSTEM = 16,
        AGENT_INFO_DISKS = 32,
        AGENT_INFO_INTERFACES = 64,
        AGENT_INFO_ALL = 127,
        AGENT_MOST_PARAMS = 2048,
};

/* The disk of def that the agent means by this address, by its PCI device and its place on that; NULL: none. */
const DiskDef *agent_find_disk(const DomainDef *def, const AgentDiskAddress *address);

/*
 * Ask for some groups, or with 0 for all that the agent knows (those it does not know are left out then). def is what
 * the guest runs with: its disks are named in the answer.
 * done() runs once, on a later turn, unless the object is freed before. The object is the caller's, also
 * in done().
 */
AgentInquiry *agent_inquiry_new(AgentClient *agent, const DomainDef *def, unsigned groups,
                                void (*done)(void *arg, const AgentParam *params, size_t n, const Error *failure),
                                void *arg);
AgentInquiry *agent_inquiry_free(AgentInquiry *inquiry); /* cancels; returns NULL */

/* Processors in the guest's own numbering: "vcpus", "online" and "offlinable", each a list such as "0-2,4". */
int agent_vcpu_params(const AgentVcpu *vcpus, size_t n, Arena *arena, AgentParam ret[3], Error *err);

/*
 * What the guest must change so that those of `wanted` are online, or offline: n_ret of them, the caller's to free. -1
 * with err where one is not there or cannot go.
 */
int agent_vcpu_switch(const AgentVcpu *vcpus, size_t n, const Bitmap *wanted, bool online, AgentVcpu **ret,
                      size_t *n_ret, Error *err);
/* The same so that `count` are online: the lowest that can come, the highest that can go. */
int agent_vcpu_count(const AgentVcpu *vcpus, size_t n, unsigned count, AgentVcpu **ret, size_t *n_ret, Error *err);

/* Freeze all file systems, or the n_mountpoints named; done() learns how many. */
AgentCall *agent_freeze(AgentClient *agent, const char *const *mountpoints, size_t n_mountpoints,
                        void (*done)(void *arg, int64_t frozen, const Error *failure), void *arg);
/* The password is put into base 64 on its way. crypted: it is a hash as crypt(3) makes it. */
AgentCall *agent_set_password(AgentClient *agent, const char *user, const char *password, bool crypted,
                              void (*done)(void *arg, const Error *failure), void *arg);

DEFINE_AUTO(AgentInquiry, agent_inquiry_free)
