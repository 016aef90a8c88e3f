/*
 * app/drover/cmd-agent.c - what the agent inside a guest does and tells
 */
#include "app/drover/commands.h"
#include "app/drover/common.h"

#include "base/str.h"

#include <time.h>

static int get_time(Session *s, const Args *args, const WireDomain *dom, Error *err)
{
        WireDomainGetTimeRet now;
        struct tm parts;
        time_t seconds;
        char text[64];

        if (session_call(s, WIRE_PROC_DOMAIN_GET_TIME, &(WireDomainGetTimeArgs){ *dom, 0 }, &now, err) < 0)
                return -1;
        out_set(s->out, "time", json_object_new_int64(now.seconds));
        out_set_u64(s->out, "nanoseconds", now.nseconds);
        seconds = (time_t)now.seconds;
        if (arg_has(args, "pretty") && gmtime_r(&seconds, &parts)) {
                strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts);
                out_print(s->out, "Time: %s\n", text);
        } else {
                out_print(s->out, "Time: %lld\n", (long long)now.seconds);
        }
        return 0;
}

static int domtime(Session *s, const Args *args, Error *err)
{
        WireDomainSetTimeArgs set = { 0 };
        uint64_t seconds = 0;

        if (refuse_both(args, "time", "now", err) < 0 || refuse_both(args, "time", "sync", err) < 0 ||
            refuse_both(args, "now", "sync", err) < 0 || arg_u64(args, "time", &seconds, err) < 0 ||
            find_domain(s, args, &set.dom, err) < 0)
                return -1;
        if (!arg_has(args, "time") && !arg_has(args, "now") && !arg_has(args, "sync"))
                return get_time(s, args, &set.dom, err);
        set.seconds = arg_has(args, "now") ? (int64_t)time(NULL) : (int64_t)seconds;
        set.flags = arg_has(args, "sync") ? VIR_DOMAIN_TIME_SYNC : 0;
        return session_call(s, WIRE_PROC_DOMAIN_SET_TIME, &set, NULL, err);
}

static int domhostname(Session *s, const Args *args, Error *err)
{
        WireDomainGetHostnameArgs call = { 0 };
        WireDomainGetHostnameRet ret;
        const char *source = arg_text(args, "source");

        if (str_eq(source, "lease"))
                call.flags = VIR_DOMAIN_GET_HOSTNAME_LEASE;
        else if (str_eq(source, "agent"))
                call.flags = VIR_DOMAIN_GET_HOSTNAME_AGENT;
        else if (source)
                return err_set(err, ERR_INVALID_ARG, "Unknown data source '%s'", source);
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_HOSTNAME, &call, &ret, err) < 0)
                return fail(err, "failed to get hostname");
        out_value(s->out, "hostname", ret.hostname);
        return 0;
}

static int guestvcpus(Session *s, const Args *args, Error *err)
{
        WireDomainSetGuestVcpusArgs set = { .cpumap = arg_text(args, "cpulist"), .state = arg_has(args, "enable") };
        WireDomainGetGuestVcpusRet now;
        bool change = arg_has(args, "enable") || arg_has(args, "disable");

        if (refuse_both(args, "enable", "disable", err) < 0 || need_other(args, "enable", "cpulist", err) < 0 ||
            need_other(args, "disable", "cpulist", err) < 0)
                return -1;
        if (!change && set.cpumap)
                return err_set(err, ERR_INVALID_ARG,
                               "One of options --enable or --disable is required by option --cpulist");
        if (find_domain(s, args, &set.dom, err) < 0)
                return -1;
        if (change)
                return session_call(s, WIRE_PROC_DOMAIN_SET_GUEST_VCPUS, &set, NULL, err);
        if (session_call(s, WIRE_PROC_DOMAIN_GET_GUEST_VCPUS, &(WireDomainGetGuestVcpusArgs){ set.dom, 0 }, &now,
                         err) < 0)
                return -1;
        print_params(s, now.params, now.n_params);
        return 0;
}

static int guestinfo(Session *s, const Args *args, Error *err)
{
        static const SwitchFlag switches[] = {
                { "user", VIR_DOMAIN_GUEST_INFO_USERS },
                { "os", VIR_DOMAIN_GUEST_INFO_OS },
                { "timezone", VIR_DOMAIN_GUEST_INFO_TIMEZONE },
                { "hostname", VIR_DOMAIN_GUEST_INFO_HOSTNAME },
                { "filesystem", VIR_DOMAIN_GUEST_INFO_FILESYSTEM },
                { "disk", VIR_DOMAIN_GUEST_INFO_DISKS },
                { "interface", VIR_DOMAIN_GUEST_INFO_INTERFACES },
                { 0 },
        };
        WireDomainGetGuestInfoArgs call = { .types = switch_flags(args, switches) };
        WireDomainGetGuestInfoRet ret;

        if (find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_GET_GUEST_INFO, &call, &ret, err) < 0)
                return -1;
        for (uint32_t i = 0; i < ret.n_params; i++) {
                AUTOFREE char *text = param_text(&ret.params[i]);

                out_print(s->out, "%-20s: %s\n", ret.params[i].field, text);
                out_set(s->out, ret.params[i].field, param_json(&ret.params[i]));
        }
        return 0;
}

