/*
 * qemu/guest-files.c - the images of a guest: whose they are while it runs, and afterwards
 */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "qemu/guest-process.h"

#include <unistd.h>

enum { MOST_LIST = 1 << 20 };

typedef struct GiveBack {
        FileReturns *all;
        Child *child;
        RootUser user;
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

int guest_files_keep(const GuestEnv *env, const Uuid *uuid, const CommandLine *line, Error *err)
{
        AUTOFREE char *path = list_path(env, uuid);
        AUTO(Buf) list = { 0 };

        if (env->user.uid == 0)
                return 0;
        for (size_t i = 0; i < line->files.len; i++)
                buf_put(&list, line->files.items[i].path, strlen(line->files.items[i].path) + 1);
        return file_write_atomic(path, list.data ?: "", list.len, 0600, err);
}

/* In the child: its whole life. */
static int give_back(void *arg)
{
        const GiveBack *g = arg;

        for (size_t at = 0; at < g->list.len; at += strlen(g->list.data + at) + 1)
                root_take_back_file(g->list.data + at, &g->user);
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
        if (file_read(path, MOST_LIST, &g->list, NULL) < 0 || g->list.len == 0) {
                unlink(path);
                give_back_free(g);
                return;
        }
        unlink(path);
        begin(env, g);
}
