#pragma once
/*
 * app/drover-img/command.h - one command of drover-img, and what they share
 *
 * Options, output and exit codes are those of qemu-img, so that scripts and
 * tools that call it can call this. Each command is a file that ends with its
 * Command.
 */
#include "base/buf.h"
#include "img/chain.h"
#include "img/part.h"

#include <getopt.h>

typedef struct Command {
        const char *name;
        const char *args; /* for the help */
        const char *summary;
        bool helps_itself;                 /* --help is its own option */
        int (*run)(int argc, char **argv); /* the exit status */
} Command;

extern const Command cmd_amend, cmd_bench, cmd_bitmap, cmd_check, cmd_commit, cmd_compare, cmd_convert, cmd_create,
        cmd_dd, cmd_describe, cmd_info, cmd_map, cmd_measure, cmd_rebase, cmd_resize, cmd_serve, cmd_snapshot;

/* A sentence on stderr; control characters of names that stand in it are made visible. */
void remark(const char *fmt, ...) PRINTF(1, 2);
/* As it was called: drover-img, or what a link to it is named. */
extern const char *program_name;
/* "drover-img: sentence" on stderr, in the same way; returns 1. */
int complain(const char *fmt, ...) PRINTF(1, 2);
int complain_err(const Error *err);
/* On stdout, for a person: a name that is another's, an image's for one, with its control characters made visible. */
void print_named(const char *before, const char *name, const char *after);
/* An option or an argument was wrong: getopt_long() or the caller has said how. Returns 1. */
int complain_usage(const char *command);
/*
 * Images are looked at where they stand in the page cache: says that one was cut short, or could not be read, and ends the
 * program with this status, should that happen.
 */
void complain_of_lost_pages(int status);

/* "10G", "1.5k", "4096": bytes, or -1 with the sentence. */
int size_from_text(const char *text, const char *what, uint64_t *ret, Error *err);
/* As qemu-img writes it: "1.5 GiB". ret: room for 32. */
const char *size_to_text(uint64_t bytes, char ret[32]);

/* Cache modes of -t and -T: none, writeback, writethrough, directsync, unsafe. */
int policy_set_cache(ChainPolicy *policy, const char *mode, Error *err);
ChainPolicy policy_usual(void);

/* What an image argument and its options amount to. */
typedef struct Source {
        const char *format; /* NULL: guessed, as qemu-img does */
        bool image_opts;    /* the argument is driver=...,file.filename=... */
        bool headers_only;  /* an encrypted image needs no password */
        bool quiet;
        ChainPolicy policy;
        /* What of the file holds the image: a part of it, perhaps a part of that; none: all of it. */
        ImagePart parts[2];
        size_t n_parts;
        const char *name; /* how such a part is called; NULL: as its file */
} Source;
/*
 * The options that all commands take alike: -f -T -q -U --image-opts --object --untrusted. 1: one of them, 0: not,
 * -1 with the error set. Long options have the letters of SOURCE_LONGS.
 */
int source_option(Source *source, int c, Error *err);
#define SOURCE_LONGS                                                                                                 \
        { "object", required_argument, NULL, 'j' }, { "image-opts", no_argument, NULL, 'i' },                        \
                { "untrusted", no_argument, NULL, 'V' },                                                             \
        {                                                                                                            \
                "force-share", no_argument, NULL, 'U'                                                                \
        }
/* The next option that is not one of those: 1 with its letter, 0 at the end of them, -1 with the error set. */
int source_next(Source *source, int argc, char **argv, const char *shorts, const struct option *longs, int *ret,
                Error *err);
/* What follows --output. */
int output_option(const char *text, bool *json, Error *err);
/* Guess when no format was given. Warns when that gives raw and the image is to be written. */
int source_format(const Source *source, const char *path, bool write, ImageFormat *ret, Error *err);
/* A raw image of a directory; takes the file, which may be NULL after an error. */
Image *fat_image_open(ImageFile *file, Error *err);
Image *source_open(const Source *source, const char *argument, unsigned flags, Error *err);
/* Takes in what follows --object. What it describes is found by its id until objects_wipe(). */
int object_add(const char *text, Error *err);
void objects_wipe(void);
const ImageSecret *secret_find(const char *id, Error *err); /* NULL: there is none */

/* --object tls-creds-x509 or tls-creds-psk: files in a directory, by QEMU's names. */
typedef struct TlsCreds {
        char *id, *dir;              /* owned */
        bool psk, server;            /* endpoint */
        bool verify_peer;            /* of x509 */
        char *priority, *username;   /* owned; NULL: the usual ones */
        const ImageSecret *password; /* of the key; NULL: it is in the clear */
} TlsCreds;
const TlsCreds *tls_creds_find(const char *id, bool server, Error *err); /* NULL: there is none */
/* --object authz-simple: the one name it lets in. NULL: there is none. */
const char *authz_find(const char *id, Error *err);