static int domfsinfo(Session *s, const Args *args, Error *err)
{
        WireDomainGetFsinfoArgs call = { 0 };
        WireDomainGetFsinfoRet ret;
        AUTO(Table) *table = table_new(TITLES("Mountpoint", "Name", "Type", "Target"));

        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_GET_FSINFO, &call, &ret, err) < 0)
                return fail(err, "Unable to get filesystem information");
        if (ret.n_info == 0 && !output_is_json(s->out)) {
                out_note(s->out, "No filesystems are mounted in the domain");
                return 0;
        }
        for (uint32_t i = 0; i < ret.n_info; i++) {
                const WireDomainFsinfo *fs = &ret.info[i];
                AUTO(Buf) targets = { 0 };

                for (uint32_t j = 0; j < fs->n_dev_aliases; j++)
                        buf_format(&targets, "%s%s", j ? "," : "", fs->dev_aliases[j]);
                table_add(table, CELLS(fs->mountpoint, fs->name, fs->fstype, buf_text(&targets)));
        }
        out_table(s->out, table);
        return 0;
}

static const char **mountpoints(Session *s, const Args *args, uint32_t *n)
{
        const char **list;

        *n = (uint32_t)arg_count(args, "mountpoint");
        list = arena_new_array(session_arena(s), const char *, *n + 1);
        for (uint32_t i = 0; i < *n; i++)
                list[i] = arg_nth(args, "mountpoint", i);
        return list;
}

static int domfsfreeze(Session *s, const Args *args, Error *err)
{
        WireDomainFsfreezeArgs call = { 0 };
        WireDomainFsfreezeRet ret;

        call.mountpoints = mountpoints(s, args, &call.n_mountpoints);
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_FSFREEZE, &call, &ret, err) < 0)
                return fail(err, "Unable to freeze filesystems");
        out_done(s->out, "Froze %d filesystem(s)", ret.filesystems);
        out_set_u64(s->out, "filesystems", (uint64_t)ret.filesystems);
        return 0;
}

static int domfsthaw(Session *s, const Args *args, Error *err)
{
        WireDomainFsthawArgs call = { 0 };
        WireDomainFsthawRet ret;

        call.mountpoints = mountpoints(s, args, &call.n_mountpoints);
        if (find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_FSTHAW, &call, &ret, err) < 0)
                return fail(err, "Unable to thaw filesystems");
        out_done(s->out, "Thawed %d filesystem(s)", ret.filesystems);
        out_set_u64(s->out, "filesystems", (uint64_t)ret.filesystems);
        return 0;
}

