/*
 * daemon/handle-peek.c - looking into the memory of a running guest
 *
 * QEMU writes what was asked for into the guest's own directory, and the answer is read from there with the care that a
 * file deserves which a guest's process has made.
 */
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/handlers.h"
#include "daemon/qemu-act.h"
#include "wire/constants.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_BYTES = 4 * 1024 * 1024 };

typedef struct Peek {
        Call *call;
        char *path;
} Peek;

static int read_file(const char *path, uint32_t size, uint8_t *ret, Error *err)
{
        AUTO(Fd) fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0)
                return err_errno(err, errno, "cannot open '%s'", path);
        n = S_ISREG(st.st_mode) ? pread(fd, ret, size, 0) : 0;
        if (n != (ssize_t)size)
                return err_set(err, ERR_OPERATION_FAILED, "QEMU wrote less memory than it was asked for");
        return 0;
}

static void on_written(void *arg, const Error *failure)
{
        Peek *peek = arg;
        const WireDomainMemoryPeekArgs *args = call_args(peek->call);
        const Domain *dom = call_domain(peek->call);
        uint8_t *data = arena_new_array(call_arena(peek->call), uint8_t, args->size);
        AUTO(Error) err = { 0 };

        if (!failure && !qemu_run(dom))
                err_set(&err, ERR_OPERATION_FAILED, "domain '%s' stopped meanwhile", dom->name);
        else if (!failure)
                read_file(peek->path, args->size, data, &err);
        unlink(peek->path);
        if (failure || err_is_set(&err))
                call_fail(peek->call, failure ?: &err);
        else
                call_reply(peek->call, &(WireDomainMemoryPeekRet){ .n_buffer = args->size, .buffer = data });
        free(peek->path);
        free(peek);
}

/* A look: it waits for no job, so several may be under way, each with a file of its own. */
int handle_domain_memory_peek(Call *call, const WireDomainMemoryPeekArgs *args, Error *err)
{
        static uint64_t n_peeks;
        AUTOFREE char *dir = NULL;
        QmpClient *qmp;
        Domain *dom;
        Peek *peek;

        if (args->flags != VIR_MEMORY_VIRTUAL && args->flags != VIR_MEMORY_PHYSICAL)
                return err_set(err, ERR_INVALID_ARG,
                               "flags parameter must be VIR_MEMORY_VIRTUAL or VIR_MEMORY_PHYSICAL");
        if (!args->size || args->size > MOST_BYTES)
                return err_set(err, ERR_INVALID_ARG, "between 1 and %d bytes can be read, not %u", MOST_BYTES,
                               args->size);
        dom = call_find_domain(call, &args->dom, err);
        qmp = dom ? qemu_act_monitor(call, dom, err) : NULL;
        if (!qmp)
                return -1;
        dir = guest_dir(&qemu_run(dom)->qemu->env, &dom->uuid);
        peek = mem_new(Peek);
        *peek = (Peek){ call, str_format("%s/peek-%llu", dir, (unsigned long long)++n_peeks) };
        if (args->flags & VIR_MEMORY_PHYSICAL)
                qmp_pmemsave(qmp, &(QmpPmemsave){ .val = args->offset, .size = args->size, .filename = peek->path },
                             on_written, peek);
        else
                qmp_memsave(qmp, &(QmpMemsave){ .val = args->offset, .size = args->size, .filename = peek->path },
                            on_written, peek);
        return 0;
}
