/*
 * daemon/helper.c - a process of ours that does one thing, and what it says
 */
#include "daemon/helper.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_COMPLAINT = 8192, MOST_FDS = 12 };

typedef struct Pipe {
        Helper *helper;
        Fd fd;
        Watch *watch;
        Buf text;
        size_t most;
} Pipe;

struct Helper {
        Loop *loop;
        Child *child;
        Pipe out, err;
        Timer *patience; /* NULL: it may take its time */
        unsigned patience_ms;
        int status;
        bool ended, numbered;
        void (*done)(void *arg, Buf *said, const Error *failure);
        void *arg;
};

static void pipe_close(Pipe *pipe)
{
        pipe->watch = watch_free(pipe->watch);
        fd_close(&pipe->fd);
}

Helper *helper_free(Helper *helper)
{
        if (!helper)
                return NULL;
        child_free(helper->child);
        timer_free(helper->patience);
        pipe_close(&helper->out);
        pipe_close(&helper->err);
        buf_done(&helper->out.text);
        buf_done(&helper->err.text);
        free(helper);
        return NULL;
}

static bool was_given_up(const Helper *helper)
{
        return WIFEXITED(helper->status) && WEXITSTATUS(helper->status) == 2;
}

void helper_error(const char *line, Error *ret)
{
        char *end;
        long code = strtol(line, &end, 10);

        if (end > line && *end == ' ' && code > ERR_OK && err_code_template((ErrCode)code))
                err_set(ret, (ErrCode)code, "%s", end + 1);
        else
                err_set(ret, ERR_OPERATION_FAILED, "%s", line);
}

/* It has ended and said all it had to say. */
static void finish(Helper *helper)
{
        AUTO(Error) why = { 0 };
        AUTO(Buf) said = helper->out.text;
        AUTOFREE char *complaint = NULL;

        helper->out.text = (Buf){ 0 };
        helper->patience = timer_free(helper->patience);
        if (helper->status) {
                complaint = str_dup(buf_text(&helper->err.text));
                complaint[strcspn(complaint, "\n")] = '\0';
                if (helper->numbered && *complaint)
                        helper_error(complaint, &why);
                else
                        err_set(&why, was_given_up(helper) ? ERR_OPERATION_ABORTED : ERR_OPERATION_FAILED, "%s",
                                *complaint ? complaint : child_status_text(helper->status));
        }
        helper->done(helper->arg, &said, helper->status ? &why : NULL);
}

static void maybe_finish(Helper *helper)
{
        if (helper->ended && helper->out.fd < 0 && helper->err.fd < 0)
                finish(helper);
}

static void on_readable(void *arg, uint32_t revents UNUSED)
{
        Pipe *pipe = arg;
        ssize_t n = read(pipe->fd, buf_reserve(&pipe->text, 65536), 65536);

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (pipe->helper->patience)
                timer_set(pipe->helper->patience, pipe->helper->patience_ms);
        if (n > 0 && pipe->text.len + (size_t)n <= pipe->most) {
                buf_grow(&pipe->text, (size_t)n);
                return;
        }
        pipe_close(pipe);
        maybe_finish(pipe->helper);
}

static void on_ended(void *arg, int status)
{
        Helper *helper = arg;

        helper->ended = true;
        helper->status = status;
        maybe_finish(helper);
}

/* It waits for storage or a server. Killed, it changes nothing more once the kernel lets it go. */
static void on_late(void *arg)
{
        Helper *helper = arg;
        AUTO(Error) late = { 0 };
        AUTO(Buf) said = helper->out.text;

        helper->out.text = (Buf){ 0 };
        helper->child = child_free(helper->child);
        pipe_close(&helper->out);
        pipe_close(&helper->err);
        err_set(&late, ERR_OPERATION_TIMEOUT, "no answer within %u s", helper->patience_ms / 1000);
        helper->done(helper->arg, &said, &late);
}

static int pipe_open(Helper *helper, Pipe *pipe, size_t most, Fd *writer, Error *err)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        *writer = ends[1];
        pipe->helper = helper;
        pipe->fd = ends[0];
        pipe->most = most;
        pipe->watch = watch_new(helper->loop, pipe->fd, EPOLLIN, on_readable, pipe);
        return fd_set_nonblocking(pipe->fd, err);
}

static int start(Helper *helper, const HelperSpec *spec, Error *err)
{
        AUTO(Fd) out = -1;
        AUTO(Fd) complaint = -1;
        ChildFd fds[MOST_FDS];
        ChildSpec child = { .argv = spec->argv, .fds = fds };

        if (pipe_open(helper, &helper->err, MOST_COMPLAINT, &complaint, err) < 0 ||
            (spec->most_output && pipe_open(helper, &helper->out, spec->most_output, &out, err) < 0))
                return -1;
        fds[child.n_fds++] = (ChildFd){ complaint, STDERR_FILENO };
        if (spec->most_output)
                fds[child.n_fds++] = (ChildFd){ out, STDOUT_FILENO };
        for (size_t i = 0; i < spec->n_fds && child.n_fds < MOST_FDS; i++)
                fds[child.n_fds++] = spec->fds[i];
        helper->child = child_new(helper->loop, &child, on_ended, helper, err);
        if (helper->child && helper->patience_ms)
                helper->patience = timer_new(helper->loop, helper->patience_ms, on_late, helper);
        return helper->child ? 0 : -1;
}

Helper *helper_new(Loop *loop, const HelperSpec *spec, void (*done)(void *arg, Buf *said, const Error *failure),
                   void *arg, Error *err)
{
        Helper *helper = mem_new(Helper);

        *helper = (Helper){
                .loop = loop, .numbered = spec->numbered, .patience_ms = spec->patience_ms, .done = done, .arg = arg
        };
        helper->out.fd = helper->err.fd = -1;
        if (start(helper, spec, err) < 0)
                return helper_free(helper);
        return helper;
}

pid_t helper_pid(const Helper *helper)
{
        return child_pid(helper->child);
}

int helper_text_fd(const Buf *text, Fd *ret, Error *err)
{
        AUTO(Fd) fd = memfd_create("drover", MFD_CLOEXEC);

        if (fd < 0)
                return err_errno(err, errno, "cannot get memory for a file");
        if (fd_write_all(fd, text->data, text->len, err) < 0)
                return -1;
        *ret = fd_take(&fd);
        return 0;
}

char *helper_program(const char *name)
{
        /* from the directory of droverd: a build has all in one, an installation where meson.build says */
        static const char *const places[] = { ".", "../" DROVER_LIBEXECDIR, "../" DROVER_BINDIR };
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash;

        if (n <= 0)
                return str_dup(name);
        self[n] = '\0';
        slash = strrchr(self, '/');
        *slash = '\0';
        for (size_t i = 0; i < ARRAY_LEN(places); i++) {
                AUTOFREE char *path = str_format("%s/%s/%s", self, places[i], name);

                if (access(path, X_OK) == 0)
                        return TAKE(path);
        }
        return str_format("%s/%s", self, name);
}
