#pragma once
/*
 * qemu/guest-process.h - one QEMU process: its directory, logs, control group, user, and its end
 *
 * The process and its logger outlive the daemon. It is found again by pid and start time.
 */
#include "base/uuid.h"
#include "host/cgroup.h"
#include "host/root.h"
#include "loop/loop.h"
#include "qemu/command-line.h"

typedef struct FileReturns FileReturns;
typedef struct GuestProcess GuestProcess;

/* What all guests of a daemon share. It outlives them. */
typedef struct GuestEnv {
        Loop *loop;
        CgroupHost *cgroups; /* NULL: this machine has none */
        const char *run_dir; /* directories of guests are made in it */
        const char *log_dir;
        const char *logger; /* path of drover-log */
        RootUser user;      /* what QEMU runs as */
        Uuid host_uuid;     /* tells this host's guests from another's with the same images */
        uint64_t log_bytes; /* cap of one log file, and how many old ones are kept */
        unsigned log_backups;
        uint64_t most_files; /* open descriptors of QEMU; 0: as inherited */
        uint64_t most_processes;
        bool leave_files;     /* images are not given to QEMU's user: whoever owns them sees to it */
        bool core_dumps;      /* QEMU may dump core */
        FileReturns *returns; /* files on their way back to their owners; NULL: nobody waits for them at the end */
} GuestEnv;

typedef struct GuestProcessHooks {
        /* The process runs, or failed to: `why`. The monitor can be connected as soon as start returns. */
        void (*started)(void *arg, const Error *why);
        void (*ended)(void *arg); /* once, after started() */
} GuestProcessHooks;

/* Directory of a guest: RUN_DIR/UUID. Owned. */
char *guest_dir(const GuestEnv *env, const Uuid *uuid);

/*
 * Start QEMU. line is used up to the return only. *monitor: a connection to it (the kernel holds what is
 * written until QEMU is there).
 */
GuestProcess *guest_process_start(const GuestEnv *env, const char *name, const Uuid *uuid, const CommandLine *line,
                                  const GuestProcessHooks *hooks, void *arg, Fd *monitor, Error *err);
/*
 * Take over one that an earlier daemon started; started() is not called. When there is no such process any
 * more, what it left behind is cleaned up. *monitor is -1 when QEMU does not accept a connection now.
 */
GuestProcess *guest_process_adopt(const GuestEnv *env, const char *name, const Uuid *uuid, pid_t pid,
                                  uint64_t start_ticks, const GuestProcessHooks *hooks, void *arg, Fd *monitor,
                                  Error *err);
/*
 * The process that a start which was cut off left behind: a QEMU, or a child on its way to becoming one. The
 * child notes itself before it does anything, and dies with the daemon until it has. -1: there is none.
 */
int guest_process_find(const GuestEnv *env, const Uuid *uuid, pid_t *pid, uint64_t *start_ticks);
/* There is no process: what a start had laid out goes. */
void guest_process_sweep(const GuestEnv *env, const Uuid *uuid);
/* Another connection to the monitor. Does not wait. */
int guest_process_connect(const GuestProcess *process, Fd *ret, Error *err);
pid_t guest_process_pid(const GuestProcess *process);
uint64_t guest_process_start_ticks(const GuestProcess *process); /* 0 before started() */
Cgroup *guest_process_cgroup(GuestProcess *process);             /* NULL: none */
bool guest_process_has_ended(const GuestProcess *process);
void guest_process_signal(GuestProcess *process, int signum);
/* What QEMU wrote since its start, its end only: for the error of a start that failed. Owned; NULL: nothing. */
char *guest_process_last_words(const GuestProcess *process);
/* The process is left alone; its directory and control group go when it has ended. Returns NULL. */
GuestProcess *guest_process_free(GuestProcess *process);

/*
 * The files that a guest's QEMU was given, remembered beside its directory, where QEMU cannot write: kept
 * when it starts, and given back to who owned them - by a child of its own - when it has ended. Giving back
 * what was never kept, or twice, is fine.
 */
FileReturns *file_returns_new(void);
FileReturns *file_returns_free(FileReturns *all); /* those that are under way go on; returns NULL */
bool guest_files_are_given(const GuestEnv *env);
/* The name of this guest among those that hold a file, for host/root.h; returns text. */
const char *guest_files_holder(const GuestEnv *env, const Uuid *uuid, char text[UUID_TEXT_LEN + 1]);
int guest_files_keep(const GuestEnv *env, const Uuid *uuid, const CommandLine *line, Error *err);
/* In the child, as QEMU's user: say on standard error which file it will not be able to open, and why. */
void guest_files_explain(const CommandLine *line, const RootUser *user);
/* One more that is plugged into it, before it is given; and one that it has let go of. */
int guest_files_add(const GuestEnv *env, const Uuid *uuid, const char *path, Error *err);
void guest_files_give_back_one(const GuestEnv *env, const Uuid *uuid, const char *path);
void guest_files_give_back(const GuestEnv *env, const Uuid *uuid);

DEFINE_AUTO(GuestProcess, guest_process_free)
