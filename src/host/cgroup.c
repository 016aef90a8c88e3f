/*
 * host/cgroup.c - where the group of a guest is, and who is in it
 *
 * The files are the kernel's: reading and writing them does not wait for a disk, so the loop thread may.
 */
#include "host/cgroup-private.h"

#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        MOST_TEXT = 1 << 20,
        MOST_MOUNTS = 16 << 20, /* a line of a container may have some KiB */
};

/* As the kernel names them in mount options (v1) and in cgroup.controllers (v2). */
static const struct {
        const char *v1, *v2;
        bool threaded;
} controllers[CGROUP_N_CONTROLLERS] = {
        [CGROUP_CPU] = { "cpu", "cpu", true },          [CGROUP_CPUACCT] = { "cpuacct", "cpu", true },
        [CGROUP_CPUSET] = { "cpuset", "cpuset", true }, [CGROUP_MEMORY] = { "memory", "memory", false },
        [CGROUP_BLKIO] = { "blkio", "io", false },      [CGROUP_PIDS] = { "pids", "pids", true },
};

const char *cgroup_controller_name(CgroupController controller)
{
        return controllers[controller].v1;
}

/* Finding the hierarchies. */

static bool list_has(const char *list, const char *separators, const char *word)
{
        AUTO_STRLIST words = str_split(list, separators);

        for (char **w = words; *w; w++) {
                if (str_eq(*w, word))
                        return true;
        }
        return false;
}

static void take_hierarchy(CgroupHost *host, const char *root, const char *mount, const char *parent, bool v2,
                           const char *names)
{
        bool used = false;

        for (size_t i = 0; i < CGROUP_N_CONTROLLERS; i++) {
                if (host->at[i] < 0 && list_has(names, ", \n", v2 ? controllers[i].v2 : controllers[i].v1)) {
                        host->at[i] = (int)host->hierarchies.len;
                        used = true;
                }
        }
        if (used && host->hierarchies.len < CGROUP_MOST_DIRS) {
                Hierarchy h = { .dir = str_format("%s%s/%s", root, mount, parent), .v2 = v2 };

                vec_push(&host->hierarchies, h);
        }
}

/* ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS ... - TYPE SOURCE SUPER-OPTIONS */
static void take_mount(CgroupHost *host, const char *root, const char *line, const char *parent)
{
        char mount[512], type[32], super[256];
        const char *behind = strstr(line, " - ");

        if (!behind || sscanf(line, "%*s %*s %*s %*s %511s", mount) != 1 ||
            sscanf(behind, " - %31s %*s %255s", type, super) != 2)
                return;
        if (str_eq(type, "cgroup")) {
                take_hierarchy(host, root, mount, parent, false, super);
        } else if (str_eq(type, "cgroup2")) {
                AUTOFREE char *path = str_format("%s%s/cgroup.controllers", root, mount);
                AUTO(Buf) names = { 0 };

                if (file_read(path, MOST_TEXT, &names, NULL) == 0)
                        take_hierarchy(host, root, mount, parent, true, buf_text(&names));
        }
}

/* Hand the controllers of a v2 group down to the groups in it; those that will not go are refused when used. */
static void enable_below(const char *dir, bool only_threaded)
{
        AUTOFREE char *path = str_format("%s/cgroup.subtree_control", dir);

        for (size_t i = 0; i < CGROUP_N_CONTROLLERS; i++) {
                AUTOFREE char *text = str_format("+%s", controllers[i].v2);

                if (i != CGROUP_CPUACCT && (controllers[i].threaded || !only_threaded))
                        cgroup_put(path, text, NULL);
        }
}

/* A new cpuset of v1 is empty, and nothing may enter it before it has CPUs and cells. */
static void inherit_cpuset(const char *dir)
{
        static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
        AUTOFREE char *above = str_dup_n(dir, (size_t)(strrchr(dir, '/') - dir));

        for (size_t i = 0; i < ARRAY_LEN(files); i++) {
                AUTOFREE char *from = str_format("%s/%s", above, files[i]), *to = str_format("%s/%s", dir, files[i]);
                AUTO(Buf) is = { 0 }, has = { 0 };

                if (file_read(to, MOST_TEXT, &is, NULL) == 0 && is.len > 1)
                        continue;
                if (file_read(from, MOST_TEXT, &has, NULL) == 0)
                        cgroup_put(to, buf_text(&has), NULL);
        }
}

static int make_dir(const CgroupHost *host, int at, const char *dir, Error *err)
{
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
                return err_errno(err, errno, "cannot make the control group '%s'", dir);
        if (at == host->at[CGROUP_CPUSET] && !host->hierarchies.items[at].v2)
                inherit_cpuset(dir);
        return 0;
}

