/*
 * app/drover-img/new-image.c - a new image appears under its name when it is whole
 *
 * It is written beside its place and renamed at the end. Whatever happens
 * before - a full disk, an I/O error, Ctrl-C - no half image stands under the
 * final name, and an image that stood there is untouched. Devices, and targets
 * that must be kept (-n), are written in place.
 */
#include "app/drover-img/command.h"

#include "base/str.h"
#include "img/lock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
        interrupted = number;
}

void interrupt_catch(void)
{
        struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGHUP, &action, NULL);
}

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void progress_begin(Progress *progress, bool shown)
{
        *progress = (Progress){ .shown = shown, .begun = now(), .percent_x100 = -1 };
}

static void draw(Progress *progress, uint64_t done, uint64_t total, double at)
{
        enum { WIDTH = 30 };
        double share = total ? (double)done / (double)total : 1, spent = at - progress->begun;
        int full = (int)(share * WIDTH), left = share > 0 ? (int)(spent / share - spent + 0.5) : 0;
        char rate[32], bar[WIDTH + 1];

        for (int i = 0; i < WIDTH; i++)
                bar[i] = i < full ? '#' : '.';
        bar[WIDTH] = '\0';
        printf("\r    (%.2f/100%%) [%s] %s/s, %d:%02d left \033[K", share * 100, bar,
               size_to_text(spent > 0 ? (uint64_t)((double)done / spent) : 0, rate), left / 60, left % 60);
        fflush(stdout);
}

int progress_report(void *arg, uint64_t done, uint64_t total, Error *err)
{
        Progress *progress = arg;
        int percent = total ? (int)((double)done / (double)total * 10000) : 10000;

        if (interrupted)
                return err_set(err, ERR_OPERATION_ABORTED, "interrupted by signal %d, nothing was kept",
                               (int)interrupted);
        if (!progress->shown || percent == progress->percent_x100)
                return 0;
        if (isatty(STDOUT_FILENO)) {
                double at = now();

                if (at - progress->last < 0.1 && done < total)
                        return 0;
                progress->last = at;
                draw(progress, done, total, at);
        } else if (percent / 100 != progress->percent_x100 / 100 || progress->percent_x100 < 0) {
                printf("    (%.2f/100%%)\r", (double)percent / 100);
                fflush(stdout);
        }
        progress->percent_x100 = percent;
        return 0;
}

void progress_end(Progress *progress)
{
        if (!progress->shown)
                return;
        if (progress->percent_x100 < 10000 || !isatty(STDOUT_FILENO))
                printf("    (100.00/100%%)\r");
        printf("\n");
}

/* What stands under the final name must not be in use; its owner and mode go over to the new file. */
static int respect_old(const char *path, ImageFile *file, const ChainPolicy *policy, Error *err)
{
        AUTO(ImageFile) *old = NULL;
        struct stat st;

        if (stat(path, &st) < 0)
                return 0;
        if (!policy->no_locks) {
                old = image_file_open(path, FILE_WRITE, err);
                if (!old || image_file_lock(old, true, err) < 0)
                        return -1;
        }
        if (fchmod(image_file_fd(file), st.st_mode & 0777) < 0 ||
            (geteuid() == 0 && fchown(image_file_fd(file), st.st_uid, st.st_gid) < 0))
                return err_errno(err, errno, "cannot give the new file the owner of '%s'", path);
        return 0;
}

bool path_is_device(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

Image *new_image_make(NewImage *made, const char *path, ImageFormat format, ImageCreate *how, bool in_place,
                      const ChainPolicy *policy, Error *err)
{
        const char *to = path;
        ImageFile *file;
        Image *image;

        made->path = str_dup(path);
        if (!in_place && !path_is_device(path)) {
                made->temporary = str_format("%s.%d.part", path, (int)getpid());
                to = made->temporary;
        }
        if (how->data_file_name) {
                AUTOFREE char *data = image_path_beside("", how->data_file_name, err);

                made->data_file = data ? image_chain_file(data, FILE_WRITE | FILE_CREATE, policy, err) : NULL;
                if (!made->data_file)
                        return NULL;
                how->data_file = made->data_file;
        }
        file = image_chain_file(to, FILE_WRITE | FILE_CREATE, policy, err);
        if (!file)
                return NULL;
        if ((made->temporary && respect_old(path, file, policy, err) < 0) ||
            image_create(file, format, how, err) < 0) {
                image_file_close(file);
                return NULL;
        }
        image = image_open(file, format, IMAGE_WRITE, err);
        if (!image)
                image_file_close(file);
        else if (made->data_file)
                image_set_data_file(image, TAKE(made->data_file));
        return image;
}

int new_image_keep(NewImage *made, Error *err)
{
        if (made->temporary && rename(made->temporary, made->path) < 0)
                return err_errno(err, errno, "cannot rename '%s' to '%s'", made->temporary, made->path);
        free(TAKE(made->temporary));
        return 0;
}

void new_image_done(NewImage *made)
{
        if (made->temporary)
                unlink(made->temporary);
        image_file_close(made->data_file);
        free(made->temporary);
        free(made->path);
        *made = (NewImage){ 0 };
}