static int domfstrim(Session *s, const Args *args, Error *err)
{
        WireDomainFstrimArgs call = { .mountPoint = arg_text(args, "mountpoint") };

        if (arg_size(args, "minimum", 1, &call.minimum, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (session_call(s, WIRE_PROC_DOMAIN_FSTRIM, &call, NULL, err) < 0)
                return fail(err, "Unable to invoke fstrim");
        return 0;
}

static int set_user_password(Session *s, const Args *args, Error *err)
{
        WireDomainSetUserPasswordArgs call = { .user = arg_text(args, "user"),
                                               .password = arg_text(args, "password"),
                                               .flags = arg_has(args, "encrypted") ? VIR_DOMAIN_PASSWORD_ENCRYPTED
                                                                                   : 0 };

        if (find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_SET_USER_PASSWORD, &call, NULL, err) < 0)
                return -1;
        out_done(s->out, "Password set successfully for %s in %s", call.user, call.dom.name);
        return 0;
}

static int guest_agent_timeout(Session *s, const Args *args, Error *err)
{
        WireDomainAgentSetResponseTimeoutArgs call = { .timeout = VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK };
        WireDomainAgentSetResponseTimeoutRet ret;

        if (arg_i32(args, "timeout", &call.timeout, err) < 0 || find_domain(s, args, &call.dom, err) < 0)
                return -1;
        return session_call(s, WIRE_PROC_DOMAIN_AGENT_SET_RESPONSE_TIMEOUT, &call, &ret, err);
}

static int get_user_sshkeys(Session *s, const Args *args, Error *err)
{
        WireDomainAuthorizedSshKeysGetArgs call = { .user = arg_text(args, "user") };
        WireDomainAuthorizedSshKeysGetRet ret;
        struct json_object *list;

        if (find_domain(s, args, &call.dom, err) < 0 ||
            session_call(s, WIRE_PROC_DOMAIN_AUTHORIZED_SSH_KEYS_GET, &call, &ret, err) < 0)
                return -1;
        list = json_object_new_array();
        for (uint32_t i = 0; i < ret.n_keys; i++) {
                out_print(s->out, "%s\n", ret.keys[i]);
                json_object_array_add(list, json_object_new_string(ret.keys[i]));
        }
        out_set(s->out, "keys", list);
        return 0;
}

static int set_user_sshkeys(Session *s, const Args *args, Error *err)
{
        WireDomainAuthorizedSshKeysSetArgs call = { .user = arg_text(args, "user"),
                                                    .flags = VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND };
        AUTOFREE char *text = NULL;
        AUTO_STRLIST lines = NULL;

        if (refuse_both(args, "reset", "remove", err) < 0 || need_other(args, "remove", "file", err) < 0 ||
            find_domain(s, args, &call.dom, err) < 0)
                return -1;
        if (!arg_has(args, "file") && !arg_has(args, "reset"))
                return err_set(err, ERR_INVALID_ARG, "Option --file is required");
        if (arg_has(args, "remove"))
                call.flags = VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE;
        else if (arg_has(args, "reset"))
                call.flags = 0;
        if (arg_has(args, "file")) {
                text = read_text_file(arg_text(args, "file"), err);
                if (!text)
                        return -1;
                lines = str_split(text, "\n");
                call.n_keys = (uint32_t)str_list_len(lines);
                call.keys = (const char **)lines;
        }
        return session_call(s, WIRE_PROC_DOMAIN_AUTHORIZED_SSH_KEYS_SET, &call, NULL, err);
}

const Command agent_commands[] = {
        { .name = "domtime",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--now]     set it to this machine's time\n"
                             "[--pretty]  as a date\n"
                             "[--sync]    let the guest set it from its hardware clock\n"
                             "[--time=NUMBER]  set it to these seconds since 1970",
          .summary = "show or set a guest's clock",
          .run = domtime },
        { .name = "domhostname",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--source SOURCE{lease,agent}]  who is asked",
          .summary = "print the name that a guest gives itself",
          .run = domhostname },
        { .name = "guestvcpus",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--cpulist=CPUS]  which\n"
                             "[--enable]        switch them on\n"
                             "[--disable]       switch them off",
          .summary = "show or switch CPUs as the guest sees them",
          .run = guestvcpus },
        { .name = "guestinfo",
          .group = GROUP_MONITOR,
          .args = ARG_DOMAIN "[--user]        who is logged in\n"
                             "[--os]          operating system\n"
                             "[--timezone]    time zone\n"
                             "[--hostname]    host name\n"
                             "[--filesystem]  file systems\n"
                             "[--disk]        disks\n"
                             "[--interface]   network interfaces",
          .summary = "show what the guest's agent knows",
          .run = guestinfo },
        { .name = "domfsinfo",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN,
          .summary = "list a guest's mounted file systems",
          .run = domfsinfo },
        { .name = "domfsfreeze",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[MOUNTPOINT]...  these only",
          .summary = "let a guest write out its file systems and hold still",
          .run = domfsfreeze },
        { .name = "domfsthaw",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[MOUNTPOINT]...  these only",
          .summary = "let a guest's frozen file systems go on",
          .run = domfsthaw },
        { .name = "domfstrim",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--minimum SIZE]     smallest piece worth telling, in bytes\n"
                             "[--mountpoint PATH]  this one only",
          .summary = "let a guest give back what its file systems do not use",
          .run = domfstrim },
        { .name = "set-user-password",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "USER           whose\n"
                             "PASSWORD       the new one\n"
                             "[--encrypted]  it is encrypted already",
          .summary = "set a user's password inside a guest",
          .run = set_user_password },
        { .name = "guest-agent-timeout",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "[--timeout=NUMBER]  seconds; -2: wait for ever, -1: the default, 0: not at all",
          .summary = "choose how long a guest's agent is waited for",
          .run = guest_agent_timeout },
        { .name = "get-user-sshkeys",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "USER  whose",
          .summary = "list the SSH keys a user inside a guest accepts",
          .run = get_user_sshkeys },
        { .name = "set-user-sshkeys",
          .group = GROUP_DOMAIN,
          .args = ARG_DOMAIN "USER           whose\n"
                             "[--file FILE]  the keys, a line each\n"
                             "[--reset]      no others\n"
                             "[--remove]     take these away",
          .summary = "change the SSH keys a user inside a guest accepts",
          .run = set_user_sshkeys },
        { 0 },
};
