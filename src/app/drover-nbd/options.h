#pragma once
/*
 * app/drover-nbd/options.h - the command line of the NBD server
 *
 * The options are qemu-nbd's, so that scripts can switch; what it has and is
 * not here is refused by name.
 */
#include "app/drover-img/command.h"
#include "app/drover-nbd/tls.h"
#include "nbd/export.h"

typedef struct ServeOptions {
        Source source;
        const char *image;    /* a file name, or image options */
        const char *snapshot; /* show this one; NULL: the image as it is */
        NbdExport export;     /* name, description, offset, what is done with zeros; no image yet */
        VEC(const char *) bitmaps;

        const char *socket_path; /* NULL: TCP, or what was passed in */
        const char *address, *port;
        bool use_stdin, persistent, verbose, fork;
        unsigned shared; /* connections at a time; 0: any number */
        unsigned threads;
        unsigned stall_seconds; /* 0: no limit */
        const char *pid_file;

        const TlsCreds *tls; /* NULL: in the clear */
        VEC(NbdTlsName) allowed;
} ServeOptions;

/* 0: serve; 1: help or version was printed; -1 with the error set. */
int serve_options_parse(ServeOptions *options, int argc, char **argv, Error *err);
void serve_options_done(ServeOptions *options);

DEFINE_AUTO_VALUE(ServeOptions, serve_options_done)
