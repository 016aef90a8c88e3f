#pragma once
/*
 * img/chain.h - open an image with all that stands below it
 *
 * This is where the names an image claims are turned into open files, under
 * the caller's policy; the drivers never do it.
 */
#include "img/image.h"

typedef struct ChainPolicy ChainPolicy;

struct ChainPolicy {
        bool no_locks;      /* share with whoever has it open */
        bool untrusted;     /* refuse images that name other files */
        bool probe_unnamed; /* guess the format of a backing file whose format is not recorded */
        bool skip_backing;  /* open the image alone */
        bool headers_only;  /* of qcow2: what holds the data need not be there; nothing may be read */
        bool skip_flush;    /* cache mode unsafe */
        bool may_connect;   /* names of NBD exports are opened too */
        bool direct, sync;  /* cache modes none, directsync; writethrough */
        bool whole_sectors; /* of raw: behind a length that is no multiple of 512 stand zeros, up to the next one */
        bool keep_locked;   /* for open_options: nothing is read, so no password is needed */
        unsigned depth;     /* images that stand above already */
        /* May this file be opened on behalf of the image `by`? NULL: any may. */
        int (*authorise)(void *arg, const char *by, const char *path, Error *err);
        void *authorise_arg;
        /*
         * Opens, for reading, what a header names by options (json:...), and all below it. format: what the header calls it;
         * NULL: it does not say. NULL: such names are refused.
         */
        Image *(*open_options)(const ChainPolicy *policy, const char *options, const char *format, Error *err);
};

/* The format is given. flags: IMAGE_WRITE opens the image for writing, never what is below it. */
Image *image_chain_open(const char *path, ImageFormat format, unsigned flags, const ChainPolicy *policy, Error *err);
/* The same in a file that is open. Takes the file. */
Image *image_chain_open_file(ImageFile *file, ImageFormat format, unsigned flags, const ChainPolicy *policy,
                             Error *err);
/* A name that is options. */
bool image_name_is_options(const char *name);
/* Only the file, locked, with the cache mode of the policy. flags: of image_file_open(). */
ImageFile *image_chain_file(const char *path, unsigned flags, const ChainPolicy *policy, Error *err);
/* A name in an image's header, as a path: relative ones are beside the image, names of NBD exports and options stay. Owned; NULL: neither. */
char *image_path_beside(const char *image_path, const char *name, Error *err);
/*
 * An image that is made on top of a vmdk or vpc image notes what that is, and can stand on no other format. Blocks. What
 * how points to afterwards is in *parent, which the caller owns: keep it until the image is made.
 */
int image_look_at_parent(ImageDescription *parent, ImageFormat format, const char *path, ImageCreate *how,
                         Error *err);
