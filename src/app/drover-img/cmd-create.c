/*
 * app/drover-img/cmd-create.c - create (IMG-11, IMG-12, IMG-13)
 */
#include "app/drover-img/command.h"

#include "base/str.h"

#include <stdio.h>

typedef struct Args {
        const char *format, *backing, *backing_format;
        Options options;
        bool quiet, unsafe;
} Args;

static int parse(int argc, char **argv, Args *args, Error *err)
{
        static const struct option longs[] = { { "object", required_argument, NULL, 'O' }, { 0 } };
        int c;

        while ((c = getopt_long(argc, argv, "f:b:F:o:qu6e", longs, NULL)) != -1) {
                switch (c) {
                case 'f':
                        args->format = optarg;
                        break;
                case 'b':
                        args->backing = optarg;
                        break;
                case 'F':
                        args->backing_format = optarg;
                        break;
                case 'o':
                        if (options_add(&args->options, optarg, err) < 0)
                                return -1;
                        break;
                case 'q':
                        args->quiet = true;
                        break;
                case 'u':
                        args->unsafe = true;
                        break;
                case 'O':
                        if (object_add(optarg, err) < 0)
                                return -1;
                        break;
                case 'e':
                        return err_set(err, ERR_ARGUMENT_UNSUPPORTED,
                                       "option -e is deprecated, please use '-o encryption' instead!");
                case '6':
                        return err_set(err, ERR_ARGUMENT_UNSUPPORTED,
                                       "option -6 is deprecated, please use '-o compat6' instead!");
                default:
                        return err_set(err, ERR_INVALID_ARG, "create takes -f, -b, -F, -o, -q, -u and --object");
                }
        }
        return 0;
}

/* The size of the backing image, when none was given; and that it can be opened, unless told not to look. */
static int look_at_backing(const Args *args, const char *path, ImageCreate *how, bool sized, Error *err)
{
        AUTO(Image) *backing = NULL;
        AUTOFREE char *below = NULL;
        Source source = { .format = how->backing_format, .policy = policy_usual(), .headers_only = true };

        if (args->unsafe && sized)
                return 0;
        if (!how->backing_format)
                return err_set(err, ERR_INVALID_ARG, "%s: Backing file specified without backing format", path);
        below = image_path_beside(path, how->backing_file, err);
        if (!below)
                return -1;
        source.policy.no_locks = true;
        backing = source_open(&source, below, 0, err);
        if (!backing)
                return err_prefix(err, "%s", path);
        if (!sized)
                how->size = image_size(backing);
        return 0;
}

static int create(Args *args, const char *path, const char *size, Error *err)
{
        AUTO(NewImage) made = { 0 };
        AUTO(Image) *image = NULL;
        ImageCreate how = { .backing_file = args->backing, .backing_format = args->backing_format };
        ChainPolicy policy = policy_usual();
        ImageFormat format;
        bool sized = size;

        if (image_format_from_name(args->format ?: "raw", &format, err) < 0)
                return -1;
        if (!image_can_create(format))
                return err_set(err, ERR_OPERATION_UNSUPPORTED,
                               "%s: Format driver '%s' does not support image creation", path,
                               image_format_name(format));
        if (options_apply(&args->options, format, &how, err) < 0 || confine_to_new(path, how.data_file_name, err) < 0)
                return -1;
        sized |= options_find(&args->options, "size") != NULL;
        if (size && options_find(&args->options, "size"))
                return err_set(err, ERR_INVALID_ARG, "%s: The image size must be specified only once", path);
        if (how.backing_format && !how.backing_file)
                return err_set(err, ERR_INVALID_ARG, "%s: Backing format cannot be used without backing file", path);
        if (size && size_from_text(size, "image size", &how.size, err) < 0)
                return -1;
        if (how.backing_file && look_at_backing(args, path, &how, sized, err) < 0)
                return -1;
        if (!sized && !how.backing_file)
                return err_set(err, ERR_INVALID_ARG, "Image creation needs a size parameter");
        if (!args->quiet)
                options_announce(&args->options, path, format, &how);
        policy.skip_flush = true;
        image = new_image_make(&made, path, format, &how, false, &policy, err);
        if (!image)
                return err_prefix(err, "%s", path);
        /* Half-made it has no name; one flush at the end is enough. */
        image_skip_flush(image, false);
        made.durable = true;
        if (image_flush(image, err) < 0 || image_close(TAKE(image), err) < 0)
                return err_prefix(err, "%s", path);
        return new_image_keep(&made, err);
}

static int run(int argc, char **argv)
{
        AUTO(Error) err = { 0 };
        Args args = { 0 };
        int r = parse(argc, argv, &args, &err);

        if (r == 0 && options_help_wanted(&args.options)) {
                r = options_help(args.format ?: "raw", optind < argc, &err);
                options_done(&args.options);
                return r < 0 ? complain_err(&err) : 0;
        }
        if (r == 0 && (optind == argc || argc - optind > 2))
                r = err_set(&err, ERR_INVALID_ARG,
                            optind == argc ? "Expecting image file name" : "Unexpected argument: %s", argv[argc - 1]);
        if (r == 0)
                r = create(&args, argv[optind], optind + 1 < argc ? argv[optind + 1] : NULL, &err);
        options_done(&args.options);
        return r < 0 ? complain_err(&err) : 0;
}

const Command cmd_create = {
        .name = "create",
        .args = "[--object OBJECT] [-q] [-f FMT] [-b BACKING_FILE [-F BACKING_FMT]] [-u] [-o OPTIONS] FILENAME [SIZE]",
        .summary = "Make a new disk image",
        .run = run,
};