/* -o a=b,c=d; a comma in a value is written twice. */
typedef struct Option {
        char *name, *value; /* owned */
        bool used;          /* options_take() asked for it */
} Option;
typedef VEC(Option) Options;
int preallocation_from_text(const char *text, ImagePreallocation *ret, Error *err);
int options_add(Options *options, const char *text, Error *err);
const char *options_find(const Options *options, const char *name); /* the last one, or NULL */
const char *options_take(Options *options, const char *name);       /* the same, and mark it as used */
const Option *options_unused(const Options *options);               /* the first one, or NULL */
int bool_from_text(const char *name, const char *value, bool *ret, Error *err);
/* Changes of key slots: state, new-secret, old-secret, keyslot, iter-time behind this prefix. *ret false: none. */
int options_key_change(const Options *options, const char *prefix, LuksKeyChange *change, bool *ret, Error *err);
/* The same as an object of JSON: {"file": {"filename": "x"}} is file.filename=x. */
int json_options_add(Options *options, const char *json, Error *err);
/* --image-opts, or an argument that begins with json:, which is taken for such everywhere: what the options name. */
bool image_opts_is_json(const char *argument);
/* The file they name. Owned; NULL: none. driver: owned, NULL: none, or nobody wants it. */
char *image_opts_path(const char *text, char **driver);
/* ChainPolicy.open_options */
Image *image_opts_open_below(const ChainPolicy *policy, const char *text, const char *format, Error *err);
Image *image_opts_open(const Source *source, const char *text, unsigned flags, Error *err);
/* Open the images below as they are named, the password of the first one given (NULL: none). */
Image *source_open_file(const Source *source, const char *path, const ImageSecret *secret, unsigned flags,
                        Error *err);
void options_done(Options *options);
/* secret.c and tls-creds.c: one --object; what was used of it is marked. */
int secret_add(Options *options, Error *err);
void secrets_wipe(void);
int tls_creds_add(Options *options, bool psk, Error *err);
int authz_add(Options *options, Error *err);
void tls_creds_wipe(void);
/* The creation options of a format. Strings stay those of `options`. */
int options_apply(const Options *options, ImageFormat format, ImageCreate *how, Error *err);
/* -o help: what the format takes, and the file if one is named; what can be changed in an image; on stdout. */
bool options_help_wanted(const Options *options);
int options_help(const char *format_name, bool file_named, Error *err);
int options_amend_help(ImageFormat format, Error *err);
/* "Formatting ...": what is being made, as qemu-img says it. */
void options_announce(const Options *options, const char *path, ImageFormat format, const ImageCreate *how);
DEFINE_AUTO_VALUE(Options, options_done)

/* It is there, and not a plain file. */
bool path_is_device(const char *path);
/* Where a file at path really stands, which need not be there yet: what symbolic links there lead to. Owned. */
char *path_behind_links(const char *path);

/* What `create` and `convert` do: a new image under a temporary name. */
typedef struct NewImage {
        char *path, *temporary;           /* owned; path: behind links; temporary NULL: written in place */
        bool durable;                     /* not in the cache mode "unsafe": on disk when it has its name */
        ImageFile *data_file;             /* owned */
        char *data_path, *data_temporary; /* where that shall stand, and until then; NULL: none, or in place; owned */
        ImageDescription parent;          /* what the image notes of the one below */
        ImageFile **files;                /* those of other formats that hold the disk; owned */
        char **file_paths;                /* where they shall stand; owned */
        char **file_temporaries;          /* where they stand until then; NULL: not any more; owned */
        size_t n_files;
} NewImage;
/* Lay out the image and open it for writing. in_place: no temporary name. */
Image *new_image_make(NewImage *made, const char *path, ImageFormat format, ImageCreate *how, bool in_place,
                      const ChainPolicy *policy, Error *err);
/* The image, closed by the caller, gets its name. */
int new_image_keep(NewImage *made, Error *err);
/* Removes what has no name yet. */
void new_image_done(NewImage *made);
void new_image_unlink(const NewImage *made); /* only that; may be called from a signal handler */
DEFINE_AUTO_VALUE(NewImage, new_image_done)

/* The bar of -p: on a terminal with rate and time left, else "    (12.34/100%)" as qemu-img prints it. */
typedef struct Progress {
        bool shown;
        const char *left; /* when it is interrupted: what then is left, for the error */
        double begun, last;
        int percent_x100;
        uint64_t base, whole; /* what is reported is a part of this, behind `base`; whole 0: it is all */
} Progress;
/* From here to progress_end() SIGINT and the like make progress_report() fail; before and after they end the program. */
void progress_begin(Progress *progress, bool shown, const char *left);
/* A function for CopyOptions.progress. */
int progress_report(void *progress, uint64_t done, uint64_t total, Error *err);
void progress_end(Progress *progress);
/* The same in two steps: what is printed between them stands on a terminal below the bar, else behind it. */
void progress_done(Progress *progress, bool whole);
void progress_end_line(const Progress *progress);
void interrupt_catch(void);
/* A signal that ends the program removes what of this has no name yet; NULL: there is nothing. */
void interrupt_removes(NewImage *made);

/* A row of the list of snapshots. */
void snapshot_print(const ImageSnapshot *snapshot);

/* Everything is open, or named: nothing else is needed from now on. writable: may be NULL. */
int confine(const char *const *writable, Error *err);
/* Before that: sockets are needed when the command line names an NBD server, and only then. */
void confine_look_at(int argc, char **argv);
/*
 * What can be written to change this image: its directory, itself (a device is no file of its directory's file
 * system), the files that its header says hold its data. Owned list; NULL with the error set. Before confine().
 */
char **places_of_image(const Source *source, const char *argument, Error *err);
/* The last of those, found by a child in confinement: format NULL is guessed. Owned list; NULL: none. */
char **data_places(const Source *source, const char *path, const char *format);
/* The image will be changed, and perhaps the files that hold its data. */
int confine_to_image(const Source *source, const char *argument, Error *err);
/* A new image at path comes to be, and perhaps a data file of this name (NULL: none). */
int confine_to_new(const char *path, const char *data_file, Error *err);
/* The directory of a path. Owned. */
char *directory_of(const char *path);
