/*
 * tests/fuzz/fuzz-qmp.c - what QEMU sends, as any bytes: replies and events of every kind
 */
#include "fuzz.h"
#include "qemu/qmp.h"

#include <sys/socket.h>
#include <unistd.h>

static void on_event(void *arg UNUSED, const char *name, struct json_object *event)
{
        AUTO(Arena) *arena = arena_new();
        QmpEvent decoded;

        qmp_event_decode(name, event, arena, &decoded, NULL);
}

static void on_done(void *arg, const Error *failure UNUSED)
{
        (*(unsigned *)arg)++;
}

static void on_migration(void *arg, const QmpMigrationInfo *ret, const Error *failure)
{
        if (!ret == !failure)
                abort();
        on_done(arg, failure);
}

static void on_blocks(void *arg, const QmpBlock *ret, size_t n, const Error *failure)
{
        if (n > 0 && !ret)
                abort();
        on_done(arg, failure);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const QmpHooks hooks = { .event = on_event };
        AUTO(Loop) *loop = loop_new_fake(NULL);
        unsigned answered = 0;
        QmpClient *qmp;
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
                abort();
        qmp = qmp_client_new(loop, ends[0], &hooks, NULL);
        qmp_query_migrate(qmp, on_migration, &answered); /* id 2 */
        qmp_query_block(qmp, on_blocks, &answered);      /* id 3 */
        if (send(ends[1], data, size, MSG_NOSIGNAL) < 0 && size > 0 && size < 65536)
                abort();
        close(ends[1]);
        for (int i = 0; i < 100 && qmp_client_is_open(qmp); i++)
                loop_turn(loop, 0, NULL);
        if (answered != 2)
                abort();
        qmp_client_free(qmp);
        return 0;
}
