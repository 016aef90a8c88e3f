/*
 * qemu/guest-files.c - give the images of an ended guest back to their owners
 */
#include "base/mem.h"
#include "base/str.h"
#include "qemu/guest-process.h"

#include <unistd.h>

typedef struct TakeBack {
        Child *child;
        RootUser user;
        char **paths;
        size_t n;
} TakeBack;

/* In the child: its whole life. */
static int take_back(void *arg)
{
        const TakeBack *t = arg;

        for (size_t i = 0; i < t->n; i++)
                root_take_back_file(t->paths[i], &t->user);
        _exit(0);
}

static void take_back_free(TakeBack *t)
{
        child_free(t->child);
        for (size_t i = 0; i < t->n; i++)
                free(t->paths[i]);
        free(t->paths);
        free(t);
}

static void on_started(void *arg UNUSED, const Error *why UNUSED)
{
}

static void on_ended(void *arg, int status UNUSED)
{
        take_back_free(arg);
}

int guest_files_take_back(const GuestEnv *env, const char *const *paths, size_t n, Error *err)
{
        static const char *const argv[] = { "drover-take-back", NULL };
        TakeBack *t;
        ChildSpec spec = { .argv = argv, .prepare = take_back, .keep_going = true, .started = on_started };

        if (n == 0 || env->user.uid == 0)
                return 0;
        t = mem_new(TakeBack);
        t->user = env->user;
        t->paths = mem_new_array(char *, n);
        for (; t->n < n; t->n++)
                t->paths[t->n] = str_dup(paths[t->n]);
        spec.prepare_arg = t;
        t->child = child_new(env->loop, &spec, on_ended, t, err);
        if (!t->child) {
                take_back_free(t);
                return -1;
        }
        return 0;
}
