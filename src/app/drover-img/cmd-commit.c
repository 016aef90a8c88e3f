/*
 * app/drover-img/cmd-commit.c - move an overlay's content into its backing file (IMG-02)
 */
#include "app/drover-img/command.h"

#include "base/str.h"
#include "img/rebase.h"

#include <stdio.h>
#include <sys/stat.h>

typedef struct Args {
        Source source;
        const char *base;
        uint64_t rate;
        bool drop, show_progress;
} Args;

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = { SOURCE_LONGS, { 0 } };
        int c, r;

        while ((r = source_next(&args->source, argc, argv, "f:t:b:dpqr:", longs, &c, err)) > 0) {
                switch (c) {
                case 't':
                        if (policy_set_cache(&args->source.policy, optarg, err) < 0)
                                return -1;
                        break;
                case 'b':
                        args->base = optarg;
                        args->drop = true; /* as qemu-img: the images between would be invalid */
                        break;
                case 'd':
                        args->drop = true;
                        break;
                case 'p':
                        args->show_progress = true;
                        break;
                case 'r':
                        if (size_from_text(optarg, "rate limit", &args->rate, err) < 0)
                                return -1;
                        break;
                default:
                        return err_set(err, ERR_INVALID_ARG, "an option of commit is not known");
                }
        }
        if (r < 0)
                return -1;
        return optind + 1 == argc ? 0 : err_set(err, ERR_INVALID_ARG, "Expecting one image file name");
}

/* By this path, or by another one to the same file. */
static bool is_named(const Image *image, const char *path)
{
        struct stat a, b;

        return str_eq(image_name(image), path) || (stat(image_name(image), &a) == 0 && stat(path, &b) == 0 &&
                                                   a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

static Image *find_base(const Args *args, Image *image, Error *err)
{
        AUTOFREE char *wanted = args->base ? image_path_beside(image_name(image), args->base, err) : NULL;
        Image *base = image_backing(image);

        if (args->base && !wanted)
                return NULL;
        while (base && wanted && !is_named(base, wanted) && !is_named(base, args->base))
                base = image_backing(base);
        if (!base && args->base)
                err_set(err, ERR_INVALID_ARG, "Did not find '%s' in the backing chain of '%s'", args->base,
                        image_name(image));
        else if (!base)
                err_set(err, ERR_OPERATION_INVALID, "Image does not have a backing file");
        return base;
}

static int commit_into(const Args *args, Image *image, Image *base, Error *err)
{
        Source target = { .format = image_format_name(image_format(base)), .policy = args->source.policy };
        bool encrypted = image_description(base)->encrypted;
        AUTO(Image) *to = NULL;
        Progress progress;

        /* The chain has the base open for reading; those locks are ours, and become those of who writes there. */
        if (image_lock(base, true, err) < 0)
                return err_prefix(err, "Could not open '%s'", image_name(base));
        target.policy.no_locks = true;
        target.headers_only = encrypted;
        /* A part of a file is called by its options. */
        to = image_opts_is_json(image_name(base))
                     ? source_open(&target, image_name(base), IMAGE_WRITE, err)
                     : source_open_file(&target, image_name(base), NULL, IMAGE_WRITE, err);
        if (!to || (encrypted && image_unlock_as(to, base, err) < 0))
                return -1;
        progress_begin(&progress, args->show_progress && !args->source.quiet,
                       "the overlay still holds everything, and a part of it stands in the backing file already");
        if (image_commit(image, base, to, args->rate, progress_report, &progress, err) < 0 ||
            image_flush(to, err) < 0 || image_close(TAKE(to), err) < 0)
                return -1;
        progress_end(&progress);
        return 0;
}

static int commit(const Args *args, const char *argument, Error *err)
{
        AUTO(Image) *image = source_open(&args->source, argument, args->drop ? 0 : IMAGE_WRITE, err);
        Image *base = image ? find_base(args, image, err) : NULL;
        AUTO(Error) why = { 0 };

        if (!base || commit_into(args, image, base, err) < 0)
                return -1;
        /* An overlay of a format that cannot be emptied shows what its backing file now holds. */
        if (!args->drop && image_make_empty(image, &why) < 0 && why.code != ERR_OPERATION_UNSUPPORTED) {
                err_move(err, &why);
                return err_prefix(err, "the content was committed, and the overlay could not be emptied");
        }
        if (image_close(TAKE(image), err) < 0)
                return -1;
        if (!args->source.quiet)
                printf("Image committed.\n");
        return 0;
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        /* The file that is written is named by the image. */
        if (r == 0)
                r = confine((const char *[]){ "/", NULL }, &err);
        complain_of_lost_pages(1);
        if (r == 0)
                r = commit(&args, argv[optind], &err);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_commit = {
        .name = "commit",
        .args = "[--object OBJECT] [--image-opts] [-q] [-f FMT] [-t CACHE] [-b BASE] [-r RATE] [-d] [-p] [--untrusted] FILENAME",
        .summary = "Move an overlay's content into its backing file",
        .run = run,
};
