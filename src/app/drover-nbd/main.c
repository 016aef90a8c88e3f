/*
 * app/drover-nbd/main.c - drover-img serve: export an image over NBD
 *
 * Sockets are opened and credentials loaded first; then files can be opened
 * only for the image, which is read for the first time; then, before a client
 * is listened to, no file can be opened at all.
 */
#include "app/drover-nbd/server.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "img/confine.h"
#include "img/nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static ServeOptions options;

static void on_failure(const Error *why)
{
        serve_tell(&options, true, why);
}

/* --- in the background --- */

/* The parent's end of --fork: its exit status is whether clients can connect. */
static int wait_for_child(int from_child, pid_t child)
{
        char ready;
        ssize_t n;
        int status;

        do
                n = read(from_child, &ready, 1);
        while (n < 0 && errno == EINTR);
        if (n == 1)
                return 0;
        return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status)
                                                                                               : 1;
}

/* 1: in the child, *ready is to be written to; 0: in the parent, with the status to end with. */
static int go_to_background(Fd *ready, int *status, Error *err)
{
        int ends[2];
        pid_t child;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return err_errno(err, errno, "cannot make a pipe");
        child = fork();
        if (child < 0)
                return err_errno(err, errno, "cannot go to the background");
        close(ends[child ? 1 : 0]);
        if (child) {
                *status = wait_for_child(ends[0], child);
                return 0;
        }
        setsid();
        *ready = ends[1];
        return 1;
}

/* Opened while files still can be. */
static int leave_terminal(int null, Fd *ready, Error *err)
{
        if (*ready < 0)
                return 0;
        if (write(*ready, "", 1) != 1)
                return err_errno(err, errno, "cannot tell that the server is ready");
        fd_close(ready);
        if (dup3(null, STDIN_FILENO, 0) < 0 || dup3(null, STDOUT_FILENO, 0) < 0 ||
            (!options.verbose && dup3(null, STDERR_FILENO, 0) < 0))
                return err_errno(err, errno, "cannot leave the terminal");
        return 0;
}

/* --- confinement --- */

static bool is_directory_disk(void)
{
        return options.source.image_opts || image_opts_is_json(options.image) ? strstr(options.image, "vvfat") != NULL
                                                                              : str_starts(options.image, "fat:");
}

static int confine_for_opening(const char *socket_dir, Error *err)
{
        bool write = !options.export.read_only;
        AUTO_STRLIST places = write && !is_directory_disk() ? places_of_image(&options.source, options.image, err)
                                                            : mem_new_array(char *, 1);
        AUTOFREE char *pid_dir = options.pid_file ? directory_of(options.pid_file) : NULL;
        AUTOFREE const char **writable = NULL;
        size_t n = 0;

        if (!places)
                return -1;
        writable = mem_new_array(const char *, str_list_len(places) + 2);
        for (char **each = places; *each; each++)
                writable[n++] = *each;
        if (pid_dir)
                writable[n++] = pid_dir;
        return image_confine(&(Confinement){ .may_open = true,
                                             .network = nbd_is_name(options.image) || strstr(options.image, "nbd"),
                                             .serving = true,
                                             .more_later = true,
                                             .removable = socket_dir,
                                             .writable = writable },
                             err);
}

static int confine_for_serving(const char *socket_dir, Error *err)
{
        /* The files of a directory shown as a disk are opened when they are read. */
        return image_confine(
                &(Confinement){ .serving = true, .removable = socket_dir, .may_open = is_directory_disk() }, err);
}

/* --- the image --- */

static Image *open_image(Error *err)
{
        NbdExport *export = &options.export;
        AUTO(Image) *image = source_open(&options.source, options.image, export->read_only ? 0 : IMAGE_WRITE, err);

        if (!image || (options.snapshot && image_snapshot_show(image, options.snapshot, err) < 0))
                return NULL;
        export->image = image;
        export->failed = on_failure;
        if (nbd_export_start(export, err) < 0)
                return NULL;
        for (size_t i = 0; i < options.bitmaps.len; i++)
                if (nbd_export_add_bitmap(export, options.bitmaps.items[i], err) < 0)
                        return NULL;
        return TAKE(image);
}

static int write_pid(Error *err)
{
        AUTOFREE char *text = str_format("%d\n", (int)getpid());

        return options.pid_file ? file_write_atomic(options.pid_file, text, strlen(text), 0644, err) : 0;
}

static int serve(const Sockets *sockets, NbdTls *tls, Fd *ready, Error *err)
{
        AUTOFREE char *socket_dir = sockets->is_file ? directory_of(options.socket_path) : NULL;
        AUTO(Fd) null = open("/dev/null", O_RDWR | O_CLOEXEC), signals = -1;
        AUTO(Image) *image = NULL;
        sigset_t set;
        int r;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGPIPE, SIG_IGN);
        signals = signalfd(-1, &set, SFD_CLOEXEC);
        if (null < 0 || signals < 0)
                return err_errno(err, errno, "cannot begin to serve");
        if (confine_for_opening(socket_dir, err) < 0)
                return -1;
        image = open_image(err);
        if (!image || write_pid(err) < 0 || confine_for_serving(socket_dir, err) < 0 ||
            leave_terminal(null, ready, err) < 0)
                return -1;
        r = serve_clients(&options, sockets, tls, signals, err);
        if (image_flush(image, r == 0 ? err : NULL) < 0)
                r = -1;
        if (image_close(TAKE(image), r == 0 ? err : NULL) < 0)
                r = -1;
        return r;
}

static int run(Error *err)
{
        AUTO(NbdTls) *tls = NULL;
        AUTO(Fd) ready = -1;
        Sockets sockets;
        int r = 1, status = 0;

        if (options.tls) {
                tls = nbd_tls_new(options.tls, options.allowed.items, options.allowed.len, err);
                if (!tls)
                        return -1;
        }
        r = sockets_open(&sockets, &options, err);
        if (r == 0 && options.fork)
                r = go_to_background(&ready, &status, err);
        else if (r == 0)
                r = 1;
        if (r == 0) {
                sockets.is_file = false; /* the child's */
                sockets_done(&sockets, &options);
                return status;
        }
        if (r > 0)
                r = serve(&sockets, tls, &ready, err);
        nbd_export_done(&options.export);
        sockets_done(&sockets, &options);
        return r;
}

int main(int argc, char **argv)
{
        AUTO(Error) err = { 0 };
        int r = serve_options_parse(&options, argc, argv, &err);

        if (r == 0)
                r = run(&err);
        else if (r > 0)
                r = 0;
        serve_options_done(&options);
        objects_wipe();
        return r < 0 ? complain_err(&err) : r;
}
