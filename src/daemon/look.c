/*
 * daemon/look.c - calls that are answered with what a worker reads from the kernel
 */
#include "daemon/look.h"

#include "base/mem.h"
#include "daemon/daemon.h"
#include "loop/worker.h"

typedef struct Look {
        Call *call;
        Task *task;
        void *state;
        void (*read)(void *state);
        int (*answer)(Call *call, void *state, Error *err);
        void (*done)(void *state);
} Look;

static void look_free(void *data)
{
        Look *look = data;

        if (look->done)
                look->done(look->state);
        free(look->state);
        free(look);
}

/* The daemon ends before all was looked at. */
static void drop_look(void *data)
{
        task_free(((Look *)data)->task, look_free);
}

/* On a worker. */
static void look_now(void *data)
{
        Look *look = data;

        look->read(look->state);
}

static void on_looked(void *data)
{
        Look *look = data;
        Call *call = look->call;
        AUTO(Error) err = { 0 };

        look->task = task_free(look->task, NULL);
        call_keep(call, NULL, NULL);
        if (look->answer(call, look->state, &err) < 0)
                call_fail(call, &err);
        look_free(look);
}

int look_and(Call *call, void *state, void (*read)(void *state), int (*answer)(Call *call, void *state, Error *err),
             void (*done)(void *state))
{
        Look *look = mem_new(Look);

        *look = (Look){ .call = call, .state = state, .read = read, .answer = answer, .done = done };
        call_keep(call, look, drop_look);
        look->task = task_new(call_daemon(call)->workers, look_now, on_looked, look);
        return 0;
}
