/*
 * app/drover-img/cmd-serve.c - export an image over NBD: a program of its own does it
 *
 * drover-nbd links GnuTLS, which nothing else here needs, and takes the same
 * arguments.
 */
#include "app/drover-img/command.h"

#include "base/str.h"

#include <errno.h>
#include <unistd.h>

static int run(int argc, char **argv)
{
        /* from the directory of this program: a build has all in one, an installation where meson.build says */
        static const char *const places[] = { ".", "../" DROVER_LIBEXECDIR, "../" DROVER_BINDIR };
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash;

        (void)argc;
        self[MAX(n, 0)] = '\0';
        slash = strrchr(self, '/');
        if (slash)
                *slash = '\0';
        argv[0] = (char *)"drover-nbd";
        for (size_t i = 0; i < ARRAY_LEN(places); i++) {
                AUTOFREE char *path = str_format("%s/%s/drover-nbd", self, places[i]);

                execv(path, argv);
                if (errno != ENOENT && errno != ENOTDIR)
                        return complain("cannot run '%s': %s", path, strerror(errno));
        }
        return complain("serve needs the program drover-nbd, which is not installed with this one");
}

const Command cmd_serve = {
        .name = "serve",
        .args = "[--socket PATH | --port PORT [--bind ADDRESS] | --stdin] [-f FMT | --image-opts] [-r] [--persistent] [--shared N] "
                "[--export-name NAME] [--description TEXT] [--tls-creds ID [--tls-authz ID] [--tls-allow PATTERN]...] "
                "[--bitmap NAME]... [--fork] [--pid-file PATH] [OPTION...] FILENAME",
        .summary = "Export an image over NBD; 'drover-img serve --help' names every option",
        .helps_itself = true,
        .run = run,
};