/* drover.slice, or a deeper parent: every level is made and handed its controllers. */
static int make_parent(const CgroupHost *host, int at, const char *parent, Error *err)
{
        const Hierarchy *h = &host->hierarchies.items[at];
        size_t top = strlen(h->dir) - strlen(parent);
        AUTOFREE char *dir = str_dup(h->dir);

        for (char *end = dir + top; end; end = strchr(end + 1, '/')) {
                char c = *end;

                if (end == dir + top) {
                        if (h->v2) {
                                AUTOFREE char *mount = str_dup_n(dir, top - 1);

                                enable_below(mount, false);
                        }
                        continue;
                }
                *end = '\0';
                if (make_dir(host, at, dir, err) < 0)
                        return -1;
                if (h->v2)
                        enable_below(dir, false);
                *end = c;
        }
        if (make_dir(host, at, dir, err) < 0)
                return -1;
        if (h->v2)
                enable_below(dir, false);
        return 0;
}

CgroupHost *cgroup_host_new(const char *root, const char *parent, const char *owner, Error *err)
{
        AUTOFREE char *path = str_format("%s/proc/self/mountinfo", root);
        AUTO(CgroupHost) *host = mem_new(CgroupHost);
        AUTO(Buf) mounts = { 0 };
        AUTO_STRLIST lines = NULL;

        host->owner = str_dup(owner);
        for (size_t i = 0; i < CGROUP_N_CONTROLLERS; i++)
                host->at[i] = -1;
        if (file_read(path, MOST_MOUNTS, &mounts, err) < 0)
                return NULL;
        lines = str_split(buf_text(&mounts), "\n");
        for (char **line = lines; *line; line++)
                take_mount(host, root, *line, parent);
        for (size_t i = 0; i < host->hierarchies.len; i++) {
                if (make_parent(host, (int)i, parent, err) < 0)
                        return NULL;
        }
        return TAKE(host);
}

CgroupHost *cgroup_host_free(CgroupHost *host)
{
        if (!host)
                return NULL;
        for (size_t i = 0; i < host->hierarchies.len; i++)
                free(host->hierarchies.items[i].dir);
        vec_done(&host->hierarchies);
        free(host->owner);
        free(host);
        return NULL;
}

bool cgroup_host_has(const CgroupHost *host, CgroupController controller)
{
        return host->at[controller] >= 0;
}

/* Groups. */

static char *group_dir(const Cgroup *cgroup, size_t at)
{
        return str_format("%s/%s", cgroup->host->hierarchies.items[at].dir, cgroup->name);
}

static bool holds_threads(const CgroupHost *host, size_t at)
{
        for (size_t i = 0; i < CGROUP_N_CONTROLLERS; i++) {
                if (host->at[i] == (int)at && controllers[i].threaded)
                        return true;
        }
        return false;
}

static int make_group(const Cgroup *cgroup, size_t at, Error *err)
{
        AUTOFREE char *dir = group_dir(cgroup, at);

        if (cgroup->is_part && !holds_threads(cgroup->host, at))
                return 0;
        if (make_dir(cgroup->host, (int)at, dir, err) < 0)
                return -1;
        if (cgroup->is_part && cgroup->host->hierarchies.items[at].v2) {
                AUTOFREE char *type = str_format("%s/cgroup.type", dir);
                AUTOFREE char *above = str_dup_n(dir, (size_t)(strrchr(dir, '/') - dir));

                if (cgroup_put(type, "threaded", err) < 0)
                        return -1;
                enable_below(above, true);
        }
        return 0;
}

static Cgroup *new_group(CgroupHost *host, char *name, bool is_part, Error *err)
{
        AUTO(Cgroup) *cgroup = mem_new(Cgroup);

        *cgroup = (Cgroup){ .host = host, .name = name, .is_part = is_part };
        for (size_t i = 0; i < host->hierarchies.len; i++) {
                if (make_group(cgroup, i, err) < 0)
                        return NULL;
        }
        return TAKE(cgroup);
}

Cgroup *cgroup_new(CgroupHost *host, const char *name, Error *err)
{
        return new_group(host, str_format("%s%s", name, host->owner), false, err);
}

Cgroup *cgroup_new_part(Cgroup *guest, const char *name, Error *err)
{
        return new_group(guest->host, str_format("%s/%s", guest->name, name), true, err);
}

Cgroup *cgroup_free(Cgroup *cgroup)
{
        if (!cgroup)
                return NULL;
        free(cgroup->name);
        free(cgroup);
        return NULL;
}

static int remove_dir(const char *dir, Error *err)
{
        DIR *listing = opendir(dir);
        struct dirent *entry;

        while (listing && (entry = readdir(listing))) {
                AUTOFREE char *part = str_format("%s/%s", dir, entry->d_name);

                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                        rmdir(part);
        }
        if (listing)
                closedir(listing);
        if (rmdir(dir) < 0 && errno != ENOENT)
                return err_errno(err, errno, "cannot remove the control group '%s'", dir);
        return 0;
}

