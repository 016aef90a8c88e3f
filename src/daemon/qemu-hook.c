/*
 * daemon/qemu-hook.c - the administrator's script that is asked at turns of a guest's life
 */
#include "daemon/qemu-hook.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/helper.h"

#include <unistd.h>

enum {
        PATIENCE_MS = 60 * 1000,
        MOST_SAID = 1024 * 1024,
};

struct Hook {
        Helper *helper;
        Timer *patience;
        char *guest, *operation, *phase;
        void (*done)(void *arg, const char *said, const Error *failure);
        void *arg;
};

char *hook_find(const Daemon *daemon)
{
        AUTOFREE char *dir = daemon->config->hook_dir ? str_dup(daemon->config->hook_dir)
                                                      : str_format("%s/hooks", daemon->dirs.config);
        AUTOFREE char *path = str_format("%s/qemu", dir);

        if (access(path, X_OK) < 0)
                return NULL;
        log_info("guests are started, stopped and moved in with the consent of '%s'", path);
        return TAKE(path);
}

Hook *hook_free(Hook *hook)
{
        if (!hook)
                return NULL;
        helper_free(hook->helper);
        timer_free(hook->patience);
        free(hook->guest);
        free(hook->operation);
        free(hook->phase);
        free(hook);
        return NULL;
}

static void refuse(const Hook *hook, const char *why, Error *ret)
{
        err_set(ret, ERR_HOOK_SCRIPT_FAILED, "the hook script said no to '%s %s' of guest '%s': %s", hook->operation,
                hook->phase, hook->guest, why);
}

static void on_ended(void *arg, Buf *said, const Error *failure)
{
        Hook *hook = arg;
        AUTO(Error) err = { 0 };

        if (failure)
                refuse(hook, failure->text, &err);
        hook->done(hook->arg, buf_text(said), failure ? &err : NULL);
}

static void on_late(void *arg)
{
        Hook *hook = arg;
        AUTO(Error) err = { 0 };

        hook->helper = helper_free(hook->helper);
        refuse(hook, "it did not end within a minute", &err);
        hook->done(hook->arg, "", &err);
}

Hook *hook_new(const QemuDriver *qemu, const char *guest, const char *operation, const char *phase, const Buf *xml,
               void (*done)(void *arg, const char *said, const Error *failure), void *arg, Error *err)
{
        Loop *loop = qemu->driver->daemon->loop;
        const char *argv[] = { qemu->hook, guest, operation, phase, "-", NULL };
        AUTO(Fd) input = -1;
        Hook *hook;

        if (helper_text_fd(xml, &input, err) < 0 || lseek(input, 0, SEEK_SET) < 0)
                return NULL;
        hook = mem_new(Hook);
        *hook = (Hook){ .guest = str_dup(guest),
                        .operation = str_dup(operation),
                        .phase = str_dup(phase),
                        .done = done,
                        .arg = arg };
        hook->helper = helper_new(loop,
                                  &(HelperSpec){ .argv = argv,
                                                 .fds = &(ChildFd){ input, STDIN_FILENO },
                                                 .n_fds = 1,
                                                 .most_output = MOST_SAID },
                                  on_ended, hook, err);
        if (!hook->helper)
                return hook_free(hook);
        hook->patience = timer_new(loop, PATIENCE_MS, on_late, hook);
        return hook;
}

Hook *hook_new_def(const QemuDriver *qemu, const DomainDef *def, const char *operation,
                   void (*done)(void *arg, const char *said, const Error *failure), void *arg, Error *err)
{
        bool ends = str_eq(operation, "stopped") || str_eq(operation, "release");
        AUTO(Buf) xml = { 0 };

        if (domain_def_format(def, 0, &xml) < 0) {
                err_set(err, ERR_INTERNAL, "the definition of '%s' cannot be written as XML", def->name);
                return NULL;
        }
        return hook_new(qemu, def->name, operation, ends ? "end" : "begin", &xml, done, arg, err);
}

/* --- those that nobody waits for --- */

struct Tale {
        QemuDriver *qemu;
        DomainDef *def;
        Hook *hook;
        const char *const *operations; /* what is left to tell; ends with NULL */
};

static void tell_next(Tale *tale);

static void tale_free(Tale *tale)
{
        hook_free(tale->hook);
        domain_def_unref(tale->def);
        free(tale);
}

void hook_forget(QemuDriver *qemu)
{
        for (size_t i = 0; i < qemu->tales.len; i++)
                tale_free(qemu->tales.items[i]);
        vec_done(&qemu->tales);
}

/* It is told to the end. */
static void close_tale(Tale *tale)
{
        vec_remove_item(&tale->qemu->tales, tale);
        tale_free(tale);
}

static void on_told(void *arg, const char *said UNUSED, const Error *failure)
{
        Tale *tale = arg;

        tale->hook = hook_free(tale->hook);
        if (failure)
                log_warning("%s", failure->text);
        tell_next(tale);
}

static void tell_next(Tale *tale)
{
        const char *operation = *tale->operations;
        AUTO(Error) err = { 0 };

        if (operation) {
                tale->operations++;
                tale->hook = hook_new_def(tale->qemu, tale->def, operation, on_told, tale, &err);
                if (tale->hook)
                        return;
                log_warning("the hook script cannot be asked: %s", err.text);
        }
        close_tale(tale);
}

static void tell(QemuDriver *qemu, const DomainDef *def, const char *const *operations)
{
        Tale *tale;

        if (!qemu->hook || !def)
                return;
        tale = mem_new(Tale);
        *tale = (Tale){ .qemu = qemu, .def = domain_def_ref((DomainDef *)def), .operations = operations };
        vec_push(&qemu->tales, tale);
        tell_next(tale);
}

void hook_tell_end(QemuDriver *qemu, const DomainDef *def, bool ran)
{
        static const char *const operations[] = { "stopped", "release", NULL };

        tell(qemu, def, ran ? operations : operations + 1);
}

void hook_tell_found(QemuDriver *qemu, const DomainDef *def)
{
        static const char *const operations[] = { "reconnect", NULL };

        tell(qemu, def, operations);
}
