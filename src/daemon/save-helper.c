/*
 * daemon/save-helper.c - a drover-save process
 */
#include "daemon/save-helper.h"

#include "qemu/save-image.h"

#include <unistd.h>

enum { MOST_OUTPUT = SAVE_IMAGE_MOST_XML + 2 * SAVE_IMAGE_BLOCK };

Helper *save_helper_new(QemuDriver *qemu, const SaveHelperSpec *spec,
                        void (*done)(void *arg, Buf *said, const Error *failure), void *arg, Error *err)
{
        const char *argv[] = { qemu->saver, spec->verb, spec->path, spec->direct ? "direct" : NULL, NULL };
        const ChildFd wanted[] = {
                { spec->out, STDOUT_FILENO }, { spec->in, STDIN_FILENO }, { spec->head, 3 }, { spec->commit, 4 }
        };
        ChildFd fds[ARRAY_LEN(wanted)];
        HelperSpec helper = { .argv = spec->argv ?: argv,
                              .fds = fds,
                              .patience_ms = spec->patience_ms,
                              .most_output = spec->out < 0 ? MOST_OUTPUT : 0 };

        for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
                if (wanted[i].fd >= 0)
                        fds[helper.n_fds++] = wanted[i];
        }
        return helper_new(qemu->env.loop, &helper, done, arg, err);
}