int cgroup_remove(Cgroup *cgroup, Error *err)
{
        int r = 0;

        for (size_t i = 0; i < cgroup->host->hierarchies.len; i++) {
                AUTOFREE char *dir = group_dir(cgroup, i);

                if (remove_dir(dir, err) < 0)
                        r = -1;
        }
        return r;
}

char *cgroup_file(const Cgroup *cgroup, CgroupController controller, const char *v1, const char *v2)
{
        int at = cgroup->host->at[controller];
        AUTOFREE char *dir = NULL;
        const char *file;

        if (at < 0)
                return NULL;
        file = cgroup->host->hierarchies.items[at].v2 ? v2 : v1;
        if (!file)
                return NULL;
        dir = group_dir(cgroup, (size_t)at);
        return str_format("%s/%s", dir, file);
}

bool cgroup_is_v2(const Cgroup *cgroup, CgroupController controller)
{
        int at = cgroup->host->at[controller];

        return at >= 0 && cgroup->host->hierarchies.items[at].v2;
}

int cgroup_put(const char *path, const char *text, Error *err)
{
        AUTO(Fd) fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

        if (fd < 0)
                return err_errno(err, errno, "cannot open '%s'", path);
        if (write(fd, text, strlen(text)) < 0)
                return err_errno(err, errno, "cannot write '%s' to '%s'", text, path);
        return 0;
}

/* Members. */

int cgroup_open_procs(const Cgroup *cgroup, Fd ret[CGROUP_MOST_DIRS + 1], Error *err)
{
        size_t n = 0;

        for (size_t i = 0; i < cgroup->host->hierarchies.len; i++) {
                AUTOFREE char *dir = group_dir(cgroup, i), *path = str_format("%s/cgroup.procs", dir);
                Fd fd = open(path, O_WRONLY | O_CLOEXEC);

                if (fd < 0) {
                        int errnum = errno;

                        while (n > 0)
                                fd_close(&ret[--n]);
                        return err_errno(err, errnum, "cannot open '%s'", path);
                }
                ret[n++] = fd;
        }
        ret[n] = -1;
        return 0;
}

static int add(Cgroup *cgroup, const char *v1, const char *v2, pid_t id, Error *err)
{
        AUTOFREE char *text = str_format("%d", id);

        for (size_t i = 0; i < cgroup->host->hierarchies.len; i++) {
                AUTOFREE char *dir = group_dir(cgroup, i);
                AUTOFREE char *path = str_format("%s/%s", dir, cgroup->host->hierarchies.items[i].v2 ? v2 : v1);

                if (cgroup->is_part && !holds_threads(cgroup->host, i))
                        continue;
                if (cgroup_put(path, text, err) < 0)
                        return -1;
        }
        return 0;
}

int cgroup_add_process(Cgroup *cgroup, pid_t pid, Error *err)
{
        return add(cgroup, "cgroup.procs", "cgroup.procs", pid, err);
}

int cgroup_add_thread(Cgroup *part, pid_t tid, Error *err)
{
        return add(part, "tasks", "cgroup.threads", tid, err);
}

/* The hierarchy that shows all members: in one of v1 that holds threads they sit in the parts. */
static size_t whole_hierarchy(const CgroupHost *host)
{
        for (size_t i = 0; i < host->hierarchies.len; i++) {
                if (host->hierarchies.items[i].v2 || !holds_threads(host, i))
                        return i;
        }
        return 0;
}

/* The members of the group, as text; empty when there is none. */
static void read_members(const Cgroup *cgroup, Buf *ret)
{
        AUTOFREE char *dir = NULL, *path = NULL;

        if (cgroup->host->hierarchies.len == 0)
                return;
        dir = group_dir(cgroup, whole_hierarchy(cgroup->host));
        path = str_format("%s/cgroup.procs", dir);
        file_read(path, MOST_TEXT, ret, NULL);
}

bool cgroup_is_empty(const Cgroup *cgroup)
{
        AUTO(Buf) members = { 0 };

        read_members(cgroup, &members);
        return members.len == 0;
}

int cgroup_kill(Cgroup *cgroup, Error *err)
{
        AUTO(Buf) members = { 0 };
        AUTO_STRLIST pids = NULL;

        read_members(cgroup, &members);
        pids = str_split(buf_text(&members), "\n");
        for (char **p = pids; *p; p++) {
                int32_t pid;

                if (str_to_i32(*p, &pid) == 0 && pid > 1 && kill(pid, SIGKILL) < 0 && errno != ESRCH)
                        return err_errno(err, errno, "cannot kill process %d", pid);
        }
        return 0;
}
