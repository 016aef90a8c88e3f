/*
 * qemu/guest-files.c - the images of a guest: whose they are while it runs, and afterwards
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/permission.h"
#include "base/str.h"
#include "base/vec.h"
#include "qemu/guest-process.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST_LIST = 1 << 20, MOST_WORDS = 2 * PATH_MAX };

typedef struct GiveBack {
        FileReturns *all;
        Child *child;
        RootUser user;
        char holder[UUID_TEXT_LEN + 1];
        Buf list; /* paths, each with its NUL */
} GiveBack;

struct FileReturns {
        VEC(GiveBack *) items;
};

FileReturns *file_returns_new(void)
{
        return mem_new(FileReturns);
}

static char *list_path(const GuestEnv *env, const Uuid *uuid)
{
        char text[UUID_TEXT_LEN + 1];

        return str_format("%s/%s.files", env->run_dir, uuid_format(uuid, text));
}

bool guest_files_are_given(const GuestEnv *env)
{
        return env->user.uid != 0 && !env->leave_files;
}

const char *guest_files_holder(const GuestEnv *env, const Uuid *uuid, char text[UUID_TEXT_LEN + 1])
{
        Uuid both = *uuid; /* a guest that moves has its images on two hosts at once */

        for (size_t i = 0; i < sizeof(both.bytes); i++)
                both.bytes[i] ^= env->host_uuid.bytes[i];
        return uuid_format(&both, text);
}

int guest_files_keep(const GuestEnv *env, const Uuid *uuid, const CommandLine *line, Error *err)
{
        AUTOFREE char *path = list_path(env, uuid);
        AUTO(Buf) list = { 0 };

        if (!guest_files_are_given(env))
                return 0;
        for (size_t i = 0; i < line->files.len; i++)
                buf_put(&list, line->files.items[i].path, strlen(line->files.items[i].path) + 1);
        return file_write_atomic(path, list.data ?: "", list.len, 0600, err);
}

/* Without path, and then with it at the end where that is asked for. */
static int change_list(const GuestEnv *env, const Uuid *uuid, const char *path, bool add, Error *err)
{
        AUTOFREE char *file = list_path(env, uuid);
        AUTO(Buf) old = { 0 };
        AUTO(Buf) list = { 0 };

        if (!guest_files_are_given(env))
                return 0;
        if (access(file, F_OK) == 0 && file_read(file, MOST_LIST, &old, err) < 0)
                return -1;
        for (size_t at = 0; at < old.len; at += strlen(old.data + at) + 1) {
                if (!str_eq(old.data + at, path))
                        buf_put(&list, old.data + at, strlen(old.data + at) + 1);
        }
        if (add)
                buf_put(&list, path, strlen(path) + 1);
        return file_write_atomic(file, list.data ?: "", list.len, 0600, err);
}

int guest_files_add(const GuestEnv *env, const Uuid *uuid, const char *path, Error *err)
{
        return change_list(env, uuid, path, true, err);
}

void guest_files_explain(const CommandLine *line, const RootUser *user)
{
        for (size_t i = 0; user->uid != 0 && i < line->files.len; i++) {
                const CommandLineFile *file = &line->files.items[i];
                char at[PATH_MAX], why[MOST_WORDS], text[2 * MOST_WORDS];
                int n;

                if (!permission_explain(file->path, file->write ? R_OK | W_OK : R_OK, at, why, sizeof(why)))
                        continue;
                n = snprintf(text, sizeof(text), "QEMU's user (uid %u, gid %u) %s%s%u:%s '%s', or move the image\n",
                             user->uid, user->gid, why, "; let it with: setfacl -m u:", user->uid,
                             str_eq(at, file->path) ? (file->write ? "rw" : "r") : "x", at);
                if (n > 0 && write(STDERR_FILENO, text, MIN((size_t)n, sizeof(text) - 1)) < 0)
                        return; /* a hint only: QEMU says that it failed */
        }
}

/* In the child: its whole life. */
static int give_back(void *arg)
{
        const GiveBack *g = arg;

        for (size_t at = 0; at < g->list.len; at += strlen(g->list.data + at) + 1)
                root_take_back_file(g->list.data + at, &g->user, g->holder);
        _exit(0);
}

static void give_back_free(GiveBack *g)
{
        if (g->all)
                vec_remove_item(&g->all->items, g);
        child_free(g->child);
        buf_done(&g->list);
        free(g);
}

static void on_started(void *arg UNUSED, const Error *why UNUSED)
{
}

static void on_ended(void *arg, int status UNUSED)
{
        give_back_free(arg);
}

FileReturns *file_returns_free(FileReturns *all)
{
        if (!all)
                return NULL;
        while (all->items.len)
                give_back_free(all->items.items[0]); /* the child goes on */
        vec_done(&all->items);
        free(all);
        return NULL;
}

static void begin(const GuestEnv *env, GiveBack *g)
{
        static const char *const argv[] = { "drover-give-back", NULL };
        ChildSpec spec = {
                .argv = argv, .prepare = give_back, .prepare_arg = g, .keep_going = true, .started = on_started
        };
        AUTO(Error) err = { 0 };

        g->child = child_new(env->loop, &spec, on_ended, g, &err);
        if (!g->child) {
                log_warning("the images of a guest that ended keep QEMU's user as owner: %s", err.text);
                give_back_free(g);
                return;
        }
        g->all = env->returns;
        if (g->all)
                vec_push(&g->all->items, g);
}

void guest_files_give_back(const GuestEnv *env, const Uuid *uuid)
{
        AUTOFREE char *path = list_path(env, uuid);
        GiveBack *g = mem_new(GiveBack);

        g->user = env->user;
        guest_files_holder(env, uuid, g->holder);
        if (file_read(path, MOST_LIST, &g->list, NULL) < 0 || g->list.len == 0) {
                unlink(path);
                give_back_free(g);
                return;
        }
        unlink(path);
        begin(env, g);
}

void guest_files_give_back_one(const GuestEnv *env, const Uuid *uuid, const char *path)
{
        GiveBack *g;
        AUTO(Error) err = { 0 };

        if (!guest_files_are_given(env))
                return;
        g = mem_new(GiveBack);
        g->user = env->user;
        guest_files_holder(env, uuid, g->holder);
        buf_put(&g->list, path, strlen(path) + 1);
        if (change_list(env, uuid, path, false, &err) < 0)
                log_warning("%s", err.text);
        begin(env, g);
}
