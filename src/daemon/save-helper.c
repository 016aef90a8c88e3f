/*
 * daemon/save-helper.c - a drover-save process, and what it says
 */
#include "daemon/save-helper.h"

#include "base/mem.h"
#include "base/str.h"
#include "loop/child.h"
#include "qemu/save-image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        MOST_OUTPUT = SAVE_IMAGE_MOST_XML + 2 * SAVE_IMAGE_BLOCK,
        MOST_COMPLAINT = 8192,
};

typedef struct Pipe {
        SaveHelper *helper;
        Fd fd;
        Watch *watch;
        Buf text;
        size_t most;
} Pipe;

struct SaveHelper {
        Loop *loop;
        Child *child;
        Pipe out, err;
        int status;
        bool ended;
        void (*done)(void *arg, Buf *said, const Error *failure);
        void *arg;
};

static void pipe_close(Pipe *pipe)
{
        pipe->watch = watch_free(pipe->watch);
        fd_close(&pipe->fd);
}

SaveHelper *save_helper_free(SaveHelper *helper)
{
        if (!helper)
                return NULL;
        child_free(helper->child);
        pipe_close(&helper->out);
        pipe_close(&helper->err);
        buf_done(&helper->out.text);
        buf_done(&helper->err.text);
        free(helper);
        return NULL;
}

static bool was_given_up(const SaveHelper *helper)
{
        return WIFEXITED(helper->status) && WEXITSTATUS(helper->status) == 2;
}

/* It has ended and said all it had to say. */
static void finish(SaveHelper *helper)
{
        AUTO(Error) why = { 0 };
        AUTO(Buf) said = helper->out.text;
        AUTOFREE char *complaint = NULL;

        helper->out.text = (Buf){ 0 };
        if (helper->status) {
                complaint = str_dup(buf_text(&helper->err.text));
                complaint[strcspn(complaint, "\n")] = '\0';
                err_set(&why, was_given_up(helper) ? ERR_OPERATION_ABORTED : ERR_OPERATION_FAILED, "%s",
                        complaint[0] ? complaint : child_status_text(helper->status));
        }
        helper->done(helper->arg, &said, helper->status ? &why : NULL);
}

static void maybe_finish(SaveHelper *helper)
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
        if (n > 0 && pipe->text.len + (size_t)n <= pipe->most) {
                buf_grow(&pipe->text, (size_t)n);
                return;
        }
        pipe_close(pipe);
        maybe_finish(pipe->helper);
}

static void on_ended(void *arg, int status)
{
        SaveHelper *helper = arg;

        helper->ended = true;
        helper->status = status;
        maybe_finish(helper);
}

static int pipe_open(SaveHelper *helper, Pipe *pipe, size_t most, Fd *writer, Error *err)
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

static int start(SaveHelper *helper, const QemuDriver *qemu, const SaveHelperSpec *spec, Error *err)
{
        const char *argv[] = { qemu->saver, spec->verb, spec->path, spec->direct ? "direct" : NULL, NULL };
        AUTO(Fd) out = -1;
        AUTO(Fd) complaint = -1;
        ChildFd fds[5];
        ChildSpec child = { .argv = spec->argv ?: argv, .fds = fds };

        if (pipe_open(helper, &helper->err, MOST_COMPLAINT, &complaint, err) < 0 ||
            (spec->out < 0 && pipe_open(helper, &helper->out, MOST_OUTPUT, &out, err) < 0))
                return -1;
        fds[child.n_fds++] = (ChildFd){ complaint, 2 };
        fds[child.n_fds++] = (ChildFd){ spec->out < 0 ? out : spec->out, 1 };
        if (spec->in >= 0)
                fds[child.n_fds++] = (ChildFd){ spec->in, 0 };
        if (spec->head >= 0)
                fds[child.n_fds++] = (ChildFd){ spec->head, 3 };
        if (spec->commit >= 0)
                fds[child.n_fds++] = (ChildFd){ spec->commit, 4 };
        helper->child = child_new(helper->loop, &child, on_ended, helper, err);
        return helper->child ? 0 : -1;
}

SaveHelper *save_helper_new(QemuDriver *qemu, const SaveHelperSpec *spec,
                            void (*done)(void *arg, Buf *said, const Error *failure), void *arg, Error *err)
{
        SaveHelper *helper = mem_new(SaveHelper);

        *helper = (SaveHelper){ .loop = qemu->env.loop, .done = done, .arg = arg };
        helper->out.fd = helper->err.fd = -1;
        if (start(helper, qemu, spec, err) < 0)
                return save_helper_free(helper);
        return helper;
}

pid_t save_helper_pid(const SaveHelper *helper)
{
        return child_pid(helper->child);
}

int save_head_fd(const Buf *head, Fd *ret, Error *err)
{
        AUTO(Fd) fd = memfd_create("save-head", MFD_CLOEXEC);

        if (fd < 0)
                return err_errno(err, errno, "cannot get memory for the head of a save image");
        if (fd_write_all(fd, head->data, head->len, err) < 0)
                return -1;
        *ret = fd_take(&fd);
        return 0;
}
