/*
 * app/drover-img/cmd-resize.c - resize (IMG-20 to IMG-22)
 */
#include "app/drover-img/command.h"

#include "base/str.h"

#include <stdio.h>

typedef struct Args {
        Source source;
        ImagePreallocation room;
        bool shrink;
        const char *size; /* negative ones would look like options: taken off the end first */
} Args;

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = {
                { "preallocation", required_argument, NULL, 'p' },
                { "shrink", no_argument, NULL, 's' },
                SOURCE_LONGS,
                { 0 },
        };
        int c, r;

        if (argc < 3)
                return err_set(err, ERR_INVALID_ARG, "Not enough arguments");
        args->size = argv[--argc];
        while ((r = source_next(&args->source, argc, argv, "f:qU", longs, &c, err)) > 0) {
                if (c == 's')
                        args->shrink = true;
                else if (c != 'p')
                        return err_set(err, ERR_INVALID_ARG, "an option of resize is not known");
                else if (preallocation_from_text(optarg, &args->room, err) < 0)
                        return -1;
        }
        if (r < 0)
                return -1;
        return optind + 1 == argc ? 0 : err_set(err, ERR_INVALID_ARG, "Expecting image file name and size");
}

static int new_size(const char *text, uint64_t old, uint64_t *ret, Error *err)
{
        char sign = text[0] == '+' || text[0] == '-' ? text[0] : 0;
        uint64_t size;

        if (size_from_text(sign ? text + 1 : text, "image size", &size, err) < 0)
                return -1;
        if (sign == '-' && size > old)
                return err_set(err, ERR_INVALID_ARG, "New image size must be positive");
        *ret = sign == '+' ? old + size : sign == '-' ? old - size : size;
        if (*ret > INT64_MAX - 511)
                return err_set(err, ERR_OVERFLOW, "Image size must be less than 8 EiB!");
        if (*ret == 0)
                return err_set(err, ERR_INVALID_ARG, "New image size must be positive");
        return 0;
}

static int resize(const Args *args, const char *argument, Error *err)
{
        AUTO(Image) *image = source_open(&args->source, argument, IMAGE_WRITE, err);
        uint64_t size;

        if (!image || new_size(args->size, image_size(image), &size, err) < 0)
                return -1;
        if (size < image_size(image) && !args->shrink)
                return err_set(
                        err, ERR_OPERATION_INVALID,
                        "Use the --shrink option to perform a shrink operation.\n"
                        "drover-img: warning: Shrinking an image will delete all data beyond the shrunken image's "
                        "end. Before performing such an operation, make sure there is no important data there.");
        /* A file's end is where it is; a format counts sectors. */
        if (size % 512 && image_format(image) != IMAGE_FORMAT_RAW)
                return err_set(err, ERR_INVALID_ARG, "The new size must be a multiple of 512");
        if (size <= image_size(image) && args->room != PREALLOCATE_OFF)
                return err_set(err, ERR_INVALID_ARG, "Preallocation can only be used for growing images");
        if (image_resize(image, size, args->room, err) < 0 || image_flush(image, err) < 0 ||
            image_close(TAKE(image), err) < 0)
                return -1;
        if (!args->source.quiet)
                printf("Image resized.\n");
        return 0;
}

static int run(int argc, char **argv)
{
        Args args = { .source.policy = policy_usual() };
        AUTO(Error) err = { 0 };
        int r = parse(argc, argv, &args, &err);

        if (r == 0)
                r = confine_to_image(&args.source, argv[optind], &err);
        if (r == 0)
                r = resize(&args, argv[optind], &err);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_resize = {
        .name = "resize",
        .args = "[--object OBJECT] [--image-opts] [-f FMT] [--preallocation=PREALLOC] [-q] [--shrink] [--untrusted] FILENAME [+|-]SIZE",
        .summary = "Make a disk longer or shorter",
        .run = run,
};
